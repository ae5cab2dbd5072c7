"""Covers policies/own.py: what others made does not exist, and every object leads to the account that keeps it."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest

from headgate.core.body import Body
from headgate.core.call import ANONYMOUS, Address, Call, Caller, Operation, Target
from headgate.core.errors import (
    Answer,
    APIError,
    BadRequestError,
    HeadgateError,
    NotAllowedError,
    OverloadedError,
    UnknownObjectError,
)
from headgate.core.reply import Event, Kind, Reply
from headgate.core.upload import Form, Part, Stretch
from headgate.policies import own
from headgate.policies.own import DEFAULT_LIMIT, MOST, MOST_PAGES, RECENT, Own
from headgate.stores.records import Owner

A = Caller(key="a", project="pa")
B = Caller(key="b", project="pb")
CALL = Call(id="1", operation=Operation.STORED, model="", body=Body(b""), started=0, day="2027-01-15", caller=A)


class Books:
    """The owners of objects, and how often they were asked for."""

    def __init__(self, **owners: tuple[str | None, str]) -> None:
        self.owners = {name: Owner(*owner) for name, owner in owners.items()}
        self.asked: list[list[str]] = []
        self.down = False

    async def __call__(self, names: Sequence[str]) -> Mapping[str, Owner]:
        self.asked.append(list(names))
        if self.down:
            raise ConnectionError
        return {name: self.owners[name] for name in names if name in self.owners}


class Accounts:
    """Providers that keep lists, newest first, and make what they are told to."""

    def __init__(self, page: int = 10_000, **kept: list[str]) -> None:
        self.kept = kept
        self.page = page
        self.asked: list[tuple[str | None, dict[str, str]]] = []
        self.made: tuple[str, ...] = ()
        self.failing: dict[str, HeadgateError] = {}
        self.closed = 0

    async def __call__(self, call: Call) -> Reply:
        query = {k: v[-1] for k, v in parse_qs(call.address.query if call.address else "").items()}
        self.asked.append((call.account, query))
        if error := self.failing.get(call.account or ""):
            raise error
        account = call.account or "one"
        if call.address is None or not call.address.listing:
            event = Event(kind=Kind.TERMINAL, raw=b"{}", made=self.made)
        else:
            event = Event(kind=Kind.TERMINAL, raw=self._list(account, query))
        return Reply([event], close=self._close, target=Target(account))

    def _list(self, account: str, query: dict[str, str]) -> bytes:
        ids = self.kept[account]
        if "after" in query:
            ids = ids[ids.index(query["after"]) + 1 :]
        size = min(int(query["limit"]), self.page)
        return json.dumps({"data": [{"id": name} for name in ids[:size]], "has_more": len(ids) > size}).encode()

    async def _close(self) -> None:
        self.closed += 1


def policy(books: Books, *accounts: str) -> Own:
    """Own, with these accounts."""
    return Own(books, lambda _: list(accounts or ("one",)))


def ask(made: Own, provider: Any, **facts: Any) -> Reply:
    """One call through the policy."""
    return asyncio.run(made(msgspec.structs.replace(CALL, **facts), provider))  # type: ignore[arg-type]


def listed(made: Own, provider: Any, query: str = "", **facts: Any) -> dict[str, Any]:
    """A list, as the caller sees it."""
    address = Address("GET", "/files", query, listing=True)
    reply = ask(made, provider, **{"operation": Operation.FILES, "address": address} | facts)
    return json.loads(asyncio.run(reply.read()).raw)


def ids(page: dict[str, Any]) -> list[str]:
    """What stands in a list."""
    return [entry["id"] for entry in page["data"]]


# --- naming


def test_an_object_leads_to_the_account_that_keeps_it():
    """For its project, whichever of its keys; the caller's own words are not changed."""
    provider = Accounts()
    made = policy(Books(f1=("project:pa", "two")))
    ask(made, provider, names=("f1",))
    ask(made, provider, names=("f1",), caller=Caller(key="other", project="pa"), operation=Operation.CHAT)
    assert [account for account, _ in provider.asked] == ["two", "two"]


def test_what_others_made_looks_like_what_nobody_made():
    """The same error to the letter, nothing is sent, and the books are asked as often."""
    seen = []
    for recent in (False, True):
        books = Books() if recent else Books(f_theirs=("project:pb", "one"))
        made = policy(books)
        if recent:
            provider = Accounts()
            provider.made = ("f_theirs",)
            ask(made, provider, caller=B)
        for name in ("f_theirs", "f_nobody"):
            provider, asked = Accounts(), len(books.asked)
            with pytest.raises(UnknownObjectError) as caught:
                ask(made, provider, names=(name,))
            error = caught.value
            told = (error.message.replace(name, "X"), error.hint, error.param, error.code, error.http_status)
            seen.append((told, len(books.asked) - asked, provider.asked))
    assert seen == [seen[0]] * 4
    assert seen[0][0][4] == 404
    assert seen[0][1] == 1


