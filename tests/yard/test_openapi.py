"""The tests' copy of OpenAI's schemas, and the tool that makes it."""

import json

import pytest

from tools.openapi import COPY, SOURCE, read, trim, write


def test_what_is_kept():
    """What is wanted and what it refers to, without words; a property may be called like one of them."""
    schemas = {
        "Wanted": {
            "type": "object",
            "description": "Words.",
            "properties": {
                "title": {"type": "string", "nullable": True, "example": "x"},
                "inner": {"$ref": "#/components/schemas/Inner"},
            },
            "x-oai": 1,
        },
        "Inner": {"$recursiveAnchor": True, "items": {"$recursiveRef": "#"}, "default": []},
        "Other": {"type": "string"},
    }
    assert trim(schemas, ("Wanted",)) == {
        "Inner": {"items": {"$ref": "#/components/schemas/Inner"}},
        "Wanted": {
            "type": "object",
            "properties": {
                "title": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "inner": {"$ref": "#/components/schemas/Inner"},
            },
        },
    }


def test_the_copy_is_json():
    """However it is laid out."""
    schemas = {"A": {"type": "string"}, "B": {}}
    assert json.loads(write(schemas))["components"]["schemas"] == schemas


@pytest.mark.skipif(not SOURCE.exists(), reason="OpenAI's document does not stand beside the project here")
def test_the_copy_is_true():
    """It is what the tool makes of the document today."""
    assert COPY.read_text("utf-8") == write(trim(read(SOURCE)))
