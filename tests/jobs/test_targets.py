"""Which host and path a URL means, and what is said of a text that is no URL."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from fetchd.jobs import targets
from fetchd.jobs.targets import MAX_URL_LENGTH, parse_target, without_userinfo

# text: scheme, host, port, path, query, host key
GOOD: list[tuple[str, tuple[str, str, int, str, str | None, str]]] = [
    ("http://h/a", ("http", "h", 80, "/a", None, "h:80")),
    ("https://h/a", ("https", "h", 443, "/a", None, "h:443")),
    ("http://h", ("http", "h", 80, "/", None, "h:80")),
    ("http://h?q", ("http", "h", 80, "/", "q", "h:80")),
    ("http://h#f", ("http", "h", 80, "/", None, "h:80")),
    ("http://h/a?", ("http", "h", 80, "/a", "", "h:80")),
    ("http://h/a?b?c/d", ("http", "h", 80, "/a", "b?c/d", "h:80")),
    ("http://h/a?b#c?d", ("http", "h", 80, "/a", "b", "h:80")),
    ("http://h/a#b", ("http", "h", 80, "/a", None, "h:80")),
    ("http://h//a/../b/./c", ("http", "h", 80, "//a/../b/./c", None, "h:80")),
    ("http://h/%2F%2e%zz", ("http", "h", 80, "/%2F%2e%zz", None, "h:80")),
    ('http://h/a\\b|"<>{}^`', ("http", "h", 80, '/a\\b|"<>{}^`', None, "h:80")),
    ("HTTP://EXAMPLE.com/A", ("http", "example.com", 80, "/A", None, "example.com:80")),
    ("http://Example.COM:8080/", ("http", "example.com", 8080, "/", None, "example.com:8080")),
    ("http://h:/a", ("http", "h", 80, "/a", None, "h:80")),
    ("http://h:443/a", ("http", "h", 443, "/a", None, "h:443")),
    ("http://h:0080/a", ("http", "h", 80, "/a", None, "h:80")),
    ("http://h:65535/a", ("http", "h", 65535, "/a", None, "h:65535")),
    ("http://u:p@h/a", ("http", "h", 80, "/a", None, "h:80")),
    ("http://u:p%40@x@h:81/a", ("http", "h", 81, "/a", None, "h:81")),
    ("http://h/u@v", ("http", "h", 80, "/u@v", None, "h:80")),
    ("http://127.0.0.1:8000/", ("http", "127.0.0.1", 8000, "/", None, "127.0.0.1:8000")),
    ("http://[::1]/", ("http", "[::1]", 80, "/", None, "[::1]:80")),
    ("http://[0:0:0:0::1]:81/", ("http", "[::1]", 81, "/", None, "[::1]:81")),
    ("http://u:p@[2001:DB8::1]:/", ("http", "[2001:db8::1]", 80, "/", None, "[2001:db8::1]:80")),
    ("http://a_b.example/", ("http", "a_b.example", 80, "/", None, "a_b.example:80")),
    # One host with and without the final dot, though two names of it.
    ("http://example.com./", ("http", "example.com.", 80, "/", None, "example.com:80")),
    (
        "http://bücher.example/é?ü",
        ("http", "xn--bcher-kva.example", 80, "/é", "ü", "xn--bcher-kva.example:80"),
    ),
    ("http://BÜCHER.example/", ("http", "xn--bcher-kva.example", 80, "/", None, "xn--bcher-kva.example:80")),
    ("http://h/نمی\u200cشود", ("http", "h", 80, "/نمی\u200cشود", None, "h:80")),
]


@pytest.mark.parametrize(("text", "parts"), GOOD)
def test_good_urls_and_their_parts(text: str, parts: tuple[str, str, int, str, str | None, str]) -> None:
    """Scheme, host and port are put into one form; path and query stay as written."""
    assert tuple(parse_target(text)) == parts


NO_SCHEME = "no scheme; expected a URL that begins with http:// or https://"
BAD_PORT = "bad port; expected a number from 1 to 65535"

BAD: list[tuple[str, str]] = [
    ("", "empty; expected a URL"),
    ("http://h/" + "a" * MAX_URL_LENGTH, "longer than 65536 characters"),
    ("example.com/a", NO_SCHEME),
    ("/a/b", NO_SCHEME),
    ("//h/a", NO_SCHEME),
    ("http:/h/a", NO_SCHEME),
    ("http:h", NO_SCHEME),
    ("://h", NO_SCHEME),
    ("1http://h", NO_SCHEME),
    ("ftp://h/a", "unknown scheme 'ftp'; expected http or https"),
    ("File:///etc/passwd", "unknown scheme 'file'; expected http or https"),
    ("x" * 30 + "://h/a", "unknown scheme '" + "x" * 20 + "'; expected http or https"),
    ("http://", "no host; expected http://host/..."),
    ("http:///a", "no host; expected http://host/..."),
    ("http://:80/", "no host; expected http://host/..."),
    ("http://user@/a", "no host; expected http://host/..."),
    ("http://?a", "no host; expected http://host/..."),
    ("http://h:0/", BAD_PORT),
    ("http://h:65536/", BAD_PORT),
    ("http://h:999999999999/", BAD_PORT),
    ("http://h:-1/", BAD_PORT),
    ("http://h:80:90/", BAD_PORT),
    ("http://h:٨٠/", BAD_PORT),
    ("http://::1/", "no host; expected http://host/..."),
    ("http://user:secret/x@h/", BAD_PORT),
    ("http://[::1/", "unclosed bracket; expected an IPv6 address as [::1]"),
    ("http://[::1]x/", "unclosed bracket; expected an IPv6 address as [::1]"),
    ("http://[::g]/", "bad IPv6 address between the brackets"),
    ("http://[127.0.0.1]/", "bad IPv6 address between the brackets"),
    ("http://[fe80::1%25eth0]/", "IPv6 zone identifier; expected an address without one"),
    ("http://a..b/", "host name with an empty part between two dots"),
    ("http://.a/", "host name with an empty part between two dots"),
    ("http://./", "host name with an empty part between two dots"),
    ("http://" + "a" * 64 + ".b/", "host name with a part longer than 63 characters"),
    ("http://" + "a." * 127 + "ab/", "host name longer than 253 characters"),
    ("http://a%2eb/", "character '%' in the host name"),
    ("http://a!b/", "character '!' in the host name"),
    ("http://good.example\\@evil.example/", "backslash before the host"),
    ("http://good.example\\.evil.example/", "character '\\\\' in the host name"),
    ("http://\u2f00\u0300\u200b\ufe0f./", "host name that has no international form (RFC 5890)"),
    ("http://h/a b", "blank at column 11; expected it as %20"),
    ("http://h/a\tb", "blank at column 11; expected it as %20"),
    (" http://h/", "blank at column 1; expected it as %20"),
    ("http://h/a\u3000b", "blank at column 11; expected it as %20"),
    ("http://h\u00a0/", "blank at column 9; expected it as %20"),
    ("http://h/\0", "control character (U+0000) at column 10"),
    ("http://h/a\r\nX: y", "control character (U+000D) at column 11"),
    ("http://h/\x7f", "control character (U+007F) at column 10"),
    ("http://h/\x85", "control character (U+0085) at column 10"),
    ("http://h/#\x1f", "control character (U+001F) at column 11"),
    ("http://h/caf\udce9", "not UTF-8 at column 13"),
]


@pytest.mark.parametrize(("text", "message"), BAD, ids=[repr(text)[:50] for text, _ in BAD])
def test_bad_urls_and_what_is_said_of_them(text: str, message: str) -> None:
    """One phrase: what is wrong and, where it helps, what is expected."""
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        parse_target(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "text",
    [
        "http://user:secret@h:x/",
        "http://user:secret/@h/",
        "http://user:secret\\@h/",
        "http://user:secret@h!/",
        "http://user:secret@/",
        "http://user:secret@[::/",
        "http://user: secret@h/",
        "ftp://user:secret@h/",
    ],
)
def test_messages_never_show_credentials(text: str) -> None:
    """Not even where the URL is so wrong that its parts cannot be told apart."""
    with pytest.raises(ValueError, match=r".") as caught:
        parse_target(text)
    assert "secret" not in str(caught.value)
    assert "user" not in str(caught.value)


@given(st.text())
def test_any_text_is_a_target_or_a_value_error(text: str) -> None:
    """No other exception, whatever the manifest holds."""
    for candidate in (text, f"http://{text}", f"http://h/{text}"):
        try:
            target = parse_target(candidate)
        except ValueError:
            continue
        assert target.scheme in ("http", "https")
        assert target.host.isascii()
        assert target.host == target.host.lower()
        assert 1 <= target.port <= 65535
        assert target.raw_path.startswith("/")


URLS = st.builds(
    "{}://{}{}{}{}".format,
    st.sampled_from(["http", "https"]),
    st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,8}[a-zA-Z0-9])?(\.[a-z]{2,5}){0,2}", fullmatch=True),
    st.sampled_from(["", ":80", ":8080"]),
    st.from_regex(r"(/[a-zA-Z0-9%._~!$&'()*+,;=:@-]{0,9}){0,4}", fullmatch=True),
    st.sampled_from(["", "?", "?a=b&c", "#f", "?a#f"]),
)


@given(URLS)
def test_the_parts_agree_with_yarl(text: str) -> None:
    """The client's own reading of the URL names the same host and port."""
    target, url = parse_target(text), URL(text, encoded=True)
    assert (target.scheme, target.host, target.port) == (url.scheme, (url.raw_host or "").lower(), url.port)
    assert target.raw_path == (url.raw_path or "/")
    assert (target.raw_query or "") == url.raw_query_string


