"""The table of addresses."""

import pytest

from headgate.providers.simulator.addresses import Addresses, Place, place_for
from headgate.providers.simulator.problem import Problem


def handler(visit, ids):
    """Answers nothing: only where it stands matters here."""


LIST, NEW, COUNT, GET, DROP, PART = (Place(handler, asks=at == 1) for at in range(6))
TABLE = Addresses(
    {
        ("GET", "/files"): LIST,
        ("POST", "/responses"): NEW,
        ("POST", "/responses/count"): COUNT,
        ("GET", "/responses/{id}"): GET,
        ("DELETE", "/responses/{id}"): DROP,
        ("GET", "/a/{id}/b/{id}"): PART,
    }
)


@pytest.mark.parametrize(
    ("method", "path", "place", "ids"),
    [
        ("GET", "/files", LIST, ()),
        ("POST", "/responses", NEW, ()),
        ("POST", "/responses/count", COUNT, ()),
        ("GET", "/responses/resp_1", GET, ("resp_1",)),
        ("DELETE", "/responses/resp_1", DROP, ("resp_1",)),
        ("GET", "/a/1/b/2", PART, ("1", "2")),
    ],
)
def test_lines(method, path, place, ids):
    """Words go before gaps; the ids come in order."""
    found = TABLE.find(path)
    assert place_for(found, method, path) is place
    assert found.ids == ids
    assert found.asks == (place is NEW)


@pytest.mark.parametrize("path", ["", "/", "/files/", "/file", "/responses/", "/responses/a/b", "/a//b/2", "/a/1/c/2"])
def test_what_is_not_there(path):
    """Gaps are one segment, and are never empty."""
    with pytest.raises(Problem) as caught:
        place_for(TABLE.find(path), "GET", "/v1" + path)
    assert (caught.value.status, caught.value.message) == (404, f"Invalid URL (GET /v1{path})")


def test_another_method():
    """What is there for somebody else is no 404."""
    with pytest.raises(Problem) as caught:
        place_for(TABLE.find("/files"), "PUT", "/v1/files")
    assert (caught.value.status, caught.value.code) == (405, "method_not_supported")
