"""One of the processes, here in this one."""

import io
import sys

import msgspec

from headgate.cli.bench import worker


def test_it_does_as_it_is_told(monkeypatch, capsys):
    """Ready when the gate is open; then it works and reports, answers and failures."""
    faults = [{"kind": "status", "status": 400, "times": 1}]
    config = {
        "store": "memory://",
        "providers": {"p": {"type": "simulator", "faults": faults}},
        "models": {"*": {"targets": [{"provider": "p"}]}},
        "catalog": {"models": {"fake": {"input_usd_per_million": 0, "output_usd_per_million": 0}}},
    }
    order = msgspec.json.encode(worker.Order(config=config, seconds=0.05, workers=2))
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{order.decode()}\ngo\n"))
    worker.main()
    ready, told = capsys.readouterr().out.splitlines()
    report = msgspec.json.decode(told, type=worker.Report)
    assert (ready, report.lost) == (worker.READY, {"APIError": 1})
    assert len(report.latencies) > 2
