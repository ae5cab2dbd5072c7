"""What every section of the configuration has in common."""

from datetime import date

import pytest
from pydantic import Field, ValidationError

from headgate.gate.section import Section


class Example(Section):
    """Some settings."""

    port: int = Field(4000, description="a number")
    until: date | None = Field(None, description="a day")
    name: str | None = Field(None, description="a text")


def test_a_setting_without_a_value_is_absent():
    """So is a section with every line of it commented out."""
    assert Example.model_validate({"port": None, "name": None}) == Example()
    assert Example.model_validate({"port": 1}).model_fields_set == {"port"}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"port": True}, "must not be true or false"),
        ({"until": 20270630}, "must be a date such as 2027-06-30"),
        ({"unknown": 1}, "Extra inputs are not permitted"),
        ({"unknown": None}, "Extra inputs are not permitted"),
        ([], "valid dictionary"),
    ],
)
def test_what_is_refused(data, said):
    """What looks like one thing and means another, and what nobody knows, even without a value."""
    with pytest.raises(ValidationError, match=said):
        Example.model_validate(data)


def test_it_cannot_be_changed():
    """A configuration is exchanged, never edited."""
    with pytest.raises(ValidationError, match="frozen"):
        Example().port = 1
