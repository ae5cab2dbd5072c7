"""Covers core/call.py."""

import msgspec

from headgate.core.attempt import Attempt
from headgate.core.body import Body
from headgate.core.call import ANONYMOUS, Call, Caller, Operation, Target


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
