"""What the description says of the hot paths."""

from headgate.core.errors import tree
from headgate.dialects.registry import BY_PATH
from headgate.gate import ask
from headgate.server.openapi import components, hot_paths


def test_every_hot_path_is_described():
    """Each dialect's path, and the list of models."""
    assert hot_paths().keys() == {"/v1" + path for path in BY_PATH} | {"/v1/models"}


def test_every_status_of_ours_is_described():
    """All statuses of the error table, with the codes that they come with."""
    responses = hot_paths()["/v1/responses"]["post"]["responses"]
    for error in tree():
        if error.status is not None:
            assert f"`{error.code}`" in responses[str(error.status)]["description"]


def test_every_header_that_is_read_is_described():
    """Tags, deadline, priority and trailer."""
    names = {parameter["name"] for parameter in hot_paths()["/v1/chat/completions"]["post"]["parameters"]}
    assert names == {ask.TAGS, ask.DEADLINE, ask.PRIORITY, "x-headgate-trailer"}


def test_what_is_referred_to_exists():
    """The error's schema and the key."""
    found = components()
    assert "Error" in found["schemas"]
    assert "key" in found["securitySchemes"]
