"""What the description says of the hot paths."""

from headgate.core.error_table import tree
from headgate.dialects.endpoints import ENDPOINTS
from headgate.gate import ask
from headgate.server.openapi import components, hot_paths


def test_every_hot_path_is_described():
    """Each address of the page of addresses with its methods, the models, and a key's own usage."""
    ours = {"/v1/models": {"get"}, "/v1/models/{id}": {"get"}, "/v1/usage": {"get"}}
    expected = {"/v1" + path: {method.lower() for method in methods} for path, methods in ENDPOINTS.items()} | ours
    assert {path: set(methods) for path, methods in hot_paths().items()} == expected


def test_every_status_of_ours_is_described():
    """All statuses of the error table, with the codes that they come with."""
    responses = hot_paths()["/v1/responses"]["post"]["responses"]
    for error in tree():
        if error.status is not None:
            assert f"`{error.code}`" in responses[str(error.status)]["description"]


def test_every_header_that_is_read_is_described():
    """Tags, deadline, priority, cache, trailer and `Idempotency-Key`."""
    names = {parameter["name"] for parameter in hot_paths()["/v1/chat/completions"]["post"]["parameters"]}
    assert names == {ask.TAGS, ask.DEADLINE, ask.PRIORITY, ask.CACHE, ask.IDEMPOTENCY, "x-headgate-trailer"}


def test_what_is_referred_to_exists():
    """The error's schema and the key."""
    found = components()
    assert "Error" in found["schemas"]
    assert "key" in found["securitySchemes"]
