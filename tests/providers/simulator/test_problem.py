"""Refusals, in the API's words."""

import json

from headgate.providers.simulator.problem import (
    Problem,
    invalid,
    invalid_schema,
    missing,
    mistyped,
    retry_headers,
    scripted,
    too_large,
    too_small,
    unknown,
    unsupported,
    unsupported_value,
)


def test_the_body_has_the_four_fields():
    """An error is an object with message, type, param and code."""
    body = json.loads(Problem(400, "No.", code="c", param="p").body())
    assert body == {"error": {"message": "No.", "type": "invalid_request_error", "param": "p", "code": "c"}}


def test_each_kind_names_its_field_and_code():
    """The code says what is wrong, the parameter where."""
    problems = [
        missing("a"),
        mistyped("a", "expected a string"),
        invalid("a", "x", ["y", "z"]),
        too_small("a", 1, 2),
        too_large("a", 3, 2),
        unsupported("a"),
        unknown("a"),
        unknown("a", "b"),
        unsupported_value("a", 2, "Only 1."),
        invalid_schema("a", "n", "why."),
    ]
    assert [problem.code for problem in problems] == [
        "missing_required_parameter", "invalid_type", "invalid_value", "integer_below_min_value",
        "integer_above_max_value", "unsupported_parameter", "unknown_parameter", "unsupported_parameter",
        "unsupported_value", "invalid_json_schema",
    ]  # fmt: skip
    assert {problem.param for problem in problems} == {"a"}
    assert {problem.status for problem in problems} == {400}
    assert "Supported values are: 'y', 'z'." in problems[2].message


def test_a_scripted_status_brings_its_usual_code_and_type():
    """What the fault leaves open is what the API says with that status."""

    def facts(status, code=None, type_=None):
        problem = scripted(status, code=code, type=type_, retry_after=None)
        return problem.type, problem.code

    assert facts(503) == ("service_unavailable_error", "server_is_overloaded")
    assert facts(500) == ("server_error", None)
    assert facts(401) == ("invalid_request_error", "invalid_api_key")
    assert facts(404) == ("invalid_request_error", "model_not_found")
    assert facts(429) == ("requests", "rate_limit_exceeded")
    assert facts(429, "insufficient_quota") == ("insufficient_quota", "insufficient_quota")
    assert facts(400, "context_length_exceeded") == ("invalid_request_error", "context_length_exceeded")
    assert facts(418, "x", "y") == ("y", "x")


def test_when_to_come_back():
    """Seconds are rounded up, milliseconds are exact; a fault without a wish sends neither."""
    assert retry_headers(20) == {"retry-after": "20", "retry-after-ms": "20000"}
    assert retry_headers(1.1) == {"retry-after": "2", "retry-after-ms": "1100"}
    assert retry_headers(0) == {"retry-after": "0", "retry-after-ms": "0"}
    assert scripted(429, code=None, type=None, retry_after=None).headers == {}
    assert scripted(429, code=None, type=None, retry_after=0.25).headers["retry-after-ms"] == "250"
