"""Jobs that are played on the virtual clock."""

import json

import pytest

from headgate.cli.bench.bulk_stage import Account, play_headgate, play_openai, write_rows
from headgate.cli.bench.scenarios import GROUP
from headgate.gate.virtual import virtual_time
from headgate.providers.simulator import Limits


def test_rows_are_all_different(tmp_path):
    """Names and questions."""
    write_rows(tmp_path / "in", 50)
    rows = [json.loads(line) for line in (tmp_path / "in").read_text().splitlines()]
    assert len({row["custom_id"] for row in rows}) == len({row["prompt"] for row in rows}) == 50


@pytest.mark.parametrize("play", [play_headgate, play_openai])
def test_many_at_once_are_many_times_as_fast(tmp_path, play):
    """Half a thousand rows by 100, and five by one."""

    def rate(rows, concurrency):
        write_rows(tmp_path / "in.jsonl", rows)
        account = Account(name="x", rows=rows, concurrency=concurrency)
        played = virtual_time(play(account, tmp_path, seed=1))
        assert (played.answered, played.lost, played.verdict) == (rows, 0, None)
        return rows / played.seconds

    assert rate(500, 100) > 50 * rate(5, 1)


def test_a_limit_is_used_and_not_met(tmp_path):
    """The gate's promise, in short."""
    write_rows(tmp_path / "in.jsonl", 500)
    account = Account(name="x", rows=500, limits=Limits(requests_per_minute=240, group=GROUP))
    played = virtual_time(play_headgate(account, tmp_path, seed=1))
    assert played.verdict.share >= 0.97
    assert (played.limited, played.lost) == (0, 0)
    assert not (tmp_path / "out.jsonl").exists()
