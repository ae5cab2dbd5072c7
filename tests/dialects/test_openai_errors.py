"""Error answers and error objects: the right class, the provider's words where they are safe, never a secret."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.errors import (
    Answer,
    APIError,
    AuthenticationError,
    ContentFilterError,
    ContextLengthError,
    GarbledError,
    ModelNotFoundError,
    NoTargetError,
    OverloadedError,
    OversizeError,
    ProviderError,
    QuotaError,
    RateLimitError,
)
from headgate.dialects.openai_errors import error_from, error_object, error_of, facts_in, retry_after

HTML = b"<html><body>502 Bad Gateway sk-secret</body></html>"


def answer(status: int, error: object = None, **headers: str) -> Answer:
    """An error answer with this error object, or with a page of HTML."""
    body = HTML if error is None else json.dumps({"error": error}).encode()
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def said(**fields: object) -> dict[str, object]:
    """An error object in OpenAI's form."""
    return {"message": "Words.", "type": "invalid_request_error", "param": None, "code": None} | fields


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, said(), APIError),
        (400, said(code="unsupported_parameter", param="max_tokens"), APIError),
        (400, said(code="context_length_exceeded"), ContextLengthError),
        (400, said(code=400, message="This model's maximum context length is 4096 tokens."), ContextLengthError),
        (400, said(type="exceed_context_size_error", code=400), ContextLengthError),
        (400, said(code="content_policy_violation"), ContentFilterError),
        (400, said(code="content_filter"), ContentFilterError),
        (400, said(code="billing_hard_limit_reached"), QuotaError),
        (400, None, APIError),
        (401, said(code="invalid_api_key"), AuthenticationError),
        (402, said(), AuthenticationError),
        (403, said(code="insufficient_quota"), AuthenticationError),
        (404, said(code="model_not_found"), ModelNotFoundError),
        (404, said(code="DeploymentNotFound"), ModelNotFoundError),
        (404, said(param="model", message="no such thing"), ModelNotFoundError),
        (404, said(message="The model `m` does not exist."), ModelNotFoundError),
        (404, said(message="No response found with id 'resp_models'."), APIError),
        (404, None, APIError),
        (408, None, OverloadedError),
        (409, None, OverloadedError),
        (413, None, APIError),
        (422, said(), APIError),
        (429, said(code="rate_limit_exceeded", type="tokens"), RateLimitError),
        (429, said(type="tokens", code="rate_limit_exceeded", message="Request too large for m on TPM"), OversizeError),
        (429, said(type="tokens", code="rate_limit_exceeded", message="Rate limit reached for m"), RateLimitError),
        (429, said(type="rate_limit_error", code="slow_down"), RateLimitError),
        (429, None, RateLimitError),
        (429, said(type="insufficient_quota"), QuotaError),
        (429, said(code="insufficient_quota"), QuotaError),
        (429, said(code="credit_balance_exhausted"), QuotaError),
        (429, said(code="organization_spend_limit_exceeded"), QuotaError),
        (429, said(code="project_spend_limit_exceeded"), QuotaError),
        (429, said(code="organization_usage_limit_exceeded"), QuotaError),
        (500, said(type="server_error"), OverloadedError),
        (502, None, OverloadedError),
        (503, said(code="server_is_overloaded"), OverloadedError),
        (529, None, OverloadedError),
        (301, None, GarbledError),
        (304, None, GarbledError),
    ],
)
def test_class_by_status(status, error, kind):
    """Each status and code leads to the one class that its facts call for."""
    assert type(error_from(answer(status, error))) is kind


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (said(code="insufficient_quota"), QuotaError),
        (said(type="insufficient_quota", code=None), QuotaError),
        (said(code="rate_limit_exceeded"), RateLimitError),
        (said(type="tokens"), RateLimitError),
        (said(code="invalid_api_key"), AuthenticationError),
        (said(code="model_not_found"), ModelNotFoundError),
        (said(code="context_length_exceeded"), ContextLengthError),
        (said(code="invalid_prompt"), ContentFilterError),
        (said(code="bio_policy"), ContentFilterError),
        (said(code="misalignment_policy_violation"), ContentFilterError),
        (said(code="image_content_policy_violation"), ContentFilterError),
        (said(), APIError),
        ({"code": "invalid_image_url"}, APIError),
        ({"code": "image_too_large"}, APIError),
        ({"code": "unsupported_image_media_type"}, APIError),
        ({"code": "data_residency_mismatch"}, APIError),
        ({"code": "server_error"}, OverloadedError),
        ({"code": "vector_store_timeout"}, OverloadedError),
        ({"type": "service_unavailable_error", "code": "server_is_overloaded"}, OverloadedError),
        ({"code": 429}, RateLimitError),
        ({"code": 400}, APIError),
        ({"code": 502, "message": "Upstream."}, OverloadedError),
        ({"code": 700}, OverloadedError),
        ({"code": True}, OverloadedError),
        ("it broke", OverloadedError),
        (["?"], OverloadedError),
        (None, OverloadedError),
    ],
)
def test_class_by_name(error, kind):
    """Without a status, code and type decide; an unknown failure after acceptance is trouble at the provider."""
    assert type(error_of(error)) is kind


