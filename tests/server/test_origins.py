"""Pages of other sites."""

import asyncio

import pytest

from headgate.server.asgi import DIRECT
from headgate.server.origins import Origins

PAGE = "https://app.example.com"


def _ask(client, origins, method="GET", **headers):
    async def app(scope, _receive, send) -> None:
        fields = [(b"allow", b"POST, OPTIONS"), (b"content-length", b"0")]
        await send(
            {"type": "http.response.start", "status": 204 if scope["method"] == "OPTIONS" else 200, "headers": fields}
        )
        await send({"type": "http.response.body", "body": b""})

    fields = [(name.replace("_", "-"), value) for name, value in headers.items()]
    got = asyncio.run(client(Origins(app, origins)).send(method, "/v1/x", [b""], fields))
    return {name: value for name, value in got.headers.items() if name.startswith("access-control") or name == "vary"}


def test_a_page_of_a_named_origin_may_read(client):
    """It is told so by name, and may see all headers; no cookies."""
    assert _ask(client, [PAGE], origin=PAGE) == {
        "access-control-allow-origin": PAGE,
        "access-control-expose-headers": "*",
        "vary": "Origin",
    }


@pytest.mark.parametrize("origin", ["https://evil.example", "null", PAGE + ".evil.example", PAGE + ":8443", "*", None])
def test_any_other_may_not(client, origin):
    """Nothing is said but that the answer depends on who asks, so that caches keep answers apart."""
    headers = {} if origin is None else {"origin": origin}
    assert _ask(client, [PAGE], **headers) == {"vary": "Origin"}
    headers["access_control_request_method"] = "POST"
    assert _ask(client, [PAGE], "OPTIONS", **headers) == {"vary": "Origin"}


def test_a_browser_that_asks_beforehand_is_told_what_it_may(client):
    """Methods, the headers it wishes for, and for how long; `OPTIONS` itself is the application's."""
    asked = {"origin": PAGE, "access_control_request_method": "POST"}
    told = _ask(client, [PAGE], "OPTIONS", **asked, access_control_request_headers="authorization, x-stainless-os")
    assert told == {
        "access-control-allow-origin": PAGE,
        "access-control-expose-headers": "*",
        "access-control-allow-methods": "GET, HEAD, POST, DELETE, OPTIONS",
        "access-control-allow-headers": "authorization, x-stainless-os",
        "access-control-max-age": "600",
        "vary": "Origin",
    }
    endless = _ask(client, [PAGE], "OPTIONS", **asked, access_control_request_headers="a" * 5000)
    assert "access-control-allow-headers" not in endless
    assert "access-control-allow-methods" not in _ask(client, [PAGE], "OPTIONS", origin=PAGE)


def test_any_origin_is_a_star_and_never_comes_with_credentials(client):
    """The answer is the same for all."""
    told = _ask(client, ["*"], origin="https://anybody.example")
    assert told == {"access-control-allow-origin": "*", "access-control-expose-headers": "*"}
    assert told == _ask(client, ["*"])


@pytest.mark.parametrize("page", [True, False])
def test_the_shorter_way_is_left_to_those_who_are_no_page(page):
    """What goes past `send` would go past these headers."""
    seen = []

    async def app(scope, _receive, _send) -> None:
        seen.append(scope.get("extensions"))

    fields = [(b"origin", PAGE.encode())] if page else []
    scope = {"type": "http", "method": "GET", "headers": fields, "extensions": {DIRECT: 1}}
    asyncio.run(Origins(app, [PAGE])(scope, None, None))
    assert seen == [{} if page else {DIRECT: 1}]


def test_what_is_no_request_passes():
    """A lifespan is the application's."""
    seen = []

    async def app(scope, _receive, _send) -> None:
        seen.append(scope["type"])

    asyncio.run(Origins(app, [PAGE])({"type": "lifespan"}, None, None))
    assert seen == ["lifespan"]
