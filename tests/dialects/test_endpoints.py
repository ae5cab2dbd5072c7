"""Covers dialects/endpoints.py: every address, and all that is none."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.call import MODELLESS, Operation
from headgate.core.errors import BadRequestError, MethodNotAllowedError, UnknownPathError
from headgate.dialects import endpoints
from headgate.dialects.endpoints import ENDPOINTS, LONGEST_QUERY, allowed, checked, find, passes
from headgate.dialects.registry import DIALECTS

LINES = [(path, method) for path, methods in ENDPOINTS.items() for method in methods]


@pytest.mark.parametrize(("template", "method"), LINES)
def test_every_line_of_the_page_is_found(template, method):
    """With its operation, its ids, and where the call goes."""
    path = template.replace("{id}", "file-Ab_1")
    found = find(method, path)
    endpoint = ENDPOINTS[template][method]
    assert found.endpoint is endpoint
    assert found.names == (("file-Ab_1",) if "{id}" in template else ())
    assert not found.stream
    if endpoint.plain:
        assert found.address is None
        assert DIALECTS[endpoint.operation].path == path
    else:
        assert found.address is not None
        assert (found.address.method, found.address.path, found.address.query) == (method, path, "")
        assert found.address.listing is endpoint.listing
        assert endpoint.operation in MODELLESS
    assert allowed(path) == ", ".join((*ENDPOINTS[template], "OPTIONS"))


def test_every_operation_has_its_address():
    """But the passthrough, which has none of its own."""
    there = {endpoint.operation for methods in ENDPOINTS.values() for endpoint in methods.values()}
    assert there == set(Operation) - {Operation.PASSTHROUGH}
    assert {DIALECTS[operation].path for operation in there} <= set(ENDPOINTS)


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "/files/", "//files", "/files//content", "/files/file-1/", "/files/file-1/content/",
        "/files/file-1/content/x", "/files/./content", "/files/../batches", "/files/..", "/files/.",
        "/responses/resp_x/../resp_y", "/responses/resp_x/../../files", "/files/file-1%2Fcontent", "/files/%2e%2e",
        "/files/file 1", "/files/file-1?x", "/files/file-1#x", "/files/file-1;x", "/files/file.1", "/files/a:b",
        "/files/\\..\\x", "/files/file-1\r\nhost: x", "/files/\0", "/files/é", "/files/file-1\n", "/files/\uff11",
        "/files/{id}", "/files/{id}/content", "/responses/{id}", "/batches/{id}/cancel", "/uploads/{id}/parts",
        "/Files", "/FILES/file-1", "/files/file-1/Content", "files", "/files/" + "x" * 257, "/chat/x", "/chat",
        "/images/file-1", "/audio", "/responses/resp_x/input_tokens", "/embeddings/", "/v1/files",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_what_is_no_address_is_unknown(path, method):
    """404 in a short message: nothing of such a path ever becomes a part of one that we send."""
    with pytest.raises(UnknownPathError) as caught:
        find(method, path)
    assert len(caught.value.message) < 150
    assert allowed(path) is None


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/v1/chat/completions", "It is `/v1/chat/completions`: a base URL ends with `/v1`, once."),
        ("/v1/files/file-1", "It is `/v1/files/file-1`: a base URL ends with `/v1`, once."),
        ("/v1/nothing", "`/docs` lists the addresses of this gateway."),
        ("/embeddings/", "`/docs` lists the addresses of this gateway."),
    ],
)
def test_a_base_url_that_says_v1_twice_is_noticed(path, hint):
    """The hint names the address that was meant, where there is one."""
    with pytest.raises(UnknownPathError) as caught:
        find("POST", path)
    assert caught.value.hint == hint


def test_the_longest_id():
    """256 characters are one; a message shows not all of a longer path."""
    assert find("GET", "/files/" + "x" * 256).names == ("x" * 256,)
    with pytest.raises(UnknownPathError) as caught:
        find("GET", "/files/" + "x" * 100_000)
    assert len(caught.value.message) < 150


@given(st.text(max_size=30), st.sampled_from(["GET", "POST", "DELETE", "get", "", "PUT"]))
def test_nothing_but_words_of_an_id_gets_into_an_address(words, method):
    """Whatever a caller writes between the slashes."""
    for path in (f"/files/{words}", f"/files/{words}/content", f"/responses/{words}/cancel", words):
        try:
            found = find(method, path)
        except (UnknownPathError, MethodNotAllowedError):
            continue
        assert found.address is None or re.fullmatch(r"/[a-z]+(/[A-Za-z0-9_-]+)?(/[a-z_]+)?", found.address.path)


@pytest.mark.parametrize(
    ("method", "path", "takes"),
    [
        ("GET", "/chat/completions", "POST, OPTIONS"),
        ("DELETE", "/files", "GET, POST, OPTIONS"),
        ("HEAD", "/files/file-1", "GET, DELETE, OPTIONS"),
        ("get", "/files", "GET, POST, OPTIONS"),
        ("POST", "/responses/compact", "GET, DELETE, OPTIONS"),
        ("GET", "/responses/input_tokens", "POST, OPTIONS"),
        ("X" * 1000, "/files", "GET, POST, OPTIONS"),
    ],
)
def test_a_wrong_method_is_405(method, path, takes):
    """The hint says what the address takes."""
    with pytest.raises(MethodNotAllowedError, match="does not take") as caught:
        find(method, path)
    assert caught.value.hint == f"It takes {takes}."
    assert len(caught.value.message) < 150


def test_the_query_travels_where_something_is_read():
    """And nowhere else: what is posted or deleted says all in its path and its body."""
    address = find("GET", "/files", "limit=2&order=asc").address
    assert address is not None
    assert (address.query, address.listing) == ("limit=2&order=asc", True)
    for method, path in (("POST", "/files"), ("DELETE", "/files/file-1"), ("POST", "/batches/b/cancel")):
        address = find(method, path, "x=1").address
        assert address is not None
        assert address.query == ""
    assert find("POST", "/chat/completions", "a b\r\n").address is None


@pytest.mark.parametrize(
    "query", ["a b", "a=\r\nx: y", "a=\x00", "a=é", "a=#b", 'a="', "<a>", "a" * (LONGEST_QUERY + 1)]
)
def test_a_malformed_query_is_refused(query):
    """400; it could end a line or an address somewhere."""
    with pytest.raises(BadRequestError) as caught:
        find("GET", "/files", query)
    assert caught.value.code == "invalid_query"
    with pytest.raises(BadRequestError):
        checked(query)
    assert checked("include[]=a&x=%20" + "a" * 4000)


@pytest.mark.parametrize(
    ("path", "query", "stream"),
    [
        ("/responses/resp_1", "stream=true&starting_after=3", True),
        ("/responses/resp_1", "stream=True", True),
        ("/responses/resp_1", "stream=false", False),
        ("/responses/resp_1", "stream=true&stream=false", False),
        ("/responses/resp_1", "", False),
        ("/responses/resp_1/input_items", "stream=true", False),
        ("/files/file-1", "stream=true", False),
    ],
)
def test_a_stored_response_may_be_replayed(path, query, stream):
    """A stream only where the API has one."""
    assert find("GET", path, query).stream is stream


@pytest.mark.parametrize(
    ("path", "patterns", "through"),
    [
        ("/fine_tuning/jobs", ["/v1/fine_tuning/*"], True),
        ("/fine_tuning/jobs/ftjob-1:x/events.1", ["/v1/*"], True),
        ("/vector_stores", ["/v1/vector_stores"], True),
        ("/vector_stores/x", ["/v1/vector_stores"], False),
        ("/vector_storesx", ["/v1/vector_stores/*"], False),
        ("/vector_stores", ["/v1/vector_stores/*"], False),
        ("/fine_tuning", [], False),
        ("/fine_tuning/../files", ["/v1/*"], False),
        ("/fine_tuning/./jobs", ["/v1/*"], False),
        ("/fine_tuning//jobs", ["/v1/*"], False),
        ("/fine_tuning/", ["/v1/*"], False),
        ("/fine_tuning/%2e%2e/files", ["/v1/*"], False),
        ("/fine_tuning/jobs;x", ["/v1/*"], False),
        ("/fine_tuning/jobs?x=/../", ["/v1/*"], False),
        ("/fine_tuning\\..\\files", ["/v1/*"], False),
        ("/fine_tuning/jobs\n", ["/v1/*"], False),
        ("/fine_tuning/jöbs", ["/v1/*"], False),
        ("", ["/v1/*", "/v1"], False),
        ("fine_tuning", ["/v1/*"], False),
        ("/organization/usage", ["/v1/fine_tuning/*", "/v1/organization/*"], True),
    ],
)  # fmt: skip
def test_what_a_key_may_use_as_it_is(path, patterns, through):
    """Exact paths, or a beginning; nothing that a server might resolve to another path."""
    assert passes(path, patterns) is through


@pytest.mark.parametrize(
    "path",
    [
        "/files", "/files/file-1", "/Files/file-1", "/FILES", "/files/file.1/content", "/files/a:b",
        "/files/x/content/y", "/uploads/u/parts", "/batches", "/bAtches/b", "/responses/resp_1/x",
        "/responses/compact", "/Models", "/models/m",
        "/chat/completions", "/Chat/Completions", "/embeddings", "/EMBEDDINGS", "/images/edits",
    ],
)  # fmt: skip
@pytest.mark.parametrize("patterns", [["/v1/*"], ["*"], ["/v1/files/*", "/v1/Files/*"]])
def test_no_pattern_leads_around_the_page(path, patterns):
    """What has an address here, or lies below what has an owner, goes by its address, in whatever spelling."""
    assert not passes(path, patterns)


def test_the_page_is_complete_and_well_formed():
    """Templates have at most one id, in the second place, where the finder looks for it."""
    for path in ENDPOINTS:
        words = path.split("/")[1:]
        assert all(word == "{id}" or re.fullmatch("[a-z_]+", word) for word in words)
        assert "{id}" not in (words[0], *words[2:])
    with pytest.raises(TypeError):
        endpoints.ENDPOINTS["/x"] = {}  # type: ignore[index]
