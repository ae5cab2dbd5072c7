"""What a target is known not to be able to do: whose facts hold at which provider, and what follows from them.

Decides when a name tells something of a model: where its maker serves it, or where the user says what it means.
Elsewhere a server may call anything what it likes. Refuses to know routes and requests. A fact that nobody knows is no
lack.
"""

from collections.abc import Container

from headgate.catalog.models import CAPABILITIES, Catalog, Model
from headgate.core.call import Operation


class Abilities:
    """What targets can do.

    Args:
        catalog: what is known of models.
        makers: providers (by name) that serve a maker's own models.
    """

    def __init__(self, catalog: Catalog, makers: Container[str]) -> None:
        self._catalog = catalog
        self._makers = makers

    def known(self, provider: str, name: str) -> Model | None:
        """What is known of the model that a provider serves under a name."""
        if provider in self._makers or name in self._catalog.own:
            return self._catalog.find(name)
        return None

    def lacks(self, model: Model | None, operation: Operation) -> frozenset[str]:
        """The capabilities that a model is known not to have, by one API."""
        if model is None or model.capabilities is None:
            return frozenset()
        lacking = CAPABILITIES - model.capabilities
        own = self._catalog.own.get(model.id)
        if own is not None and own.capabilities:
            # Who lists what a model can do thinks of what is special, not of what each server does.
            lacking -= {"streaming"}
        if operation is Operation.CHAT and model.chat_tools == "no":
            lacking |= {"tools"}
        return lacking


def larger(model: Model | None, name: str, than: Model | None, than_name: str) -> bool:
    """Whether a request that is too long for one model may fit another one: unless it is known that it does not.

    Args:
        model: what is known of the other one.
        name: what it is called.
        than: what is known of the one that is too small.
        than_name: what that one is called.

    Example:
        >>> small, large = Model(id="small", context=8000), Model(id="large", context=200_000)
        >>> larger(large, "large", small, "small"), larger(small, "small", large, "large"), larger(None, "a", None, "a")
        (True, False, False)
    """
    if (name if model is None else model.id) == (than_name if than is None else than.id):
        return False
    mine, its = _room(model), _room(than)
    return mine is None or its is None or mine > its


def _room(model: Model | None) -> int | None:
    if model is None:
        return None
    # The user may say less of the one than the maker does of the other.
    return min((size for size in (model.max_input, model.context) if size is not None), default=None)
