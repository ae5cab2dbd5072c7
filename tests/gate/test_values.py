"""What a setting's value may look like."""

import pytest
from pydantic import TypeAdapter, ValidationError

from headgate.core.secret import Secret
from headgate.gate.values import Address, Headers, HeaderText, Hidden, HostName, Origin, Proxy, Seconds, Share


def read(kind, value):
    """Read one value."""
    return TypeAdapter(kind, config={"arbitrary_types_allowed": True}).validate_python(value)


def refused(kind, value):
    """The message with which a value is refused."""
    with pytest.raises(ValidationError) as error:
        read(kind, value)
    return error.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [(5, 5), ("5", 5), ("1.5s", 1.5), ("250ms", 0.25), (" 2 m ", 120), ("24h", 86400), ("1d", 86400)],
)
def test_a_duration_is_seconds_or_has_a_unit(written, meant):
    """Numbers and texts mean seconds unless a unit says otherwise."""
    assert read(Seconds, written) == pytest.approx(meant)


@pytest.mark.parametrize("written", ["soon", "-1s", "1 week", "", True])
def test_what_is_no_duration_is_refused(written):
    """The message shows how a duration is written."""
    assert "15s" in refused(Seconds, written)


def test_a_duration_is_not_negative():
    """Time does not run backwards."""
    assert refused(Seconds, -1) == "Input should be greater than or equal to 0"


def test_a_credential_hides_itself_and_loses_its_line_break():
    """A line break at the end of a secret's file is no part of it; inside it is refused."""
    assert read(Hidden, " sk-1\n") == Secret("sk-1")
    assert "one line" in refused(Hidden, "sk\r\nx-evil: 1")
    assert "instance of Secret" in refused(Hidden, 5)
    adapter = TypeAdapter(Hidden, config={"arbitrary_types_allowed": True})
    assert (adapter.dump_python(Secret("x")), adapter.dump_python(Secret(""))) == ("***", "")


def test_text_that_travels_in_a_header_is_one_line():
    """A line break would be a second header."""
    assert read(HeaderText, "org-1") == "org-1"
    assert "header" in refused(HeaderText, "a\nb")


def test_header_names_are_lower_case_tokens_and_not_the_transport_s_own():
    """Two spellings of one header, a name with a blank and `Host` are refused."""
    assert read(Headers, {"Api-Key": "x"}) == {"api-key": Secret("x")}
    assert "twice" in refused(Headers, {"a": "1", "A": "2"})
    assert "'a b'" in refused(Headers, {"a b": "1"})
    assert "'host'" in refused(Headers, {"Host": "1"})


def test_an_address_is_http_with_a_host():
    """A slash at the end is no part of it."""
    assert read(Address, "https://api.openai.com/v1/") == "https://api.openai.com/v1"
    assert read(Address, "http://[::1]:8000/v1") == "http://[::1]:8000/v1"


@pytest.mark.parametrize(
    "written",
    [
        *("api.openai.com", "ftp://x/v1", "https://", "https://a:99999", "http://[x", "http://ü/v1", "http://a\n/v1"),
        *("https://u:p@h/v1", "https://h/v1?key=1", "https://h/v1#x", "https://h/a b"),
    ],
)
def test_what_is_no_address_is_refused(written):
    """No scheme, no host, a port that is none, a user, a query, a fragment."""
    assert refused(Address, written).startswith("Value error")


def test_a_proxy_is_plain_http():
    """It may hold a user and a password."""
    assert read(Proxy, "http://u:p@proxy:3128") == "http://u:p@proxy:3128"
    assert "http://host:port" in refused(Proxy, "socks5://proxy")


def test_a_share_lies_between_none_and_all():
    """From 0 to 1."""
    assert read(Share, 1) == 1
    assert "less than or equal to 1" in refused(Share, 1.1)


@pytest.mark.parametrize("written", ["gw", "Gw.Example.com", "gateway_1"])
def test_a_host_is_a_name(written):
    """Without port; case means nothing."""
    assert read(HostName, written) == written.lower()


@pytest.mark.parametrize("written", ["", "gw:80", "http://gw", "gw/", "[::1]", ".gw", "gw.", "*", "a b"])
def test_what_is_no_host_name_is_refused(written):
    """The message shows what one looks like."""
    assert "gateway.example.com" in refused(HostName, written)


@pytest.mark.parametrize("written", ["*", "https://app.example.com", "http://localhost:3000", "http://[::1]:80"])
def test_an_origin_is_what_a_browser_sends(written):
    """Scheme and host, and a port."""
    assert read(Origin, written) == written


@pytest.mark.parametrize(
    "written", ["", "null", "https://a/", "https://a/x", "a", "ftp://a", "https://*.a", "https://A", "https://a:", " *"]
)
def test_what_is_no_origin_is_refused(written):
    """What no browser sends would never match."""
    assert "https://app.example.com" in refused(Origin, written)
