"""Target URIs: octets kept exactly, origins that compare, refusals that tell no secrets (RFC 3986, RFC 9110 7.1)."""

from __future__ import annotations

import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict

from fetchd.client import urls
from fetchd.client.exceptions import InvalidURL
from fetchd.client.urls import Query, locate, with_params, without_userinfo


def origin_of(url: str) -> tuple[str, str, int, str]:
    origin, _ = locate(url)
    assert origin.key == f"{origin.scheme}://{f'[{origin.host}]' if ':' in origin.host else origin.host}:{origin.port}"
    return origin.scheme, origin.host, origin.port, origin.host_field


def refusal(url: str) -> InvalidURL:
    with pytest.raises(InvalidURL) as caught:
        locate(url)
    return caught.value


# The request target

SIGNED = [
    "/",
    "/a/b",
    "//",
    "//a//b/",
    "/a/./b/../c",
    "/%2F%2f",
    "/a%2Fb",
    "/%27'",
    "/%3A:%40@",
    "/a+b%20c",
    "/%7e~%41A",
    "/%",
    "/%zz%2",
    "/a;b=c,d",
    "/a!b$c&d(e)f*g",
    "/?",
    "/?a=b&a=c",
    "/?b=2&a=1",
    "/?X-Amz-Signature=ab%2Bcd%2F%3D&X-Amz-Credential=k%2F20240101%2Fs3",
    "/?a=b+c%20d&e=%2f",
    "/?a?b/c//d",
    "/?&&=&",
    '/"<>\\^`{|}',
    "/a?b=[1]&c={x}",
    "/%C3%A9",
]


@pytest.mark.parametrize("target", SIGNED)
@pytest.mark.parametrize(
    "origin", ["http://h.example", "https://h.example:8443", "http://u:p@h.example", "HTTP://H.Example:80"]
)
def test_the_octets_of_a_target_are_kept_exactly(origin: str, target: str) -> None:
    """A signature is over these octets: nothing is decoded, encoded, sorted, merged or dropped."""
    for _ in range(2):  # parsed, then known
        assert locate(origin + target)[1] == target
        assert locate(origin + target + "#fragment?x")[1] == target


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="#"), max_size=40))
def test_any_visible_ascii_is_kept_exactly(text: str) -> None:
    assert locate("http://h.example/" + text)[1] == "/" + text
    assert locate("http://h.example?" + text)[1] == "/?" + text


@pytest.mark.parametrize(
    ("given_url", "target"),
    [
        ("http://h", "/"),
        ("http://h?a=b", "/?a=b"),
        ("http://h?a=/b", "/?a=/b"),
        ("http://h?", "/?"),
        ("http://h#a/b", "/"),
        ("http://h/#", "/"),
        ("http://h/a b", "/a%20b"),
        ("http://h/a  b?c d", "/a%20%20b?c%20d"),
        ("http://h/\xe9?\u20ac", "/%C3%A9?%E2%82%AC"),
        ("http://h/\U0001f600 \xa0x", "/%F0%9F%98%80%20%C2%A0x"),
        ("http://h/\x85", "/%C2%85"),
        ("http://h/%41\xe9%2F", "/%41%C3%A9%2F"),
        ("http://h/a#\xe9 ", "/a"),
        ("http://h/a?b#c?d#e", "/a?b"),
    ],
)
def test_only_what_cannot_stand_on_a_request_line_is_encoded(given_url: str, target: str) -> None:
    assert locate(given_url)[1] == target


@given(st.text(max_size=30))
def test_a_target_is_fit_to_be_sent_or_refused(text: str) -> None:
    """Whatever the text: visible ASCII on the request line, so that nothing can be smuggled in."""
    try:
        _, target = locate("http://h/" + text)
    except InvalidURL:
        return
    assert target.startswith("/")
    assert all(0x21 <= ord(char) <= 0x7E and char != "#" for char in target)


