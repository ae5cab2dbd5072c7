"""What may stand in the head of a request."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.errors import BadRequestError, HeadgateError, MethodNotAllowedError
from headgate.server.head import (
    MAX_ADDRESS,
    MAX_FIELD,
    MAX_FIELDS,
    Hosts,
    Refusal,
    check_coding,
    check_size,
    check_version,
    expects_continue,
    read_target,
)


@pytest.mark.parametrize(
    ("address", "path", "query", "authority"),
    [
        (b"/", "/", b"", None),
        (b"/v1/models?a=b?c", "/v1/models", b"a=b?c", None),
        (b"/v1/%63hat%2Fcompletions", "/v1/chat/completions", b"", None),
        (b"/v1/models/org%2Fname", "/v1/models/org/name", b"", None),
        (b"/v1/models/.hidden/..x/x..", "/v1/models/.hidden/..x/x..", b"", None),
        (b"//v1//x", "//v1//x", b"", None),
        (b"/%C3%A4", "/ä", b"", None),
        (b"http://x:80/a?b", "/a", b"b", b"x:80"),
        (b"HTTPS://x", "/", b"", b"x"),
        (b"http://x?b", "/", b"b", b"x"),
    ],
)
def test_addresses_are_read(address, path, query, authority):
    """Percent-decoded once, and otherwise as they are; a whole address brings its host along."""
    target = read_target("GET", address)
    assert (target.path, target.query, target.authority) == (path, query, authority)


@pytest.mark.parametrize(
    "address",
    [
        b"/v1/../admin", b"/v1/%2e%2e/admin", b"/..", b"/./x", b"/%2e", b"/x%2f..%2fy", b"/x%5c..%5cy", b"/a/.%2e/b",
        b"/%c0%af", b"/%ff", b"/%00", b"/%0d%0a", b"/%7f", b"*", b"v1", b"", b"x:80", b"ftp://x/", b"http:/x",
    ],
)  # fmt: skip
def test_addresses_that_could_mean_two_things_are_refused(address):
    """Dots, broken UTF-8, control characters, and what is no address."""
    with pytest.raises(BadRequestError) as caught:
        read_target("GET", address)
    assert caught.value.code == "invalid_http"


def test_forms_that_methods_allow():
    """`*` for `OPTIONS` alone; no tunnels; a limit."""
    assert read_target("OPTIONS", b"*").path == "*"
    with pytest.raises(MethodNotAllowedError):
        read_target("CONNECT", b"x:80")
    read_target("GET", b"/" + b"x" * (MAX_ADDRESS - 1))
    with pytest.raises(Refusal) as caught:
        read_target("GET", b"/" + b"x" * MAX_ADDRESS)
    assert (caught.value.status, caught.value.error.code) == (414, "address_too_long")


@given(st.binary(max_size=30).map(lambda tail: b"/" + bytes(byte & 0x7F for byte in tail)))
def test_no_path_climbs(address):
    """Whatever is let through holds no step up and nothing that ends a line, unless it came bare."""
    try:
        path = read_target("GET", address).path
    except HeadgateError:
        return
    assert not {".", ".."} & set(path.split("/"))
    assert ("\n" in path) <= (b"\n" in address)


def test_sizes():
    """So many headers, so long each; where little has come, none can be long."""
    check_size([(b"a", b"b")] * MAX_FIELDS, 10**6)
    check_size([(b"a", b"b" * (MAX_FIELD - 1))], 10**6)
    with pytest.raises(Refusal, match=str(MAX_FIELDS)):
        check_size([(b"a", b"b")] * (MAX_FIELDS + 1), 1000)
    with pytest.raises(Refusal, match="`cookie`") as caught:
        check_size([(b"a", b"b"), (b"cookie", b"b" * MAX_FIELD)], 10**6)
    assert (caught.value.status, caught.value.error.code) == (431, "headers_too_large")


def test_versions():
    """1.1 and 1.0."""
    check_version("1.1")
    check_version("1.0")
    for other in ("0.9", "2.0", "1.2"):
        with pytest.raises(BadRequestError, match=other):
            check_version(other)


def test_codings():
    """Chunks, in HTTP/1.1, and nothing else."""
    check_coding(b"Chunked", "1.1")
    for coding, version in ((b"chunked", "1.0"), (b"gzip, chunked", "1.1"), (b"identity", "1.1"), (b"", "1.1")):
        with pytest.raises(BadRequestError):
            check_coding(coding, version)


def test_expectations():
    """One can be met; old callers have none."""
    assert expects_continue(b"100-Continue", "1.1")
    assert not expects_continue(b"anything", "1.0")
    for other in (b"", b"100-continue, x", b"200-ok"):
        with pytest.raises(Refusal) as caught:
            expects_continue(other, "1.1")
        assert (caught.value.status, caught.value.error.code) == (417, "expectation_failed")


@pytest.mark.parametrize(
    "host", [b"", b"a b", b"a/b", b"a,b", b"a@b", b"a:b", b"a:1:2", b"a:123456", b"[::1", b"\xff", b"a?b"]
)
def test_what_is_no_host(host):
    """Is refused anywhere."""
    with pytest.raises(BadRequestError):
        Hosts().check(host)


def test_any_host_will_do_where_none_is_named():
    """But there must be one, since HTTP/1.1."""
    Hosts().check(b"gateway_1.example.com:8080")
    Hosts().check(None, "1.0")
    with pytest.raises(BadRequestError, match="no `Host`"):
        Hosts().check(None)


@pytest.mark.parametrize(
    "host",
    [
        b"localhost",
        b"LOCALHOST:4000",
        b"x.localhost",
        b"127.0.0.1:1",
        b"[::1]:4000",
        b"10.1.2.3",
        b"gw.example.",
        b"gw.example:",
    ],
)
def test_names_that_are_ours(host):
    """Local ones, IP addresses, and those that were named, whatever the port, the case and the last dot."""
    Hosts(["GW.example"]).check(host)


@pytest.mark.parametrize(
    "host", [b"evil.example", b"localhost.evil.example", b"127.0.0.1.evil.example", b"evillocalhost", b"1.2.3"]
)
def test_names_that_are_not_ours(host):
    """What a page could lead here by its own DNS."""
    with pytest.raises(Refusal) as caught:
        Hosts(["gw.example"]).check(host)
    assert (caught.value.status, caught.value.error.code) == (421, "unknown_host")
    assert "server.allowed_hosts" in caught.value.error.hint
