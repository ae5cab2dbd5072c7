"""Templates of prompts."""

import msgspec
import pytest

from headgate.core.errors import BadRequestError
from headgate.jobs.template import Template, plain


def test_gaps_are_filled_and_braces_stay():
    """By name, any number of times; a name may hold anything but braces."""
    template = Template("{a}: {{x}} {the second} {a}")
    assert template.names == ("a", "the second")
    assert template.fill({"a": "1", "the second": "{a}"}) == "1: {x} {a} 1"
    with pytest.raises(KeyError):
        template.fill({"a": "1"})


def test_a_gap_is_a_name_and_nothing_else():
    """No attribute and no index of Python's is reached through one."""
    template = Template("{a.__class__} {b[0]}")
    assert template.names == ("a.__class__", "b[0]")
    with pytest.raises(KeyError):
        template.fill({"a": "x", "b": "y"})


@pytest.mark.parametrize("text", ["no gap", "{", "}", "{}", "{a!r}", "{a:>9}", "{ }"])
def test_what_is_no_template_is_refused(text):
    """With the way to write one."""
    with pytest.raises(BadRequestError) as caught:
        Template(text)
    assert "`{column}`" in caught.value.hint


@pytest.mark.parametrize(
    ("raw", "text"),
    [('"a\\n"', "a\n"), ("1.50", "1.50"), ("null", None), ('{"a": [1]}', '{"a": [1]}'), ("true", "true")],
)
def test_values_stand_in_a_prompt_as_people_write_them(raw, text):
    """A text without its quotes; numbers keep their spelling."""
    assert plain(msgspec.Raw(raw.encode())) == text