# The origin


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://h", ("http", "h", 80, "h")),
        ("https://h", ("https", "h", 443, "h")),
        ("HTTPS://EXAMPLE.Com/", ("https", "example.com", 443, "example.com")),
        ("http://h:80/", ("http", "h", 80, "h")),
        ("https://h:443/", ("https", "h", 443, "h")),
        ("http://h:443/", ("http", "h", 443, "h:443")),
        ("https://h:80/", ("https", "h", 80, "h:80")),
        ("http://h:/", ("http", "h", 80, "h")),
        ("http://h:0080/", ("http", "h", 80, "h")),
        ("http://h:65535/", ("http", "h", 65535, "h:65535")),
        ("http://127.0.0.1:8080", ("http", "127.0.0.1", 8080, "127.0.0.1:8080")),
        ("http://[::1]", ("http", "::1", 80, "[::1]")),
        ("http://[::1]:8080", ("http", "::1", 8080, "[::1]:8080")),
        ("http://[2001:DB8::A]/", ("http", "2001:db8::a", 80, "[2001:db8::a]")),
        ("http://[fe80::1%25eth0]/", ("http", "fe80::1%eth0", 80, "[fe80::1]")),
        ("http://[fe80::1%25eth0]:81/", ("http", "fe80::1%eth0", 81, "[fe80::1]:81")),
        ("http://[FE80::1%ETH0]/", ("http", "fe80::1%ETH0", 80, "[fe80::1]")),
        ("http://[0:0::0:1]/", ("http", "::1", 80, "[::1]")),
        ("http://b\xfccher.example/", ("http", "xn--bcher-kva.example", 80, "xn--bcher-kva.example")),
        ("http://\u4f8b\u5b50\u3002\u6d4b\u8bd5/", ("http", "xn--fsqu00a.xn--0zwm56d", 80, "xn--fsqu00a.xn--0zwm56d")),
        ("http://under_score.-x-.example./", ("http", "under_score.-x-.example.", 80, "under_score.-x-.example.")),
        (f"http://{'a' * 63}.example/", ("http", f"{'a' * 63}.example", 80, f"{'a' * 63}.example")),
        ("http://u:p@h:81/", ("http", "h", 81, "h:81")),
        ("http://h?a@b:c/", ("http", "h", 80, "h")),
        ("http://h#@b/", ("http", "h", 80, "h")),
    ],
)
def test_an_origin_is_scheme_host_and_effective_port(url: str, expected: tuple[str, str, int, str]) -> None:
    assert origin_of(url) == expected
    assert locate(url)[0].is_tls is (expected[0] == "https")


@pytest.mark.parametrize(
    ("userinfo", "expected"),
    [
        ("", None),
        ("u:p", "Basic dTpw"),
        ("u", "Basic dTo="),
        ("u:", "Basic dTo="),
        (":p", "Basic OnA="),
        ("u:p:q", "Basic dTpwOnE="),
        ("u%3A:p%40%2F", "Basic dTo6cEAv"),
        ("u@x:p", "Basic dUB4OnA="),
        ("\xe9:\xfc", "Basic w6k6w7w="),
        ("%FF:p", "Basic /zpw"),
    ],
)
def test_credentials_of_the_url_become_basic(userinfo: str, expected: str | None) -> None:
    """RFC 7617: percent-encoding removed; the last @ ends the userinfo (RFC 3986 section 3.2.1)."""
    origin, target = locate(f"http://{userinfo}@h/x")
    assert (origin.authorization, origin.host, target) == (expected, "h", "/x")
    assert "@" not in origin.key, "connections do not depend on who asks"


def test_an_origin_is_parsed_once() -> None:
    first, _ = locate("http://once.example:8080/a")
    assert locate("http://once.example:8080/b")[0] is first
    assert locate("http://once.example:8080")[0] is first
    assert locate("http://once.example:8080?x")[0] is first


def test_origins_are_kept_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urls, "_origins", {})
    monkeypatch.setattr(urls, "_MAX_ORIGINS", 10)
    for number in range(35):
        locate(f"http://h{number}.example/")
        assert len(urls._origins) <= 10