@pytest.mark.parametrize("names", [("mine", "theirs"), ("theirs", "mine"), ("mine", "nobody"), ("elsewhere", "theirs")])
def test_one_foreign_object_among_several_is_enough(names):
    """Also where the others could not be had together anyway: nothing is told that depends on what others have."""
    books = Books(mine=("project:pa", "one"), elsewhere=("project:pa", "two"), theirs=("project:pb", "two"))
    with pytest.raises(UnknownObjectError):
        ask(policy(books), Accounts(), names=names)


def test_objects_in_two_accounts_cannot_be_named_together():
    """400 that says where they are, and the cure."""
    books = Books(f1=("project:pa", "one"), f2=("project:pa", "two"))
    provider = Accounts()
    with pytest.raises(BadRequestError, match="one, two") as caught:
        ask(policy(books), provider, names=("f1", "f2"))
    assert caught.value.code == "several_accounts"
    assert provider.asked == []


@pytest.mark.parametrize(
    ("caller", "other"),
    [
        (Caller(key="a"), Caller(key="b")),
        (Caller(key="a"), Caller(key="a", project="pa")),
        (Caller(key="a"), Caller(project="key:a")),
        (Caller(key="a"), ANONYMOUS),
        (ANONYMOUS, Caller(key="a")),
        (ANONYMOUS, Caller(key="")),
    ],
)
def test_tenants_are_apart(caller, other):
    """Keys without a project, projects that are named like keys, and callers without a key."""
    made, provider = policy(Books()), Accounts()
    provider.made = ("f1",)
    ask(made, provider, caller=caller)
    ask(made, provider, caller=caller, names=("f1",))
    with pytest.raises(UnknownObjectError):
        ask(made, provider, caller=other, names=("f1",))
    assert len(provider.asked) == 2


def test_a_caller_without_a_key_may_try_what_nobody_knows():
    """Alone in the house it sees what was there before; no account is named, so the first one is asked."""
    provider = Accounts()
    ask(policy(Books(f1=(None, "two"))), provider, caller=ANONYMOUS, names=("unknown",))
    ask(policy(Books(f1=(None, "two"))), provider, caller=ANONYMOUS, names=("unknown", "f1"))
    assert [account for account, _ in provider.asked] == [None, "two"]


# --- remembering


@pytest.mark.parametrize("operation", [*sorted(own.OBJECTS), Operation.RESPONSES])
def test_what_an_answer_made_is_known_at_once(operation):
    """Before the books have it, for whoever asked."""
    provider, books = Accounts(), Books()
    made = policy(books)
    provider.made = ("x1", "x2")
    ask(made, provider, operation=operation)
    ask(made, provider, names=("x1", "x2"))
    assert provider.asked[-1][0] == "one"
    assert books.asked == []


def test_answers_of_other_kinds_make_nothing():
    """A chat that claims to have made somebody's file."""
    made, provider = policy(Books()), Accounts()
    provider.made = ("f1",)
    ask(made, provider, operation=Operation.CHAT)
    with pytest.raises(UnknownObjectError):
        ask(made, provider, names=("f1",))


def test_a_stream_is_known_by_its_first_event():
    """The caller sees the id there, and may use it before the stream is over; what comes later is known later."""

    async def story():
        made = policy(Books())
        more = asyncio.Event()

        class Rest:
            over = False

            def __aiter__(self):
                return self

            async def __anext__(self):
                if self.over:
                    raise StopAsyncIteration
                await more.wait()
                self.over = True
                return Event(kind=Kind.TERMINAL, made=("msg_1",))

        async def provider(_call):
            begun = Event(kind=Kind.PREAMBLE, made=("resp_1",))
            return Reply([begun, Event(kind=Kind.CONTENT)], Rest(), stream=True, target=Target("one"))

        reply = await made(msgspec.structs.replace(CALL, operation=Operation.RESPONSES), provider)
        next_ = Accounts()
        await made(msgspec.structs.replace(CALL, names=("resp_1",)), next_)
        with pytest.raises(UnknownObjectError):
            await made(msgspec.structs.replace(CALL, names=("msg_1",)), next_)
        more.set()
        assert [event.kind async for event in reply][-1] is Kind.TERMINAL
        await made(msgspec.structs.replace(CALL, names=("msg_1",)), next_)
        return next_.asked

    assert asyncio.run(story()) == [("one", {}), ("one", {})]