def test_the_providers_words_are_passed_on():
    """Message, type, code and param are the provider's, and so is the answer."""
    given = answer(400, said(message="Too hot.", code="unsupported_value", param="temperature"))
    error = error_from(given)
    assert error.message == "The provider answered with status 400: Too hot."
    assert (error.type, error.code, error.param) == ("invalid_request_error", "unsupported_value", "temperature")
    assert error.answer is given
    assert error.http_status == 400
    inside = error_of(said(code="server_error", type="server_error"))
    assert inside.message == "The provider failed while it answered: Words."
    assert inside.answer is None
    assert error_of("it broke").message == "The provider failed while it answered: it broke"


@pytest.mark.parametrize("status", [401, 402, 403])
def test_nothing_is_repeated_about_credentials(status):
    """What a provider says of a key may quote the key: neither words nor body get out."""
    error = error_from(answer(status, said(message="Incorrect key sk-secret", code="sk-secret", type="sk-secret")))
    assert error.message == f"The provider answered with status {status}: it does not accept our credentials."
    assert "sk-secret" not in repr((error, error.answer, error.type, error.code, error.param))
    assert (error.answer.status, error.answer.body) == (status, b"")
    inside = error_of(said(code="invalid_api_key", message="Incorrect key sk-secret"))
    assert "sk-secret" not in repr((inside, vars(inside)))


@pytest.mark.parametrize(
    "body", [HTML, b"", b"\xff", b"[]", b"7", b"null", b'"text"', b"[" * 100_000, b'{"error":' + b" " * 2**20 + b"{}}"]
)
def test_bodies_without_facts(body):
    """A body that is not in OpenAI's form, or far too large, tells nothing and leaks nothing."""
    error = error_from(Answer(500, {}, body))
    assert error.message == "The provider answered with status 500 and gave no reason that can be read."
    assert (error.type, error.code, error.param) == ("server_error", "upstream_error", None)


def test_other_forms():
    """Compatible servers put the facts at the top, into a list, or give a bare text."""
    assert facts_in(b'{"object":"error","message":"m","type":"NotFoundError","code":404}').message == "m"
    assert facts_in(b'[{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}]').status == 429
    assert facts_in(b'{"error":"m"}').message == "m"
    assert facts_in(b'{"error":{"message":5,"type":[],"code":{},"param":7}}') == (None, None, None, None, None)


def test_sizes_are_capped():
    """A provider cannot fill our logs."""
    facts = facts_in(json.dumps({"error": dict.fromkeys(("message", "type", "code", "param"), "x" * 9999)}).encode())
    assert [len(fact or "") for fact in facts[:4]] == [4000, 200, 200, 200]
    assert len(error_of("x" * 9999).message) < 4100


def test_a_redirect_names_the_cure():
    """Redirects are not followed: the address in the configuration is wrong."""
    error = error_from(answer(308))
    assert "status 308" in error.message
    assert "base_url" in error.hint


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e300"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "later"}, None),
        ({"retry-after": "Fri, 20 Nov 2026 10:00:30 GMT", "date": "Fri, 20 Nov 2026 10:00:00 GMT"}, 30.0),
        ({"retry-after": "Fri, 20 Nov 2026 09:00:30 GMT", "date": "Fri, 20 Nov 2026 10:00:00 GMT"}, None),
        ({"retry-after": "Fri, 20 Nov 2026 10:00:30 GMT", "date": "Fri, 20 Nov 2026 10:00:00 -0000"}, None),
        ({"retry-after": "Fri, 20 Nov 2026 10:00:30 GMT"}, None),
        ({"retry-after": "Fri, 99 Nov 99999 10:00:30 GMT", "date": "Fri, 20 Nov 2026 10:00:00 GMT"}, None),
    ],
)
def test_retry_after(headers, seconds):
    """The wait is read in every spelling, a date against the answer's own date; nonsense is no wait."""
    assert retry_after(Answer(429, headers, b"")) == seconds


def test_who_is_told_to_wait():
    """Rate limits and overloads carry the wait; where waiting does not help, there is none."""
    assert error_from(answer(429, retry_after="3")).retry_after == 3.0
    assert error_from(answer(503, retry_after_ms="1500")).retry_after == 1.5
    assert error_from(answer(429, said(code="insufficient_quota"), retry_after="3")).retry_after is None
    assert error_from(answer(400, said(), retry_after="3")).retry_after is None


def test_our_own_errors_in_openais_form():
    """Four fields, as OpenAI's clients read them."""
    error = NoTargetError("Nobody is there.", param="model")
    assert error_object(error) == {
        "message": "Nobody is there.",
        "type": "refused",
        "param": "model",
        "code": "no_target",
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error", "message", "type", "code", "param"]), inner, max_size=5)
    ),
    max_leaves=10,
)


@given(st.integers(300, 999), JSON | st.binary(), st.text(max_size=30), st.text(max_size=30))
def test_no_answer_is_too_strange(status, body, wait, date):
    """Whatever a server answers, it becomes one of our errors."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    error = error_from(Answer(status, {"retry-after": wait, "date": date}, raw))
    assert isinstance(error, ProviderError)
    assert error.retry_after is None or error.retry_after >= 0
    assert isinstance(error_of(body), APIError)
