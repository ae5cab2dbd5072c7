"""`headgate bench bulk`: its table, its data, its ends."""

import pytest

from headgate.cli.bench import bulk, bulk_stage
from headgate.cli.bench.bulk import Line
from headgate.cli.bench.bulk_stage import Played
from headgate.cli.bench.judge import Verdict


def _verdict(share=0.99, refused=0):
    return Verdict(shares={"requests_per_minute": share}, binding="requests_per_minute", calls=10, refused=refused,
                   refused_share=0.0, settled_share=0.0, peak=5)  # fmt: skip


@pytest.fixture
def plays(monkeypatch):
    """Plays that take no time; what they give may be changed."""
    told = {"share": 0.99, "refused": 0, "fast": 70.0, "growth": 3.0, "cpu": 9.0}

    def play():
        async def one(account, folder, *, seed):
            assert seed == 1
            assert (folder / "in.jsonl").read_text().count("\n") == account.rows
            rate = 0.7 if account.concurrency == 1 else told["fast"]
            verdict = None if account.limits is None else _verdict(told["share"], told["refused"])
            return Played(concurrency=account.concurrency or 200, seconds=account.rows / rate, answered=account.rows,
                          lost=0, limited=told["refused"], verdict=verdict)  # fmt: skip

        return one

    async def cost(folder, client, rows):
        assert folder.exists()
        cpu = 300.0 if client == "headgate" else 300.0 * told["cpu"]
        memory = 100 + (told["growth"] if rows >= 500_000 else 0)
        return Line(measured="upstream", client=client, rows=rows, concurrency=100, rows_per_second=1.0, cpu_us=cpu,
                    rss_mb=memory)  # fmt: skip

    monkeypatch.setattr(bulk_stage, "play_headgate", play())
    monkeypatch.setattr(bulk_stage, "play_openai", play())
    monkeypatch.setattr(bulk, "_cost", cost)
    return told


@pytest.mark.usefixtures("plays")
def test_the_table_and_the_data(headgate):
    """Each account with the gate and with the SDK; what is promised is said of the gate alone."""
    done = headgate("bench", "bulk", "--json", "--rows", "0")
    assert done.code == 0
    lines = done.json["lines"]
    assert [line["client"] for line in lines] == ["headgate", "openai"] * 4
    assert [line["met"] for line in lines] == [None, None, True, None, True, None, True, None]
    assert lines[2]["speed"] == 100
    shown = headgate("bench", "bulk", "--rows", "1000")
    assert shown.out.count("met") == 4
    assert "2,700 µs" in shown.out


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        ({"share": 0.96}, "600 requests a minute, 30,000 tokens a minute"),
        ({"refused": 1}, "600 requests a minute, 30,000 tokens a minute"),
        ({"fast": 30.0}, "100 at once"),
        ({"cpu": 7.0}, "upstream"),
        ({"growth": 21.0}, "upstream"),
    ],
)
def test_less_than_is_promised_is_a_failure(headgate, plays, change, missed):
    """By name."""
    plays.update(change)
    done = headgate("bench", "bulk", "--rows", "500000")
    assert done.code == 1
    assert f"Less than is promised: {missed}." in done.said
