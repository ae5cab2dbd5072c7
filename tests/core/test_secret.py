"""Covers core/secret.py."""

import json
import pickle

import msgspec
import pytest

from headgate.core.secret import Secret


def test_a_secret_shows_nothing():
    """No common way of printing or serialising gives the text."""
    secret = Secret("sk-live")
    shown = [
        str(secret),
        repr(secret),
        f"{secret}",
        f"{secret!r:>20}",
        repr([secret]),
        repr({"k": secret}),
    ]
    assert not any("sk-live" in text for text in shown)
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        json.dumps(secret)
    with pytest.raises(TypeError):
        msgspec.json.encode(secret)
    assert not hasattr(secret, "__dict__")


def test_a_secret_is_its_text_to_those_who_ask():
    """Equality, truth and `reveal` work."""
    assert Secret("a") == Secret("a") != Secret("b")
    assert len({Secret("a"), Secret("a")}) == 1
    assert Secret("a").reveal() == "a"
    assert not Secret("")
