"""Redirections: which are followed, where to, and what stays behind (RFC 9110 15.4, RFC 3986 5)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from fetchd.client.exceptions import RedirectError
from fetchd.client.redirects import Redirect, redirect_decision, resolve_reference, strip_fields

HERE = "http://a.example/b/c/d;p?q"


def follow(location: str | None, *, status: int = 302, method: str = "GET", url: str = HERE) -> Redirect:
    redirect = redirect_decision(status, method, url, location)
    assert redirect is not None
    return redirect


# Reference resolution


@pytest.mark.parametrize(
    ("reference", "target"),
    [
        ("g:h", "g:h"),
        ("g", "http://a/b/c/g"),
        ("./g", "http://a/b/c/g"),
        ("g/", "http://a/b/c/g/"),
        ("/g", "http://a/g"),
        ("//g", "http://g"),
        ("?y", "http://a/b/c/d;p?y"),
        ("g?y", "http://a/b/c/g?y"),
        ("#s", "http://a/b/c/d;p?q#s"),
        ("g#s", "http://a/b/c/g#s"),
        ("g?y#s", "http://a/b/c/g?y#s"),
        (";x", "http://a/b/c/;x"),
        ("g;x", "http://a/b/c/g;x"),
        ("g;x?y#s", "http://a/b/c/g;x?y#s"),
        ("", "http://a/b/c/d;p?q"),
        (".", "http://a/b/c/"),
        ("./", "http://a/b/c/"),
        ("..", "http://a/b/"),
        ("../", "http://a/b/"),
        ("../g", "http://a/b/g"),
        ("../..", "http://a/"),
        ("../../", "http://a/"),
        ("../../g", "http://a/g"),
    ],
)
def test_normal_examples_of_rfc_3986_section_5_4_1(reference: str, target: str) -> None:
    assert resolve_reference("http://a/b/c/d;p?q", reference) == target


@pytest.mark.parametrize(
    ("reference", "target"),
    [
        ("../../../g", "http://a/g"),
        ("../../../../g", "http://a/g"),
        ("/./g", "http://a/g"),
        ("/../g", "http://a/g"),
        ("g.", "http://a/b/c/g."),
        (".g", "http://a/b/c/.g"),
        ("g..", "http://a/b/c/g.."),
        ("..g", "http://a/b/c/..g"),
        ("./../g", "http://a/b/g"),
        ("./g/.", "http://a/b/c/g/"),
        ("g/./h", "http://a/b/c/g/h"),
        ("g/../h", "http://a/b/c/h"),
        ("g;x=1/./y", "http://a/b/c/g;x=1/y"),
        ("g;x=1/../y", "http://a/b/c/y"),
        ("g?y/./x", "http://a/b/c/g?y/./x"),
        ("g?y/../x", "http://a/b/c/g?y/../x"),
        ("g#s/./x", "http://a/b/c/g#s/./x"),
        ("g#s/../x", "http://a/b/c/g#s/../x"),
        ("http:g", "http:g"),
    ],
)
def test_abnormal_examples_of_rfc_3986_section_5_4_2(reference: str, target: str) -> None:
    assert resolve_reference("http://a/b/c/d;p?q", reference) == target


@pytest.mark.parametrize(
    ("base", "reference", "target"),
    [
        ("http://a", "g", "http://a/g"),
        ("http://a?q", "g", "http://a/g"),
        ("http://a?q", "?y", "http://a?y"),
        ("http://a/b//c", "g", "http://a/b//g"),
        ("http://a/b//c", "..//g", "http://a/b//g"),
        ("http://a/b/", "//h/..", "http://h/"),
        ("http://a/b", "http://h/x/../y", "http://h/y"),
        ("http://a/b?q", "?", "http://a/b?"),
        ("http://a/b", "1:2", "http://a/1:2"),
        ("http://a/b/../c", "?y", "http://a/b/../c?y"),
        ("http://a/b", "/x/%2e%2e/y", "http://a/x/%2e%2e/y"),
        ("http://user:pw@a:8080/b", "c", "http://user:pw@a:8080/c"),
        ("http://a/b?x=/../y", "c", "http://a/c"),
        ("http://a/b", "c\nd", "http://a/c\nd"),
    ],
)
def test_resolution_where_others_go_wrong(base: str, reference: str, target: str) -> None:
    """Empty segments stay, a query is no path, escaped dots are no dots, an empty path is merged."""
    assert resolve_reference(base, reference) == target


@given(
    st.lists(st.sampled_from(["", ".", "..", "a", "b.", "..c", "%2e", "%2F"]), min_size=1, max_size=12).map("/".join)
)
def test_a_resolved_path_has_no_dot_segments_and_resolves_to_itself(path: str) -> None:
    target = resolve_reference("http://a/b/c", "http://a/" + path)
    segments = target.removeprefix("http://a/").split("/")
    assert not {".", ".."} & set(segments)
    assert resolve_reference("http://a/x", target) == target


# Whether to follow


@pytest.mark.parametrize("status", [200, 201, 204, 300, 304, 305, 306, 309, 400, 404, 500])
def test_other_status_codes_are_not_followed_whatever_their_location(status: int) -> None:
    assert redirect_decision(status, "GET", HERE, "/elsewhere") is None


@pytest.mark.parametrize("location", [None, "", "   ", "\t"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_without_a_location_the_response_is_final(status: int, location: str | None) -> None:
    assert redirect_decision(status, "GET", HERE, location) is None


@pytest.mark.parametrize(
    ("status", "method", "next_method", "keep_body"),
    [
        (301, "GET", "GET", True),
        (301, "HEAD", "HEAD", True),
        (301, "POST", "GET", False),
        (301, "PUT", "PUT", True),
        (301, "DELETE", "DELETE", True),
        (302, "GET", "GET", True),
        (302, "HEAD", "HEAD", True),
        (302, "POST", "GET", False),
        (302, "PATCH", "PATCH", True),
        (303, "GET", "GET", False),
        (303, "HEAD", "HEAD", False),
        (303, "POST", "GET", False),
        (303, "PUT", "GET", False),
        (303, "DELETE", "GET", False),
        (307, "GET", "GET", True),
        (307, "POST", "POST", True),
        (307, "PUT", "PUT", True),
        (308, "HEAD", "HEAD", True),
        (308, "POST", "POST", True),
        (308, "DELETE", "DELETE", True),
    ],
)
def test_method_and_body_by_status(status: int, method: str, next_method: str, keep_body: bool) -> None:
    """RFC 9110 sections 15.4.2 to 15.4.9."""
    redirect = follow("/next", status=status, method=method)
    assert (redirect.method, redirect.keep_body) == (next_method, keep_body)


# Where to


@pytest.mark.parametrize(
    "target",
    [
        "http://a.example/x%2Fy%27z%3A?sig=a+b%2B/c//d&b=2&a=1&a=0",
        "http://a.example//double//slashes//",
        "http://a.example/%7euser/%7Euser/~user",
        'https://b.example/?X-Amz-Signature=ab%2Fcd%3D&q="quo\'ted"<>|{}^`\\',
        "http://a.example/%zz%",
        "http://a.example/!$&'()*+,;=:@",
        "http://a.example?no-path",
        "HTTP://A.Example/Case",
    ],
)
def test_octets_of_a_location_survive(target: str) -> None:
    """A signed URL arrives as it was signed; nothing is requoted, sorted or folded."""
    assert follow(target).url == target


def test_octets_of_the_request_survive_in_a_relative_redirection() -> None:
    url = "http://a.example/x%2Fy%27//z?sig=a+b%2B"
    assert follow("?sig=c+d%2b", url=url).url == "http://a.example/x%2Fy%27//z?sig=c+d%2b"
    assert follow("w", url=url).url == "http://a.example/x%2Fy%27//w"


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/a b", "http://a.example/a%20b"),
        (" \t/a\t", "http://a.example/a"),
        ("/a\tb", "http://a.example/a%09b"),
        ("/bücher?ü=ß#ä", "http://a.example/b%C3%BCcher?%C3%BC=%C3%9F#%C3%A4"),
        ("/日本/%E6%97%A5", "http://a.example/%E6%97%A5%E6%9C%AC/%E6%97%A5"),
        ("/latin\udce9", "http://a.example/latin%E9"),
        ("/\u00a0\u0085", "http://a.example/%C2%A0%C2%85"),
        ("//bücher.example/ü", "http://bücher.example/%C3%BC"),
    ],
)
def test_blanks_and_octets_outside_of_ascii_are_percent_encoded(location: str, target: str) -> None:
    """Raw UTF-8 and blanks in Location are common; octets that are no UTF-8 keep their value."""
    assert follow(location).url == target


@pytest.mark.parametrize(
    ("url", "location", "target"),
    [
        ("http://a.example/b#frag", "/c", "http://a.example/c#frag"),
        ("http://a.example/b#frag", "/c#own", "http://a.example/c#own"),
        ("http://a.example/b#frag", "/c#", "http://a.example/c#"),
        ("http://a.example/b#frag", "http://other.example/", "http://other.example/#frag"),
        ("http://a.example/b#a#b", "?q", "http://a.example/b?q#a#b"),
        ("http://a.example/b", "/c", "http://a.example/c"),
    ],
)
def test_a_fragment_is_inherited_when_the_location_has_none(url: str, location: str, target: str) -> None:
    """RFC 9110 section 10.2.2."""
    assert follow(location, url=url).url == target


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("ftp://a.example/", "expected http:// or https://"),
        ("file:///etc/passwd", "expected http:// or https://"),
        ("javascript:alert(1)", "expected http:// or https://"),
        ("data:text/html,x", "expected http:// or https://"),
        ("http:/relative", "expected http:// or https://"),
        ("http:relative", "expected http:// or https://"),
        ("http://", "host"),
        ("http:///path", "host"),
        ("//", "host"),
        ("http://user@/path", "host"),
        ("http://:80/", "host"),
        ("http://a.example:port/", "redirection to"),
        ("http://a.example:65536/", "redirection to"),
        ("http://a.example:0/", "port 0"),
        ("http://[::1/", "redirection to"),
        ("http://a b.example/", "redirection to"),
        ("http://a%00b.example/", "redirection to"),
        ("http://a\x00.example/", "control"),
        ("/a\x01b", "control"),
        ("/a\x7fb", "control"),
        ("/a\r\nX: y", "control"),
        ("/lone\ud800surrogate", "Unicode"),
    ],
)
def test_a_target_that_cannot_or_must_not_be_followed_is_an_error(location: str, why: str) -> None:
    with pytest.raises(RedirectError, match=why) as caught:
        follow(location)
    assert caught.value.status == 302
    assert caught.value.url == HERE


def test_an_error_shows_no_credentials_and_not_the_whole_of_a_long_location() -> None:
    with pytest.raises(RedirectError) as caught:
        follow("ftp://user:secret@h/" + "x" * 60_000, url="http://me:secret@a.example/")
    assert "secret" not in str(caught.value)
    assert "ftp://h/" in str(caught.value)
    assert len(str(caught.value)) < 400


@given(st.text(max_size=40))
def test_any_text_is_followed_or_refused_and_what_is_followed_can_be_sent(location: str) -> None:
    """No other exception; the result is printable ASCII but for the host."""
    try:
        redirect = redirect_decision(302, "GET", HERE, location)
    except RedirectError:
        return
    if redirect is not None:
        _, _, rest = redirect.url.partition("://")
        after_host = rest[min(rest.find(mark) % (len(rest) + 1) for mark in "/?#") :]
        assert all("!" <= char <= "~" for char in after_host)


# Origins


@pytest.mark.parametrize(
    ("url", "location", "cross_origin"),
    [
        ("http://a.example/", "/x", False),
        ("http://a.example/", "http://a.example/x", False),
        ("http://a.example/", "HTTP://A.EXAMPLE:80/x", False),
        ("http://a.example/", "http://a.example:/x", False),
        ("https://a.example:443/", "//a.example/x", False),
        ("http://user:pw@a.example/", "http://a.example/x", False),
        ("http://[::1]:8080/", "http://[::1]:8080/x", False),
        ("http://bücher.example/", "http://xn--bcher-kva.example/x", False),
        ("http://a.example/", "https://a.example/x", True),
        ("https://a.example/", "http://a.example/x", True),
        ("http://a.example/", "http://a.example:8080/x", True),
        ("http://a.example:443/", "https://a.example/x", True),
        ("http://a.example/", "http://b.example/x", True),
        ("http://a.example/", "http://www.a.example/x", True),
        ("http://a.example/", "http://a.example./x", True),
        ("http://a.example/", "http://a.example@b.example/x", True),
        ("http://a.example/", "http://a.example.b.example/x", True),
        ("http://127.0.0.1/", "http://localhost/x", True),
    ],
)
def test_scheme_host_and_effective_port_make_the_origin(url: str, location: str, cross_origin: bool) -> None:
    """RFC 9110 section 4.3.1; when in doubt it is another origin."""
    assert follow(location, url=url).cross_origin is cross_origin


# Fields


def fields() -> CIMultiDict[str]:
    return CIMultiDict(
        [
            ("Accept", "*/*"),
            ("Authorization", "Basic one"),
            ("authorization", "Basic two"),
            ("Cookie", "a=1"),
            ("COOKIE", "b=2"),
            ("Proxy-Authorization", "Basic three"),
            ("Host", "virtual.example"),
            ("Content-Type", "text/plain"),
            ("content-length", "3"),
            ("Content-MD5", "x"),
            ("CONTENT-Digest", "x"),
            ("Content-Type", "again"),
            ("Transfer-Encoding", "chunked"),
            ("Trailer", "X"),
            ("Expect", "100-continue"),
            ("Repr-Digest", "x"),
            ("Digest", "x"),
            ("Last-Modified", "x"),
            ("Range", "bytes=0-"),
            ("X-Content", "kept"),
        ]
    )


NAMES = [name for name, _ in fields().items()]


def names_after(*, cross_origin: bool, keep_body: bool) -> list[str]:
    headers = fields()
    strip_fields(headers, cross_origin=cross_origin, keep_body=keep_body)
    return [name for name, _ in headers.items()]


def test_nothing_is_removed_within_the_origin_and_with_the_body() -> None:
    assert names_after(cross_origin=False, keep_body=True) == NAMES


def test_credentials_and_host_do_not_reach_another_origin_not_even_duplicates() -> None:
    left = names_after(cross_origin=True, keep_body=True)
    removed = {"authorization", "cookie", "proxy-authorization", "host"}
    assert left == [name for name in NAMES if name.lower() not in removed]


def test_fields_of_the_body_go_when_the_body_goes_not_even_duplicates_stay() -> None:
    left = names_after(cross_origin=False, keep_body=False)
    assert left == [*NAMES[:7], "Range", "X-Content"]


def test_both_together() -> None:
    assert names_after(cross_origin=True, keep_body=False) == ["Accept", "Range", "X-Content"]


def test_stripping_what_is_not_there_is_no_error() -> None:
    headers: CIMultiDict[str] = CIMultiDict()
    strip_fields(headers, cross_origin=True, keep_body=False)
    assert not headers