def test_urls_of_one_host_share_the_text_of_its_key() -> None:
    """A window of 100,000 items holds one string a host, not one an item."""
    assert parse_target("http://shared.example/1").host_key is parse_target("http://shared.example/2").host_key


def test_the_cache_of_origins_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A manifest of ten million hosts does not fill the memory, and hosts seen again are still right."""
    monkeypatch.setattr(targets, "_MAX_CACHED_ORIGINS", 10)
    monkeypatch.setattr(targets, "_origins", {})
    for number in range(100):
        assert parse_target(f"http://h{number}/a").host == f"h{number}"
        assert len(targets._origins) <= 10
    assert parse_target("http://h0/a").host == "h0"


WITHOUT: list[tuple[str, str]] = [
    ("http://h/a", "http://h/a"),
    ("http://u:p@h/a", "http://h/a"),
    ("http://u:p@x@h:81/a@b", "http://h:81/a@b"),
    ("http://h/a@b?c@d", "http://h/a@b?c@d"),
    ("http://h?u@v", "http://h?u@v"),
    ("ftp://u:p@h", "ftp://h"),
    ("//u:p@h/a", "//h/a"),
    ("someone@example", "someone@example"),
    ("", ""),
]


@pytest.mark.parametrize(("url", "shown"), WITHOUT)
def test_userinfo_is_left_out_of_what_is_shown(url: str, shown: str) -> None:
    """Only userinfo goes; an @ elsewhere is part of the URL."""
    assert without_userinfo(url) == shown
