"""Who speaks the provider's dialect gets the provider's bytes, and the provider gets the caller's: nothing is reworded.

And what must not travel does not: keys, cookies, addresses, the limits of our account.
"""

import asyncio
import json

import pytest

pytestmark = pytest.mark.e2e
doors = pytest.mark.parametrize("door", ["http", "process"])

PATHS = {"chat": "chat/completions", "responses": "responses"}
JSON = {"content-type": "application/json"}

# Unknown fields, explicit nulls, an order of its own, every spelling of numbers and letters that a parser would undo.
ODD = (
    b'{ "zz_first" :null,"model":"served-9" ,\n\t"big":123456789012345678901234567890,"exact":1.00,"exp":1E+2,'
    b'"low":-0.0,"created":1700000000,"object":"chat.completion","output":[],'
    b'"nested":{"b":[1,{"a":null}],"a":"\\u0041\\/\\ud83d\\ude00"},'
    b'"choices":[{"logprobs":null,"index":0,"message":{"content":"\\u0048i \xc3\xa9","role":"assistant","refusal":null,'
    b'"x_note":null},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,'
    b'"input_tokens":3,"output_tokens":2,"x":null},"zz_last":""}  \r\n'
)

CHAT_EVENTS = (
    b": welcome\n\n",
    b'data: {"zz":null,"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":"","x":null}}]}\n\n',
    b'event: odd\r\ndata:{"choices" : [{"delta":{"content":"\\u0048i \xf0\x9f\x98\x80"},"index":0}],"n":1.50}\r\n\r\n',
    b'id: 7\nretry: 10\ndata: {"choices":[{"delta":{},\ndata: "index":0,"finish_reason":"stop"}]}\n\n',
)
USAGE = b'data: {"choices":[],"model":"served-9","usage":{"prompt_tokens":3,"completion_tokens":2,"x":1e0}}\n\n'
DONE = b"data: [DONE]\n\n"
RESPONSES_END = (
    b'event: response.completed\ndata: {"zz":null,"type":"response.completed","response":{"status":"completed",\n'
    b'data: "output":[],"model":"served-9","usage":{"input_tokens":3,"output_tokens":2,"x":-0.0}}}\n\n'
)
RESPONSES_EVENTS = (
    b'event: response.created\ndata: {"type":"response.created","sequence_number":0,"response":{"zz":null}}\n\n',
    b'event: response.unheard_of\ndata: {"type":"response.unheard_of","n":1E2}\n\n',
    b'event: response.output_text.delta\ndata: {"delta":"\\u0048i","type":"response.output_text.delta","x":null}\n\n',
    RESPONSES_END,
)

# What the caller writes: odd in its own way.
ASKED = (
    b'{ "temperature":1.00 ,"model":"m\\u002d1","zz":null,"c":"caf\xc3\xa9","big":12345678901234567890123,\r\n'
    b'"messages":[{"role":"developer","content":"\\ud83d\\ude00"}],"input":"x","x":{"b":1,"a":null},"n":1E1}\n'
)


def _told(stand, door, story, **settings):
    async def whole():
        async with stand(door, **settings) as at:
            return await story(at)

    return asyncio.run(whole())


@doors
@pytest.mark.parametrize("api", PATHS)
def test_a_whole_answer_comes_down_as_it_is(door, api, stand, whole):
    """Every byte of it, spaces at the end included; the books read it all the same."""

    async def story(at):
        at.upstream.answer = lambda _: whole(ODD)
        answer = await at.http.post(PATHS[api], content=ASKED, headers=JSON)
        counters = at.gate.meter.counters
        return answer, (counters.prompt_tokens, counters.completion_tokens)

    answer, tokens = _told(stand, door, story)
    assert answer.content == ODD
    assert answer.status_code == 200
    assert tokens == (3, 2)


@doors
@pytest.mark.parametrize("api", PATHS)
@pytest.mark.parametrize("by_byte", [False, True], ids=["by event", "by byte"])
def test_a_stream_comes_down_as_it_is(door, api, by_byte, stand, streamed):
    """Comments, line ends, field order, unknown events: all of it, however the network cuts it."""
    events = (*CHAT_EVENTS, USAGE, DONE) if api == "chat" else RESPONSES_EVENTS
    pieces = [bytes([byte]) for byte in b"".join(events)] if by_byte else events
    asked = ASKED.replace(b'"zz":null', b'"stream":true,"stream_options":{"include_usage":true}')

    async def story(at):
        at.upstream.answer = lambda _: streamed(*pieces)
        answer = await at.http.post(PATHS[api], content=asked, headers=JSON)
        counters = at.gate.meter.counters
        return answer, (counters.prompt_tokens, counters.completion_tokens)

    answer, tokens = _told(stand, door, story)
    assert answer.content == b"".join(events)
    assert tokens == (3, 2)


