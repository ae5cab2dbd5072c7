"""What headgate recognises by itself, and what it takes for nothing."""

import pytest

from headgate.policies.guard.engine import Engine
from headgate.policies.guard.recognisers import PERSONAL, PRESETS, SECRETS

KINDS = {"secrets": SECRETS, "personal": PERSONAL, **PRESETS}
ENGINES = {name: Engine(patterns, bounded=True) for name, patterns in KINDS.items()}


def found(kind, text):
    """What is found in a text: names and words."""
    words = text.encode()
    engine = ENGINES[kind]
    return [(engine.patterns[one.pattern].name, words[one.start : one.end].decode()) for one in engine.find(words)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("openai_key", "sk-" + "proj-Ab1_" * 4),
        ("headgate_key", "hg-" + "aB3" * 10),
        ("aws_access_key", "AKIA" + "IOSFODNN7EXAMPLE"),
        ("aws_secret_key", "aws_secret_access_key = " + "a/B1" * 10),
        ("github_token", "ghp_" + "aB1" * 12),
        ("slack_token", "xoxb-" + "123456789012-abc"),
        ("google_key", "AIza" + "aB_1-" * 7),
        ("stripe_key", "sk_live_" + "aB1" * 8),
        ("json_web_token", "eyJ" + "hbGciOiJI" + ".eyJ" + "zdWIiOiIx" + "." + "SflKxwRJSM"),
        ("private_key", "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEpAIBAAKCAQ\n"),
    ],
)
def test_secrets(name, text):
    """Each is found whole within a sentence."""
    assert found("secrets", f"it is {text}, yes") == [(name, text)]


def test_no_secrets():
    """Words with hyphens, hashes and short things are none."""
    assert found("secrets", "a task-force-of-the-whole-department, sk-short, " + "0f" * 32) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("email", "jo.doe+x@mail.example.co.uk"),
        ("card", "4111 1111 1111 1111"),
        ("card", "378282246310005"),
        ("iban", "DE89 3704 0044 0532 0130 00"),
        ("iban", "GB82WEST12345698765432"),
        ("phone", "+49 170 1234567"),
        ("phone", "(555) 123-4567"),
    ],
)
def test_personal_data(name, text):
    """Each is found, and nothing around it."""
    assert (name, text) in found("personal", f"this: {text} and more")


@pytest.mark.parametrize(
    "text", ["4111 1111 1111 1112", "DE89 3704 0044 0532 0130 01", "12.05.2024 12:30", "id 1234567890123", "a@b"]
)
def test_digits_that_do_not_add_up_are_no_personal_data(text):
    """A wrong check digit, a date, an id."""
    assert {name for name, _ in found("personal", text)} <= {"phone"}


def test_a_card_before_more_digits():
    """The groups behind it do not hide it."""
    assert ("card", "4111 1111 1111 1111") in found("personal", "4111 1111 1111 1111 99")


@pytest.mark.parametrize(
    ("category", "text"),
    [
        ("get_rich_quick", "Earn up to $5,000 a week!"),
        ("urgency", "Hurry, the offer ends tonight."),
        ("exclusivity", "You have been hand-picked."),
    ],
)
def test_the_language_of_manipulation(category, text):
    """Promises, urgency, exclusivity; and a sober text has none."""
    assert category in {name for name, _ in found("manipulative_language", text)}
    assert found("manipulative_language", "The price of the ticket is shown on the page. Act as you see fit.") == []
