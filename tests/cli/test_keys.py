"""`headgate keys`."""

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from headgate.cli import keys as module
from headgate.core.errors import StoreError

KEYS = {"keys": [{"name": "own", "sha256": "ab" * 32, "project": "shop"}], "server": {"auth": "keys"}}


@pytest.fixture
def kept(books, headgate):  # noqa: ARG001  a fixture cannot use `usefixtures`
    """A configuration whose store keeps keys, and which has one of its own."""
    settings = json.loads(Path("headgate.yaml").read_text())
    Path("headgate.yaml").write_text(json.dumps({**settings, **KEYS}))
    return headgate


def rows(question):
    """What stands in the store."""
    with closing(sqlite3.connect("books.db")) as connection:
        return connection.execute(question).fetchall()


def test_a_key_is_printed_once(kept):
    """Alone on stdout; what is said besides goes to stderr. The store has its hash."""
    done = kept("keys", "create", "web")
    assert done.code == 0
    (value,) = done.out.splitlines()
    assert value.startswith("hg-")
    assert len(value) == 46
    assert value not in done.said
    assert "The key 'web' is made." in done.said
    assert rows("SELECT name, sha256 FROM keys") == [("web", hashlib.sha256(value.encode()).hexdigest())]
    for command in (("list",), ("list", "--json"), ("show", "web"), ("show", "web", "--json")):
        shown = kept("keys", *command)
        assert shown.code == 0
        assert value not in shown.out + shown.said
        assert hashlib.sha256(value.encode()).hexdigest() not in shown.out


def test_everything_that_a_key_may_be(kept):
    """Each option, in the words of the configuration; a script reads it from JSON."""
    options = (
        "--project shop --models gpt-6-luna,broken --rpm 60 --tpm 1000 --concurrency 4 --budget-usd 2.50 "
        "--window week --time-zone Europe/Berlin --expires 2099-06-30 --priority 3 --tag team=a --tag app=b "
        "--passthrough /v1/fine_tuning/*"
    )
    made = kept("keys", "create", "web", *options.split(), "--json")
    facts = made.json
    assert facts.pop("key").startswith("hg-")
    assert facts == kept("keys", "show", "web", "--json").json
    assert facts["limits"] == {"requests_per_minute": 60, "tokens_per_minute": 1000, "concurrency": 4}
    assert facts["budget"] == {"limit_usd": "2.5", "window": "week", "time_zone": "Europe/Berlin"}
    assert (facts["models"], facts["project"], facts["priority"]) == (["gpt-6-luna", "broken"], "shop", 3)
    assert (facts["expires"], facts["status"], facts["source"]) == ("2099-06-30", "valid", "store")
    assert (facts["tags"], facts["passthrough"]) == ({"team": "a", "app": "b"}, ["/v1/fine_tuning/*"])
    told = kept("keys", "show", "web").out
    assert "budget        $2.5 week (Europe/Berlin)\n" in told
    assert "tags          team=a, app=b\n" in told


def test_keys_are_listed(kept, monkeypatch):
    """Those of the configuration and of the store; those that were revoked where they are asked for."""
    monkeypatch.setenv("COLUMNS", "200")
    kept("keys", "create", "web", "--budget-usd", "5")
    kept("keys", "create", "old")
    kept("keys", "revoke", "old")
    lines = kept("keys", "list").out
    assert "own" in lines
    assert "$5 day" in lines
    assert "old" not in lines
    assert "revoked" in kept("keys", "list", "--all").out
    found = [json.loads(line) for line in kept("keys", "list", "--all", "--json").out.splitlines()]
    assert [(key["name"], key["status"], key["source"]) for key in found] == [
        ("own", "valid", "configuration"), ("old", "revoked", "store"), ("web", "valid", "store"),
    ]  # fmt: skip


def test_a_rotation_prints_a_new_value(kept):
    """And the former one is out, unless it is given a grace."""
    first = kept("keys", "create", "web").out.strip()
    second = kept("keys", "rotate", "web")
    assert second.code == 0
    assert second.out.strip() != first
    assert rows("SELECT former FROM keys") == [(None,)]
    third = kept("keys", "rotate", "web", "--grace", "1h", "--json").json
    assert third["former_until"] is not None
    assert rows("SELECT former FROM keys") == [(hashlib.sha256(second.out.strip().encode()).hexdigest(),)]


