"""Cookie files: what is saved is loaded again, and what others write and read is ours to read and write."""

from __future__ import annotations

import http.cookiejar
import os
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yarl import URL

from fetchd.client import Cookie, CookieJar

NOW = 1_700_000_000.0
HERE = URL("https://www.example.com/shop/")
TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters=";=\t\x7f \x85\u2028\u2029", exclude_categories=("C", "Z"))
)


def jar_at(now: float = NOW) -> CookieJar:
    """A jar whose clock stands."""
    return CookieJar(clock=lambda: now)


def test_what_is_saved_is_loaded_again(tmp_path: Path) -> None:
    """With everything that decides where it is sent."""
    jar = jar_at()
    jar.update_from_response(
        ["host=1; Path=/x", "all=2; Domain=example.com; Secure; Max-Age=60", 'http=" 3, "; HttpOnly; Path=/'], HERE
    )
    assert jar.save(tmp_path / "cookies.txt") == 3
    again = jar_at()
    assert again.load(tmp_path / "cookies.txt") == 3
    assert sorted(again, key=lambda c: c.name) == sorted(jar, key=lambda c: c.name)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(TEXT.filter(bool), TEXT, st.booleans(), st.none() | st.integers(1, 10**9)), max_size=5))
def test_any_cookies_come_back(tmp_path: Path, given: list[tuple[str, str, bool, int | None]]) -> None:
    """Names and values of any script."""
    jar = jar_at()
    for name, value, secure, age in given:
        attributes = ("; Secure" if secure else "") + ("" if age is None else f"; Max-Age={age}")
        jar.update_from_response([f"{name}={value}{attributes}"], HERE)
    jar.save(tmp_path / "c")
    again = jar_at()
    again.load(tmp_path / "c")
    assert sorted(map(repr, again)) == sorted(map(repr, jar))


def test_the_file_is_its_owners_alone_and_replaced_in_one_step(tmp_path: Path) -> None:
    """Whatever mode the one before had; nothing is left beside it."""
    path = tmp_path / "cookies.txt"
    path.write_text("old")
    path.chmod(0o666)
    jar = jar_at()
    jar.update_from_response(["a=1"], HERE)
    jar.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["cookies.txt"]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    """And nothing beside it."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        jar_at().save(tmp_path / "folder")
    assert os.listdir(tmp_path) == ["folder"]


def test_what_has_no_place_in_the_format_is_left_out(tmp_path: Path) -> None:
    """Cookies for every host; a tab in a value."""
    jar = jar_at()
    jar.update({"everywhere": "1"})
    jar.update_from_response(["tab=a\tb", "kept=1"], HERE)
    assert jar.save(tmp_path / "c") == 1
    assert "kept" in (tmp_path / "c").read_text()


def test_pythons_own_jar_reads_what_is_saved(tmp_path: Path) -> None:
    """http.cookiejar.MozillaCookieJar."""
    jar = jar_at()
    jar.update_from_response(["a=1; Path=/; Expires=Tue, 19 Jan 2038 03:14:07 GMT", "b=2; Domain=example.com"], HERE)
    jar.save(tmp_path / "c")
    theirs = http.cookiejar.MozillaCookieJar(str(tmp_path / "c"))
    theirs.load(ignore_discard=True, ignore_expires=True)
    assert {(c.name, c.value, c.domain, c.path) for c in theirs} == {
        ("a", "1", "www.example.com", "/"),
        ("b", "2", ".example.com", "/shop"),
    }


def test_what_pythons_own_jar_saves_is_read(tmp_path: Path) -> None:
    """The other way round."""
    theirs = http.cookiejar.MozillaCookieJar(str(tmp_path / "c"))
    theirs.set_cookie(
        http.cookiejar.Cookie(
            0, "a", "1", None, False, ".example.com", True, True, "/", True, True, 4_000_000_000, False, None, None, {}
        )
    )
    theirs.save(ignore_discard=True)
    jar = jar_at()
    assert jar.load(tmp_path / "c") == 1
    assert jar.cookie_header(URL("https://deep.example.com/")) == "a=1"
    assert jar.cookie_header(URL("http://deep.example.com/")) == "", "it is for https"


def test_a_file_as_curl_writes_it_is_read(tmp_path: Path) -> None:
    """With its comments, #HttpOnly_, CRLF, a byte-order mark, and what has expired."""
    (tmp_path / "c").write_bytes(
        b"\xef\xbb\xbf# Netscape HTTP Cookie File\r\n# https://curl.se/docs/http-cookies.html\r\n\r\n"
        b"#HttpOnly_www.example.com\tFALSE\t/\tTRUE\t0\tsession\tx=y\r\n"
        b".example.com\tTRUE\t/\tFALSE\t1600000000\told\t1\r\n"
        b"example.com\tTRUE\t/a\tFALSE\t4000000000\tnew\t\r\n"
    )
    jar = jar_at()
    assert jar.load(tmp_path / "c") == 2
    session, new = sorted(jar, key=lambda c: c.name, reverse=True)
    assert session == Cookie("session", "x=y", "www.example.com", "/", None, NOW, True, True, True, NOW)
    assert (new.host_only, new.domain, new.expiry_time, new.value) == (False, "example.com", 4_000_000_000.0, "")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("example.com\tTRUE\t/\tFALSE\t0\tname", "6 values"),
        ("example.com TRUE / FALSE 0 name secret", "1 values"),
        ("example.com\tyes\t/\tFALSE\t0\tname\tsecret", "TRUE or FALSE"),
        ("example.com\tTRUE\t/\tFALSE\tsoon\tname\tsecret", "'soon'"),
        ("\tTRUE\t/\tFALSE\t0\tname\tsecret", "domain"),
        ("example.com\tTRUE\tx\tFALSE\t0\tname\tsecret", "path"),
        ("example.com\tTRUE\t/\tFALSE\t0\t\tsecret", "name"),
    ],
)
def test_a_bad_line_is_told_by_its_number_and_nothing_is_added(tmp_path: Path, line: str, told: str) -> None:
    """Values may be secret, and are not shown."""
    (tmp_path / "c").write_text(f"# comment\nexample.com\tTRUE\t/\tFALSE\t0\tgood\t1\n{line}\n")
    jar = jar_at()
    with pytest.raises(ValueError, match=told) as caught:
        jar.load(tmp_path / "c")
    assert "line 3" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert len(jar) == 0