# Refusals


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "expected http:// or https://"),
        ("h", "expected http:// or https://"),
        ("/path", "expected http:// or https://"),
        ("//h/path", "expected http:// or https://"),
        ("http:/h", "expected http:// or https://"),
        ("http:h", "expected http:// or https://"),
        ("ftp://h/", "expected http:// or https://"),
        ("file:///etc/passwd", "expected http:// or https://"),
        (" http://h/", "expected http:// or https://"),
        ("http", "expected http:// or https://"),
        ("http://", "expected a host after //"),
        ("http:///x", "expected a host after //"),
        ("https:///x/y", "expected a host after //"),
        ("http://?x", "expected a host after //"),
        ("http://u:p@/x", "expected a host after //"),
        ("http://:80/", "expected a host after //"),
        ("http://h:0/", "port 0; expected 1 to 65535"),
        ("http://h:65536/", "port 65536; expected 1 to 65535"),
        ("http://ho st/", "'ho st' is no host name"),
        ("http://%41/", "'%41' is no host name"),
        ("http://a..b/", "'a..b' is no host name"),
        ("http://./", "'.' is no host name"),
        ("http://a*b/", "'a*b' is no host name"),
        (f"http://{'a' * 64}/", f"'{'a' * 64}' is no host name"),
        ("http://[v1.a]/", "'[v1.a]' is no IPv6 address"),
        ("http://[1.2.3.4]/", "'[1.2.3.4]' is no IPv6 address"),
        ("http://[:::]/", "'[:::]' is no IPv6 address"),
        ("http://[::g]/", "'[::g]' is no IPv6 address"),
        ("http://[12345::]/", "'[12345::]' is no IPv6 address"),
        ("http://[::1%]/", "'[::1%]' is no IPv6 address"),
        ("http://[]/", "'[]' is no IPv6 address"),
        ("http://h/\\udc80", "characters that are no Unicode text"),
        ("http://\\udc80@h/", "characters that are no Unicode text"),
    ],
)
def test_what_is_no_http_url_is_refused_with_what_is_wrong(url: str, reason: str) -> None:
    url = url.replace("\\udc80", "\udc80")
    error = refusal(url)
    assert error.reason == reason
    assert error.url == without_userinfo(url)
    assert str(error) == f"invalid URL {error.url!r}: {reason}"


@pytest.mark.parametrize(
    "url",
    [
        "http://h:+80/",
        "http://h:-1/",
        "http://h:8_0/",
        "http://h: 80/",
        "http://h:80 /",
        "http://h:\uff18\uff10/",
        "http://h:\u0668\u0660/",
        "http://h:x/",
        "http://h:80:80/",
        "http://h:1000000000000/",
        "http://[::1/",
        "http://::1/",
        "http://[::1]x/",
        "http://x[::1]/",
        "http://[[::1]]/",
        "http://h]/",
        "http://h\\x/",
        "http://good\\@evil/",
        "http://good.example\\.evil.example/",
    ],
)
def test_what_is_no_authority_is_refused(url: str) -> None:
    """Digits are those of ASCII; a backslash would mean another host to a browser."""
    assert refusal(url).reason == "expected a host, or [an IPv6 address], then a port of digits if any"


@pytest.mark.parametrize(
    "url",
    [
        "http://h\u2100/",
        "http://a\xadb/",
        "http://\xad/",
        "http://xn--\xe9/",
    ],
)
def test_a_host_that_yarl_refuses_is_refused(url: str) -> None:
    assert refusal(url).reason


@pytest.mark.parametrize("char", [chr(code) for code in (*range(0x20), 0x7F)], ids=lambda char: f"{ord(char):#x}")
def test_control_characters_are_refused_wherever_they_stand(char: str) -> None:
    locate("http://h.example/")  # a known origin makes no difference
    for url in (
        f"http://h.example/{char}",
        f"http://h.example/?{char}",
        f"http://h.example/#{char}",
        f"http://h{char}.example/",
        f"http://u{char}@h/",
        f"{char}http://h/",
        f"http://h.example/x{char}",
        f"http://h{char}",
    ):
        assert refusal(url).reason == "control characters, which no URL may hold"