@doors
@pytest.mark.parametrize("options", [b"", b'"stream_options":{"include_usage":false},', b'"stream_options":null,'])
def test_the_usage_that_nobody_asked_for_is_withheld(door, options, stand, streamed):
    """Asked for upstream and booked; the other bytes of the stream are untouched."""
    asked = b'{"model":"m",' + options + b'"stream":true,"messages":[]}'

    async def story(at):
        at.upstream.answer = lambda _: streamed(*CHAT_EVENTS, USAGE, DONE)
        answer = await at.http.post(PATHS["chat"], content=asked, headers=JSON)
        return answer, at.upstream.seen, at.gate.meter.counters.completion_tokens

    answer, (seen,), tokens = _told(stand, door, story)
    assert answer.content == b"".join((*CHAT_EVENTS, DONE))
    assert seen.json["stream_options"] == {"include_usage": True}
    assert tokens == 2


@doors
@pytest.mark.parametrize("api", PATHS)
def test_a_request_goes_up_as_it_is(door, api, stand, whole):
    """Where the route does not rename the model, not a byte of it changes; `developer` stays `developer`."""

    async def story(at):
        at.upstream.answer = lambda _: whole(ODD)
        await at.http.post(PATHS[api], content=ASKED, headers=JSON)
        return at.upstream.seen

    (seen,) = _told(stand, door, story)
    assert seen.body == ASKED
    assert seen.line == f"POST /v1/{PATHS[api]} HTTP/1.1"
    assert seen.json["messages"][0]["role"] == "developer"


@doors
@pytest.mark.parametrize("api", PATHS)
def test_only_the_models_name_changes_where_the_route_says_so(door, api, stand, whole):
    """The value of `model`, and no byte beside it."""

    async def story(at):
        at.upstream.answer = lambda _: whole(ODD)
        await at.http.post(PATHS[api], content=ASKED, headers=JSON)
        return at.upstream.seen

    models = {"m-1": {"targets": [{"provider": "up", "model": "other/é"}]}}
    (seen,) = _told(stand, door, story, models=models)
    before, after = ASKED.split(b'"m\\u002d1"')
    assert seen.body.startswith(before)
    assert seen.body.endswith(after)
    assert json.loads(seen.body[len(before) : -len(after)]) == "other/é"


@doors
def test_only_the_wish_for_usage_changes_in_a_stream(door, stand, streamed):
    """It is added in front, or set where it stands; who has it already sends the same bytes."""
    wish = b'"stream_options":{"include_usage":true},'
    cases = {
        b'{ "zz":null,"stream":true,"model":"m" }': b'{%b "zz":null,"stream":true,"model":"m" }' % wish,
        b'{"model":"m","stream":true,"stream_options": {"x":1.0,"include_usage":false},"n":1E0}': (
            b'{"model":"m","stream":true,"stream_options": {"x":1.0,"include_usage":true},"n":1E0}'
        ),
        b'{"model":"m","stream":true, "stream_options" :{ "include_usage" : true }}': (
            b'{"model":"m","stream":true, "stream_options" :{ "include_usage" : true }}'
        ),
    }

    async def story(at):
        at.upstream.answer = lambda _: streamed(*CHAT_EVENTS, USAGE, DONE)
        for asked in cases:
            assert (await at.http.post(PATHS["chat"], content=asked, headers=JSON)).status_code == 200
        return [seen.body for seen in at.upstream.seen]

    assert _told(stand, door, story) == list(cases.values())


CALLERS = {
    "authorization": "Bearer hg-callers-own",
    "api-key": "hg-callers-second",
    "x-api-key": "hg-callers-third",
    "cookie": "session=callers",
    "x-headgate-tags": "team=a",
    "x-headgate-deadline": "30s",
    "x-headgate-priority": "9",
    "x-headgate-trailer": "1",
    "x-headgate-unheard-of": "1",
    "idempotency-key": "callers",
    "x-client-request-id": "callers",
    "x-forwarded-for": "10.1.2.3",
    "forwarded": "for=10.1.2.3",
    "referer": "https://intranet.example/",
    "origin": "https://intranet.example",
    "openai-organization": "org-callers",
    "openai-project": "proj_callers",
    "x-stainless-lang": "python",
    "accept-encoding": "gzip, br",
    "proxy-authorization": "Basic callers",
    "te": "trailers",
    "user-agent": "callers/1",
    "openai-beta": "assistants=v2, realtime=v1",
    **JSON,
}


@doors
def test_what_goes_up_beside_the_body(door, stand, whole):
    """Our key, our names, `openai-beta`, and nothing else of the caller's; each attempt has an id of its own."""

    async def story(at):
        at.upstream.answer = lambda _: whole(ODD)
        answer = await at.http.post(PATHS["chat"], content=ASKED, headers=CALLERS)
        return at.upstream, answer, at.gate.instance

    upstream, answer, instance = _told(stand, door, story)
    (seen,) = upstream.seen
    ours = answer.headers["x-request-id"].removeprefix("req_")
    assert sorted(seen.headers) == sorted(
        {
            "host": upstream.address.removeprefix("http://"),
            "user-agent": "headgate",
            "accept-encoding": "identity",
            "authorization": "Bearer sk-upstream",
            "content-type": "application/json",
            "content-length": str(len(ASKED)),
            "x-headgate-hop": instance,
            "x-client-request-id": f"{ours}-1",
            "openai-beta": "assistants=v2, realtime=v1",
        }.items()
    )