def test_the_first_owner_stays():
    """Nobody becomes the owner of what another has made by making a provider say its id."""
    made, provider = policy(Books(), "one"), Accounts()
    provider.made = ("f1",)
    ask(made, provider, caller=A)
    ask(made, provider, caller=B)
    ask(made, provider, caller=A, names=("f1",))
    with pytest.raises(UnknownObjectError):
        ask(made, provider, caller=B, names=("f1",))


def test_the_books_win_over_what_is_remembered():
    """Where an id came twice, the owner on the books is asked for and stays."""
    books = Books(f1=("project:pa", "one"))
    made, provider = policy(books, "one"), Accounts()
    provider.made = ("f1",)
    ask(made, provider, caller=B)
    ask(made, provider, caller=A, names=("f1",))
    assert provider.asked[-1][0] == "one"


def test_memory_is_bounded():
    """The oldest are forgotten; the books have them by then."""
    made, provider = policy(Books()), Accounts()
    for at in range(0, RECENT + 1000, 100):
        provider.made = tuple(f"f{at + n}" for n in range(100))
        ask(made, provider)
    assert len(made._recent) == RECENT
    with pytest.raises(UnknownObjectError):
        ask(made, provider, names=("f999",))
    ask(made, provider, names=("f1000",))


def test_without_its_store_the_house_knows_what_it_remembers():
    """What was made lately is found; for the rest nobody answers, and nothing is sent."""
    books = Books()
    made, provider = policy(books), Accounts()
    provider.made = ("f1",)
    ask(made, provider)
    books.down = True
    ask(made, provider, names=("f1",))
    with pytest.raises(ConnectionError):
        ask(made, provider, names=("f2",))
    assert len(provider.asked) == 2


# --- what a key may


@pytest.mark.parametrize("address", [None, Address("GET", "/batches", listing=True), Address("GET", "/batches/b")])
def test_a_key_with_models_cannot_use_batches(address):
    """Nobody sees which models a batch asks for; 403, and nothing is sent."""
    provider = Accounts(one=[])
    limited = Caller(key="a", project="pa", models=frozenset(("m",)))
    with pytest.raises(NotAllowedError, match="models"):
        ask(policy(Books()), provider, operation=Operation.BATCHES, caller=limited, address=address)
    assert provider.asked == []
    for operation in (Operation.FILES, Operation.UPLOADS, Operation.STORED, Operation.CHAT):
        ask(policy(Books()), provider, operation=operation, caller=limited)


# --- lists


def test_a_list_shows_a_tenant_its_own():
    """And nothing of the others, not even that there is more."""
    books = Books(a1=("project:pa", "one"), b1=("project:pb", "one"), a2=("project:pa", "one"), n=(None, "one"))
    provider = Accounts(one=["b1", "a2", "n", "stray", "a1"])
    page = listed(policy(books), provider)
    assert page == {
        "object": "list", "data": [{"id": "a2"}, {"id": "a1"}], "first_id": "a2", "last_id": "a1", "has_more": False
    }  # fmt: skip
    assert ids(listed(policy(books), provider, caller=B)) == ["b1"]
    assert listed(policy(books), provider, caller=Caller(key="c")) == {
        "object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False
    }  # fmt: skip
    assert provider.closed == 3


def test_without_a_key_a_list_shows_what_nobody_with_a_key_made():
    """Also what was there before."""
    books = Books(a1=("project:pa", "one"), n=(None, "one"))
    assert ids(listed(policy(books), Accounts(one=["a1", "n", "stray"]), caller=ANONYMOUS)) == ["n", "stray"]