SECRET_URLS = [
    "http://user:s3cret@h\x00/",
    "http://user:s3cret@h/\n",
    "http://user:s3\ncret@h/",
    " http://user:s3cret@h/",
    "http:/user:s3cret@h/",
    "http:user:s3cret@h/",
    "//user:s3cret@h/",
    "user:s3cret@h/",
    "ftp://user:s3cret@h/",
    "ht!tp://user:s3cret@h/",
    "x http://user:s3cret@h/",
    "http://user:s3cret@h:bad/",
    "http://user:s3cret@h:0/",
    "http://user:s3cret@ho st/",
    "http://user:s3cret@h\u2100/",
    "http://user:s3cret@[::1/",
    "http://user:s3cret@",
    "http://user:s3cret@/x",
    "http://user:s3cret\\@h/",
    "http://user:s3cret/more@h/",
    "http://user:s3cret?more@h/",
    "http://user:s3cret#more@h/",
    "http://user:s3cret@more@h:x/",
    "http://user:s3cret\udc80@h/",
    "http://user:s3cret@h/\udc80",
]


@pytest.mark.parametrize("url", SECRET_URLS, ids=ascii)
def test_no_message_and_no_traceback_holds_credentials(url: str) -> None:
    error = refusal(url)
    shown = f"{error!r} {error} {error.url} {error.reason} {error.args}"
    shown += "".join(traceback.format_exception(error))
    for secret in ("user:", "s3", "cret", "more"):
        assert secret not in shown


@given(st.text("/:@?#\\[]. a1%", max_size=15), st.sampled_from(["http://", "https://", "http:", ""]))
def test_any_text_is_located_or_refused(text: str, start: str) -> None:
    try:
        origin, target = locate(start + text)
    except InvalidURL:
        return
    assert origin.host
    assert 1 <= origin.port <= 65_535
    assert target.startswith("/")
    assert (origin, target) == locate(start + text), "known or not, the answer is the same"


# How URLs are shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://u:p@h/x", "http://h/x"),
        ("HTTP://u@h", "HTTP://h"),
        ("//u:p@h/x", "//h/x"),
        ("http://u:p@x@h/", "http://h/"),
        ("http://h/a@b", "http://h/a@b"),
        ("http://h?a@b", "http://h?a@b"),
        ("http://h#a@b", "http://h#a@b"),
        ("http://h", "http://h"),
        ("socks5+x://u:p@h", "socks5+x://h"),
        ("/x", "/x"),
        ("", ""),
    ],
)
def test_a_url_is_shown_without_its_userinfo(url: str, shown: str) -> None:
    assert without_userinfo(url) == shown


# Parameters


@pytest.mark.parametrize(
    ("params", "query"),
    [
        ({"a": "b"}, "a=b"),
        ({"a": 1, "b": 2.5}, "a=1&b=2.5"),
        ([("a", "1"), ("b", "2"), ("a", "3")], "a=1&b=2&a=3"),
        (MultiDict([("a", "1"), ("a", "2")]), "a=1&a=2"),
        ({"a b": "c&d=e+f/g"}, "a+b=c%26d%3De%2Bf%2Fg"),
        ({"\xe9": "\u20ac"}, "%C3%A9=%E2%82%AC"),
        ({"a": ""}, "a="),
        ("x=%2F&y", "x=%2F&y"),
        (iter([("a", "b")]), "a=b"),
    ],
)
def test_parameters_are_appended_encoded_and_in_order(params: Query, query: str) -> None:
    params = list(params) if not isinstance(params, (str, dict, MultiDict)) else params  # type: ignore[arg-type]  # an iterator is used up
    assert with_params("http://h/x", params) == f"http://h/x?{query}"
    assert with_params("http://h/x?a=%2F", params) == f"http://h/x?a=%2F&{query}"
    assert with_params("http://h/x?", params) == f"http://h/x?{query}"
    assert with_params("http://h/x?a&", params) == f"http://h/x?a&{query}"
    assert with_params("http://h/x#f?g", params) == f"http://h/x?{query}#f?g"
    assert with_params("http://h/x?a#", params) == f"http://h/x?a&{query}#"


@pytest.mark.parametrize("params", ["", {}, [], MultiDict()])
def test_no_parameters_leave_the_url_as_it_is(params: Query) -> None:
    for url in ("http://h/x?", "http://h#f", "http://h/%2F"):
        assert with_params(url, params) == url


@pytest.mark.parametrize("value", [None, True, b"x", ["a"], object()])
def test_a_parameter_is_text_or_a_number(value: object) -> None:
    with pytest.raises(TypeError, match=f"query parameter 'a' must be text or a number, not {type(value).__name__}"):
        with_params("http://h", {"a": value})  # type: ignore[arg-type]  # what must be refused
