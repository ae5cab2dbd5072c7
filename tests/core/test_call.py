"""Covers core/call.py."""

import msgspec

from headgate.core.attempt import Attempt
from headgate.core.body import Body
from headgate.core.call import (
    ANONYMOUS,
    FREE,
    MODELLESS,
    OBJECTS,
    RESPONSES,
    UNMEASURED,
    Address,
    Call,
    Caller,
    Operation,
    Target,
)


def test_copies_share_the_trail():
    """What one copy of a call tried, all copies know."""
    call = Call(id="1", operation=Operation.CHAT, model="m", body=Body(b"{}"), started=0, day="2027-01-15")
    copy = msgspec.structs.replace(call, target=Target("p", "m"))
    copy.trail.append(Attempt(1, "p", "m"))
    assert call.attempt is copy.attempt
    assert call.target is None
    assert call.request_id == "req_1"
    assert repr(call.attempt) == "<Attempt 1 p/m open>"


def test_calls_do_not_share_a_trail():
    """Two calls have two trails."""
    calls = [Call(id=i, operation=Operation.CHAT, model="m", body=Body(b"{}"), started=0, day="d") for i in "12"]
    calls[0].trail.append(Attempt(1, "p", "m"))
    assert calls[1].trail == []


def test_objects_belong_to_the_project_else_to_the_key():
    """Keys of one project share their objects; a key without a project has its own; nobody can pretend by a name."""
    assert Caller(key="a", project="shop").tenant == Caller(key="b", project="shop").tenant == "project:shop"
    assert Caller(key="a").tenant == "key:a" != Caller(project="key:a").tenant
    assert ANONYMOUS.tenant is None


def test_sets_of_operations_fit_together():
    """What asks no model is kept by an account or passes as it is; nothing is both free and of unknown cost."""
    assert OBJECTS | {Operation.PASSTHROUGH} == MODELLESS
    assert not FREE & UNMEASURED
    assert OBJECTS <= FREE
    assert {Operation.STORED} == RESPONSES & OBJECTS
    # Whose answers tell their tokens, or whose bytes do.
    assert set(Operation) - FREE - UNMEASURED == {
        Operation.CHAT, Operation.RESPONSES, Operation.COMPLETIONS, Operation.EMBEDDINGS
    }  # fmt: skip


def test_a_call_has_its_own_path_unless_it_says_otherwise():
    """And names nothing, and is read."""
    call = Call(id="1", operation=Operation.CHAT, model="m", body=Body(b"{}"), started=0, day="d")
    assert (call.address, call.account, call.names, call.opaque) == (None, None, (), False)
    address = Address("GET", "/files")
    assert (address.query, address.listing) == ("", False)
