"""Which handler a method and a path lead to: one table.

Decides how the templates of the table are matched; refuses to know what the handlers do. A template's `{id}` stands for
one segment; a path that stands in the table word for word goes before a template.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from headgate.providers.simulator.answer import Answer
from headgate.providers.simulator.problem import Problem
from headgate.providers.simulator.visit import Visit

Handler = Callable[[Visit, tuple[str, ...]], Answer]
"""Answers a visit, given the ids that stand in its path; may raise a Problem."""

GAP = "{id}"


class Place(NamedTuple):
    """A line of the table.

    Attributes:
        handler: answers there.
        asks: an answer of a model is asked for: what arrives is logged, and limits are shown, refused or not.
    """

    handler: Handler
    asks: bool = False


class Found(NamedTuple):
    """What a path leads to.

    Attributes:
        places: by method.
        ids: what stood in the template's gaps, in order.
    """

    places: Mapping[str, Place]
    ids: tuple[str, ...] = ()

    @property
    def asks(self) -> bool:
        """An answer of a model is asked for there."""
        return any(place.asks for place in self.places.values())


class Addresses:
    """The table.

    Example:
        >>> place = Place(lambda visit, ids: ...)
        >>> table = Addresses({("GET", "/files/{id}"): place})
        >>> table.find("/files/file-1").ids
        ('file-1',)
    """

    def __init__(self, lines: Mapping[tuple[str, str], Place]) -> None:
        """Make a table of the lines: by method and path, below `/v1`."""
        self._exact: dict[str, dict[str, Place]] = {}
        self._templates: dict[tuple[str, ...], dict[str, Place]] = {}
        for (method, path), place in lines.items():
            if GAP in path:
                self._templates.setdefault(tuple(path.split("/")), {})[method] = place
            else:
                self._exact.setdefault(path, {})[method] = place

    def find(self, path: str) -> Found | None:
        """What a path leads to; None: nothing."""
        places = self._exact.get(path)
        if places is not None:
            return Found(places)
        asked = path.split("/")
        for template, places in self._templates.items():
            if len(template) == len(asked):
                pairs = tuple(zip(template, asked, strict=True))
                if all(part if gap == GAP else gap == part for gap, part in pairs):
                    return Found(places, tuple(part for gap, part in pairs if gap == GAP))
        return None


def place_for(found: Found | None, method: str, path: str) -> Place:
    """The line for a method.

    Raises:
        Problem: 404 or 405; the table has none.
    """
    if found is None:
        raise Problem(404, f"Invalid URL ({method} {path})")
    place = found.places.get(method)
    if place is None:
        raise Problem(405, f"Not allowed to {method} on {path}.", code="method_not_supported")
    return place