def test_who_did_what_is_written_down(kept):
    """Each change, with the account and the machine that it came from."""
    kept("keys", "create", "web")
    kept("keys", "rotate", "web")
    kept("keys", "revoke", "web")
    found = rows("SELECT action, subject, actor, origin FROM audit ORDER BY number")
    assert [line[:2] for line in found] == [("key.create", "web"), ("key.rotate", "web"), ("key.revoke", "web")]
    assert all(actor and origin.startswith("command line on ") for _, _, actor, origin in found)


@pytest.mark.parametrize("command", ["show", "rotate", "revoke"])
def test_a_key_that_is_not_there(kept, command):
    """Exit 1, with its name and where names are found."""
    done = kept("keys", command, "nobody")
    assert (done.code, done.out) == (1, "")
    assert done.said == (
        "error: There is no key 'nobody'.\n\nhint: `headgate keys list` and `GET /admin/keys` name them.\n"
    )


@pytest.mark.parametrize("command", ["rotate", "revoke"])
def test_a_key_that_was_revoked(kept, command):
    """Exit 1, and what to do; it can still be shown."""
    kept("keys", "create", "web")
    done = kept("keys", "revoke", "web", "--json")
    assert done.json["status"] == "revoked"
    done = kept("keys", command, "web")
    assert (done.code, done.out) == (1, "")
    assert "The key 'web' was revoked." in done.said
    assert "status        revoked\n" in kept("keys", "show", "web").out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("create", "own"), "There is a key 'own' in the configuration."),
        (("create", "a b"), "`name` must be 1 to 64 letters"),
        (("create", "a", "--rpm", "0"), "`limits.requests_per_minute` must be greater than 0."),
        (("create", "a", "--window", "day"), "have no effect without --budget-usd"),
        (("create", "a", "--budget-usd", "much"), "`budget.limit_usd`"),
        (("create", "a", "--tag", "team"), "--tag 'team' is no tag"),
        (("create", "a", "--tag", "t=a", "--tag", "t=b"), "stands twice"),
        (("create", "a", "--expires", "2001-01-01"), "has passed"),
        (("rotate", "a", "--grace", "soon"), "--grace 'soon' is no duration"),
        (("rotate", "a", "--grace", "365d"), "up to 90 days"),
        (("revoke", "own"), "The key 'own' stands in the configuration."),
    ],
)
def test_wrong_use(kept, arguments, words):
    """Exit 2; nothing is printed that could be taken for a key, and nothing is made."""
    done = kept("keys", *arguments)
    assert (done.code, done.out) == (2, "")
    assert words in done.said
    assert kept("keys", "list", "--json").out.count("\n") == 1


def test_models_that_are_not_configured_are_told(kept):
    """The key is made all the same: they may come later."""
    done = kept("keys", "create", "web", "--models", "gpt-6-lnua")
    assert done.code == 0
    assert "warning: No model 'gpt-6-lnua' is configured. Did you mean `gpt-6-luna`?" in done.said


def test_a_store_in_memory_keeps_no_keys(headgate):
    """It would be gone before anybody could use it."""
    Path("headgate.yaml").write_text("store: memory://")
    done = headgate("keys", "create", "web")
    assert (done.code, done.out) == (2, "")
    assert "The store is in memory: no key is kept." in done.said


def test_to_ask_makes_no_files(headgate):
    """Without a store there are no keys; nor is there one afterwards."""
    done = headgate("keys", "list")
    assert (done.code, done.out) == (0, "")
    assert "There are no keys. `headgate keys create NAME` makes one." in done.said
    assert headgate("keys", "show", "web").code == 1
    assert list(Path().iterdir()) == []


def test_a_store_that_is_away(kept, monkeypatch):
    """Exit 1, with the store's own words."""

    class Away:
        async def read(self, _statement):
            raise StoreError("The store cannot be asked: gone fishing")

        async def close(self):
            pass

    kept("keys", "create", "web")
    monkeypatch.setattr(module.wiring, "ledger", lambda _store: Away())
    done = kept("keys", "list")
    assert done.code == 1
    assert "gone fishing" in done.said