def test_the_hops_of_a_call_go_up(stand, whole):
    """A call through several gateways names each, so that a loop is noticed by any of them."""

    async def story(at):
        at.upstream.answer = lambda _: whole(ODD)
        await at.http.post(PATHS["chat"], content=ASKED, headers={**JSON, "x-headgate-hop": "elsewhere"})
        back = await at.http.post(PATHS["chat"], content=ASKED, headers={**JSON, "x-headgate-hop": at.gate.instance})
        return at.upstream.seen, at.gate.instance, back

    (seen,), instance, back = _told(stand, "http", story)
    hops = ",".join(value for name, value in seen.headers if name == "x-headgate-hop")
    assert sorted(hop.strip() for hop in hops.split(",")) == sorted([instance, "elsewhere"])
    assert (back.status_code, back.json()["error"]["code"]) == (508, "loop_detected")


UPSTREAMS = [
    ("content-type", "application/json"),
    ("server", "cloudflare"),
    ("date", "Sat, 21 Nov 2026 03:00:00 GMT"),
    ("set-cookie", "__cf_bm=ours; path=/; HttpOnly; Secure"),
    ("set-cookie", "_cfuvid=ours; path=/"),
    ("x-request-id", "req_theirs"),
    ("x-ratelimit-limit-requests", "10000"),
    ("x-ratelimit-remaining-tokens", "1999"),
    ("x-ratelimit-reset-tokens", "6m0s"),
    ("openai-organization", "org-ours"),
    ("openai-project", "proj_ours"),
    ("openai-processing-ms", "12"),
    ("openai-version", "2020-10-01"),
    ("cf-ray", "8"),
    ("alt-svc", 'h3=":443"'),
    ("strict-transport-security", "max-age=1"),
    ("access-control-allow-origin", "*"),
    ("x-headgate-simulated", "1"),
    ("x-headgate-cost-usd", "0"),
    ("via", "1.1 proxy"),
]
OURS = {
    "x-request-id",
    "x-headgate-attempts",
    "x-headgate-provider",
    "x-headgate-model",
    "x-headgate-upstream-request-id",
}


def dated(door: str, answer) -> set[str]:
    """A server tells when it answers; nobody else's date comes down."""
    assert answer.headers.get("date") != dict(UPSTREAMS).get("date", "")
    return {"date"} if door == "http" else set()


@doors
@pytest.mark.parametrize("form", ["whole", "streamed"])
def test_what_comes_down_beside_the_body(door, form, stand, whole, streamed):
    """What the provider says to us alone stays here; every answer has our `x-request-id`."""
    asked = b'{"model":"m","messages":[],"stream":%s}' % (b"true" if form == "streamed" else b"false")

    async def story(at):
        if form == "whole":
            at.upstream.answer = lambda _: whole(ODD, headers=UPSTREAMS)
        else:
            events = [("content-type", "text/event-stream"), *UPSTREAMS[1:]]
            at.upstream.answer = lambda _: streamed(*CHAT_EVENTS, USAGE, DONE, headers=events)
        return await at.http.post(PATHS["chat"], content=asked, headers=JSON)

    answer = _told(stand, door, story)
    assert answer.status_code == 200
    framing = {"content-length"} if form == "whole" else {"transfer-encoding"} if door == "http" else set()
    more = set() if form == "whole" else {"cache-control", "x-accel-buffering"}
    passed = {"content-type", "openai-processing-ms", "openai-version"}
    assert set(answer.headers) == OURS | passed | framing | more | dated(door, answer) | {"x-headgate-cache"}
    assert answer.headers["x-request-id"].startswith("req_")
    assert answer.headers["x-request-id"] != "req_theirs"
    assert answer.headers["x-headgate-upstream-request-id"] == "req_theirs"


@doors
def test_what_comes_down_beside_an_error(door, stand, whole):
    """A provider's own refusal keeps its status and its body to the byte, and loses what is ours alone."""
    body = b'{ "error" : {"message":"caf\\u00e9 \xc3\xa9","zz":null,"type":"invalid_request_error","code":null}}\n'

    async def story(at):
        at.upstream.answer = lambda _: whole(body, status=422, headers=UPSTREAMS)
        return await at.http.post(PATHS["chat"], content=ASKED, headers=JSON)

    answer = _told(stand, door, story)
    assert (answer.status_code, answer.content) == (422, body)
    assert set(answer.headers) == OURS | {"content-type", "content-length", "x-should-retry"} | dated(door, answer)


@doors
def test_no_cookie_is_kept(door, stand, whole):
    """Cookies that the upstream sets come back neither to it nor to anybody."""

    async def story(at):
        at.upstream.answer = lambda _: whole(ODD, headers=UPSTREAMS)
        for _ in range(3):
            await at.http.post(PATHS["chat"], content=ASKED, headers=JSON)
        return at.upstream, list(at.http.cookies.jar)

    upstream, kept = _told(stand, door, story)
    assert upstream.connections == 1
    assert len(upstream.seen) == 3
    assert not [name for seen in upstream.seen for name, _ in seen.headers if "cookie" in name]
    assert kept == []
