"""Covers core/policy.py."""

from headgate.core.body import Body
from headgate.core.call import Call, Operation
from headgate.core.policy import Handler, compose
from headgate.core.reply import Reply
from headgate.testing import virtual_time


def test_the_first_policy_is_the_outermost():
    """A call passes the policies in their order and comes back in the reverse one."""
    seen: list[str] = []

    class Named:
        def __init__(self, name: str) -> None:
            self.name = name

        async def __call__(self, call: Call, following: Handler) -> Reply:
            seen.append(self.name)
            reply = await following(call)
            seen.append(self.name.upper())
            return reply

    async def last(_call: Call) -> Reply:
        seen.append("-")
        return Reply([])

    call = Call(id="1", operation=Operation.CHAT, model="m", body=Body(b"{}"), started=0, day="2027-01-15")
    virtual_time(compose([Named("a"), Named("b")], last)(call))  # type: ignore[arg-type]
    assert seen == ["a", "b", "-", "B", "A"]