@pytest.mark.parametrize("page", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("limit", [1, 2, 5, 30])
def test_pages_put_together_are_the_whole_list(page, limit):
    """Over accounts and their pages: nothing twice, nothing left out, and `has_more` is true until the end."""
    one = [f"{'a' if n % 3 else 'b'}{n}" for n in range(20)]
    two = [f"{'b' if n % 3 else 'a'}{n}" for n in range(20, 30)]
    books = Books(**{name: (f"project:p{name[0]}", "one") for name in one}, **{
        name: (f"project:p{name[0]}", "two") for name in two
    })  # fmt: skip
    provider = Accounts(page, one=one, two=two)
    made = policy(books, "one", "two")
    found: list[str] = []
    for _ in range(40):
        query = f"limit={limit}" + (f"&after={found[-1]}" if found else "")
        shown = listed(made, provider, query)
        assert len(ids(shown)) <= limit
        found += ids(shown)
        if not shown["has_more"]:
            break
        assert len(ids(shown)) == limit
    assert found == [name for name in (*one, *two) if name[0] == "a"]
    assert provider.closed == len(provider.asked)


def test_a_list_asks_for_large_pages_and_keeps_the_rest_of_the_query():
    """Most of what comes may be others'; the order and the purpose are the provider's business, account by account."""
    books = Books(a1=("project:pa", "one"), a2=("project:pa", "two"))
    provider = Accounts(one=["a1"], two=["a2"])
    made = policy(books, "one", "two")
    assert ids(listed(made, provider, "order=asc&purpose=batch&limit=5&limit=9")) == ["a1", "a2"]
    same = {"order": "asc", "purpose": "batch", "limit": "10000"}
    assert provider.asked == [("one", same), ("two", same)]


def test_a_list_goes_on_where_it_was():
    """In the account of `after`, and in those behind it."""
    books = Books(a1=("project:pa", "one"), a2=("project:pa", "two"), a3=("project:pa", "two"))
    provider = Accounts(one=["a1"], two=["a2", "a3"])
    assert ids(listed(policy(books, "one", "two"), provider, "after=a2")) == ["a3"]
    assert provider.asked == [("two", {"limit": "10000", "after": "a2"})]


def test_a_list_after_what_is_not_ours_is_none():
    """The same 404 for others' objects and for none; nothing is sent."""
    books = Books(b1=("project:pb", "one"))
    provider = Accounts(one=["b1"])
    for after in ("b1", "nobody"):
        with pytest.raises(UnknownObjectError):
            listed(policy(books), provider, f"after={after}")
    assert provider.asked == []


def test_a_list_after_what_was_deleted_is_the_providers_word():
    """Whose it was is still known; where it was, only the provider can tell."""
    books = Books(a1=("project:pa", "one"))
    provider = Accounts(one=[])
    gone = APIError("No such file", answer=Answer(404, {}, b""))
    provider.failing["one"] = gone
    with pytest.raises(APIError) as caught:
        listed(policy(books, "one", "two"), provider, "after=a1")
    assert caught.value is gone


@pytest.mark.parametrize("limit", ["0", "-1", "x", "10001", "1.5", "%C2%B2", "%D9%A1", "9" * 400, "+5", "1e3"])
def test_a_limit_that_is_none_is_refused(limit):
    """400 that says what it takes."""
    provider = Accounts(one=[])
    with pytest.raises(BadRequestError, match="1 to 10000") as caught:
        listed(policy(Books()), provider, f"limit={limit}")
    assert caught.value.param == "limit"
    assert provider.asked == []


def test_without_a_limit_the_apis_own_holds():
    """Ten thousand files, twenty batches."""
    every = [f"a{n}" for n in range(30)]
    books = Books(**dict.fromkeys(every, ("project:pa", "one")))
    provider = Accounts(one=every)
    batches = listed(policy(books), provider, operation=Operation.BATCHES)
    assert (len(ids(batches)), batches["has_more"]) == (DEFAULT_LIMIT[Operation.BATCHES], True)
    assert provider.asked[-1][1]["limit"] == str(MOST[Operation.BATCHES])
    assert len(ids(listed(policy(books), provider))) == 30


def test_an_account_without_such_lists_has_none_of_ours():
    """Many compatible servers keep no files: the others' lists are the list."""
    books = Books(a1=("project:pa", "one"), a3=("project:pa", "three"))
    provider = Accounts(one=["a1"], three=["a3"])
    provider.failing["two"] = APIError("Not Found", answer=Answer(404, {}, b""))
    assert ids(listed(policy(books, "one", "two", "three"), provider)) == ["a1", "a3"]
    with pytest.raises(APIError):
        listed(policy(books, "two"), provider)


def test_an_account_that_fails_is_not_passed_over():
    """A list that is not whole would look whole."""
    provider = Accounts(one=["a1"])
    provider.failing["two"] = OverloadedError("down", answer=Answer(500, {}, b""))
    with pytest.raises(OverloadedError):
        listed(policy(Books(), "one", "two"), provider)


def test_a_list_of_no_account_is_empty():
    """Where nobody keeps anything, there is nothing."""
    assert ids(listed(Own(Books(), lambda _: []), Accounts())) == []


def test_a_server_that_knows_no_pages_is_asked_once():
    """One that says that there is more, and gives the same again."""

    class Same(Accounts):
        def _list(self, *_):
            return b'{"data": [{"id": "a1"}], "has_more": true}'

    provider = Same()
    assert ids(listed(policy(Books(a1=("project:pa", "one"))), provider)) == ["a1"]
    assert len(provider.asked) == 2


def test_a_list_is_not_looked_for_forever():
    """A hundred pages of others' objects are enough; that there is more is told."""
    provider = Accounts(1, one=[f"b{n}" for n in range(200)])
    page = listed(policy(Books()), provider)
    assert (ids(page), page["has_more"], len(provider.asked)) == ([], True, MOST_PAGES)
    assert provider.closed == MOST_PAGES


def test_an_entry_without_an_id_is_nobodys():
    """It is shown to no tenant."""

    class Odd(Accounts):
        def _list(self, *_):
            return b'{"data": [{"x": 1}, {"id": null}, {"id": "a1"}]}'

    assert ids(listed(policy(Books(a1=("project:pa", "one"))), Odd())) == ["a1"]


def test_a_list_tells_what_it_took():
    """Attempts, who answered last, and whether it was made up."""

    async def provider(_call: Call) -> Reply:
        reply = Reply([Event(kind=Kind.TERMINAL, raw=b'{"data": []}')], target=Target("one"))
        reply.attempts, reply.simulated = ("x",), True  # type: ignore[assignment]
        return reply

    address = Address("GET", "/files", listing=True)
    reply = ask(policy(Books()), provider, operation=Operation.FILES, address=address)
    assert (reply.attempts, reply.simulated, reply.target) == (("x",), True, Target("one"))


# --- batches


def batch(rows: bytes, purpose: bytes = b"batch", *, spooled: bool = False) -> Form:
    """The upload of a file."""
    data = Stretch(lambda size, at: (b"#" + rows)[at : at + size], 1, len(rows)) if spooled else rows
    return Form([Part("purpose", b"", purpose), Part("file", b"", data, is_file=True)], "x")


@pytest.mark.parametrize("spooled", [False, True])
def test_the_rows_of_a_batch_name_only_what_is_the_callers_own(spooled, monkeypatch):
    """In any row, in memory and on disk; and the file goes to the account that keeps what it names."""
    monkeypatch.setattr(own, "_PIECE", 7)
    rows = b'{"body": {"input": "a"}}\n{"body": {"previous_response_id": "%b"}}'
    books = Books(resp_a=("project:pa", "two"), resp_b=("project:pb", "one"))
    provider = Accounts()
    ask(policy(books), provider, operation=Operation.FILES, body=batch(rows % b"resp_a", spooled=spooled))
    assert [account for account, _ in provider.asked] == ["two"]
    for purpose in (b"batch", b" Batch"):
        with pytest.raises(UnknownObjectError, match="resp_b"):
            ask(
                policy(books), provider, operation=Operation.FILES,
                body=batch(rows % b"resp_b", purpose, spooled=spooled),
            )  # fmt: skip
    assert len(provider.asked) == 1


def test_files_that_are_no_batch_are_not_read():
    """Nor are those of a caller without a key: it has the house for itself."""
    provider = Accounts()
    ask(policy(Books()), provider, operation=Operation.FILES, body=batch(b"no JSON", b"user_data"))
    ask(policy(Books()), provider, operation=Operation.FILES, body=batch(b"no JSON"), caller=ANONYMOUS)
    assert len(provider.asked) == 2
    with pytest.raises(BadRequestError, match="Row 1"):
        ask(policy(Books()), provider, operation=Operation.FILES, body=batch(b"no JSON"))


def test_a_batch_in_parts_is_refused():
    """Its rows could be cut anywhere; other uploads pass."""
    provider = Accounts()
    ask(policy(Books()), provider, operation=Operation.UPLOADS, body=Body(b'{"purpose": "vision"}'))
    with pytest.raises(NotAllowedError, match="parts"):
        ask(policy(Books()), provider, operation=Operation.UPLOADS, body=Body(b'{"purpose": "batch"}'))
    with pytest.raises(BadRequestError, match="twice"):
        ask(
            policy(Books()), provider, operation=Operation.UPLOADS,
            body=Body(b'{"purpose": "batch", "purpose": "vision"}'),
        )  # fmt: skip


def test_an_account_that_is_written_down_is_asked_where_the_books_know_none():
    """A batch whose making was lost is looked for, and listed, at the account that it was sent to."""
    provider = Accounts(one=["f1"], two=["f2"])
    made = policy(Books(known=(None, "one")), "one", "two")
    ask(made, provider, names=("lost",), account="two", caller=ANONYMOUS)
    ask(made, provider, names=("known",), account="two", caller=ANONYMOUS)
    assert [account for account, _ in provider.asked] == ["two", "one"]
    assert ids(listed(made, provider, account="two", caller=ANONYMOUS)) == ["f2"]
