"""The cookie store by the clauses of RFC 6265: what is stored, what is sent, what goes."""

from __future__ import annotations

import time
from calendar import timegm
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from fetchd.client.cookie_syntax import parse_cookie_date, simple_cookies
from fetchd.client.cookies import (
    Cookie,
    CookieJar,
    DummyCookieJar,
    default_path,
    domain_match,
    parse_set_cookie,
    path_match,
)

NOW = 1_700_000_000.0
URL_HERE = URL("https://www.example.com/shop/cart/view?x=/y/z")
PLAIN_URL = URL("http://www.example.com/shop/cart/view")


class Clock:
    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def parse(text: str, url: URL = URL_HERE) -> Cookie | None:
    return parse_set_cookie(text, url, NOW)


def parsed(text: str, url: URL = URL_HERE) -> Cookie:
    cookie = parse(text, url)
    assert cookie is not None
    return cookie


def jar_with(*set_cookie: str, url: URL = URL_HERE, clock: Clock | None = None) -> CookieJar:
    jar = CookieJar(clock=clock or Clock())
    jar.update_from_response(set_cookie, url)
    return jar


def names_sent(jar: CookieJar, url: str | URL) -> set[str]:
    header = jar.cookie_header(URL(url))
    return {pair.partition("=")[0] for pair in header.split("; ")} if header else set()


# Section 5.1.1: dates


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun, 6-nov-1994 08:49:37 GMT",
        "06 Nov 94 08:49:37",
        "1994 Nov 06 08:49:37",
        "08:49:37 06 november 94",
        "8:49:37 6 NOVEMBER 1994",
        "Sun;06@Nov`1994{08:49:37",
        "06 Nov 1994 08:49:37 -0700",
        "some 06 more Nov other 1994 and 08:49:37 x",
        "6th Nov 1994CE 08:49:37pm",
        "Sun, 06 Nov 1994 08:49:37 GMT 2001 Dec 09:00:00",
        "\t06\tNov\t1994\t08:49:37\t",
    ],
)
def test_every_odd_form_of_a_date_is_the_same_second(text: str) -> None:
    """RFC 6265 section 5.1.1: the first token that fits each part wins; the zone is read over."""
    assert parse_cookie_date(text) == timegm((1994, 11, 6, 8, 49, 37))


@pytest.mark.parametrize(
    ("text", "year"),
    [
        ("01 Jan 70 00:00:00", 1970),
        ("01 Jan 99 00:00:00", 1999),
        ("01 Jan 00 00:00:00", 2000),
        ("01 Jan 69 00:00:00", 2069),
        ("01 Jan 099 00:00:00", 1999),
        ("01 Jan 1601 00:00:00", 1601),
        ("01 Jan 9999 00:00:00", 9999),
    ],
)
def test_years_of_two_digits_lie_between_1970_and_2069(text: str, year: int) -> None:
    assert parse_cookie_date(text) == timegm((year, 1, 1, 0, 0, 0))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "-1",
        "Thu, 01 Jan 1970",
        "01 Jan 08:49:37",
        "Jan 1994 08:49:37",
        "06 1994 08:49:37",
        "06 Nov 1994 08:49",
        "06 Nov 1994 24:00:00",
        "06 Nov 1994 08:60:00",
        "06 Nov 1994 08:49:60",
        "00 Nov 1994 08:49:37",
        "32 Nov 1994 08:49:37",
        "31 Nov 1994 08:49:37",
        "29 Feb 1995 08:49:37",
        "06 Nov 1600 08:49:37",
        "06 Nov 160 08:49:37",
        "06 Nov 19945 08:49:37",
        "06 Nov 1994 008:49:37",
        "06 Nov 1994 ٠٨:49:37",
        "06 Nob 1994 08:49:37",
        "06 \u017fep 1994 08:49:37",
        "784111777",
        "1994-11-06T08:49:37Z",
    ],
)
def test_what_is_no_date_is_none(text: str) -> None:
    """A part that is missing or out of range, or a day that the month does not have."""
    assert parse_cookie_date(text) is None


def test_a_leap_day_is_a_date() -> None:
    assert parse_cookie_date("29 Feb 1996 00:00:00") == timegm((1996, 2, 29, 0, 0, 0))


@given(st.integers(-11_644_473_600, 253_402_300_799))
def test_http_dates_of_any_second_are_read_back(seconds: int) -> None:
    text = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(seconds))
    assert parse_cookie_date(text) == seconds


@given(st.text(max_size=60))
def test_any_text_is_a_date_or_none(text: str) -> None:
    assert parse_cookie_date(text) is None or isinstance(parse_cookie_date(text), float)


# Sections 5.1.3 and 5.1.4: matching


@pytest.mark.parametrize(
    ("host", "domain", "matches"),
    [
        ("example.com", "example.com", True),
        ("www.example.com", "example.com", True),
        ("a.b.example.com", "example.com", True),
        ("a.b.example.com", "b.example.com", True),
        ("example.com", "www.example.com", False),
        ("badexample.com", "example.com", False),
        ("example.com.evil.com", "example.com", False),
        ("example.org", "example.com", False),
        ("com", "example.com", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "0.0.1", False),
        ("1.127.0.0.1", "127.0.0.1", False),
        ("127.1", "1", False),
        ("10.0x7f", "0x7f", False),
        ("::1", "::1", True),
        ("::ffff:10.0.0.1", "0.0.1", False),
        ("localhost", "localhost", True),
    ],
)
def test_domain_match(host: str, domain: str, matches: bool) -> None:
    """RFC 6265 section 5.1.3: the domain, or a name below it; never part of a label or of an address."""
    assert domain_match(host, domain) is matches


@pytest.mark.parametrize(
    ("request_path", "cookie_path", "matches"),
    [
        ("/", "/", True),
        ("/a", "/", True),
        ("/a", "/a", True),
        ("/a/", "/a", True),
        ("/a/b", "/a", True),
        ("/a/b", "/a/", True),
        ("/a", "/a/", False),
        ("/ab", "/a", False),
        ("/", "/a", False),
        ("/A", "/a", False),
        ("/a%2Fb", "/a", False),
        ("//a", "/", True),
    ],
)
def test_path_match(request_path: str, cookie_path: str, matches: bool) -> None:
    """RFC 6265 section 5.1.4."""
    assert path_match(request_path, cookie_path) is matches


@pytest.mark.parametrize(
    ("request_path", "path"),
    [
        ("", "/"),
        ("relative/path", "/"),
        ("/", "/"),
        ("/a", "/"),
        ("/a/", "/a"),
        ("/a/b", "/a"),
        ("/a/b/", "/a/b"),
        ("//", "/"),
        ("//a", "/"),
    ],
)
def test_default_path(request_path: str, path: str) -> None:
    """RFC 6265 section 5.1.4: up to, not including, the last slash."""
    assert default_path(request_path) == path


# Section 5.2: parsing


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("a=b", "a", "b"),
        (" a \t= b\t", "a", "b"),
        ("a=", "a", ""),
        ("a=b=c==", "a", "b=c=="),
        ('a="b c"', "a", '"b c"'),
        ("a=b, c=d", "a", "b, c=d"),
        ("a b=c d", "a b", "c d"),
        ("a[b]=c", "a[b]", "c"),
        ("path=/x", "path", "/x"),
        ("a=b;", "a", "b"),
        ("a=b;;;=;x", "a", "b"),
        ("a=ü", "a", "ü"),
        ("a=b\tc", "a", "b\tc"),
        ("a=\udce9", "a", "\udce9"),
    ],
)
def test_name_and_value_are_split_at_the_first_equals_sign(text: str, name: str, value: str) -> None:
    cookie = parsed(text)
    assert (cookie.name, cookie.value) == (name, value)


@pytest.mark.parametrize("text", ["", "a", "; path=/", "=b", " = b", "a; b=c", ";a=b"])
def test_a_pair_without_a_name_is_ignored(text: str) -> None:
    """RFC 6265 section 5.2 steps 2 and 5."""
    assert parse(text) is None


@pytest.mark.parametrize("char", [chr(n) for n in (*range(9), *range(10, 32), 127)])
@pytest.mark.parametrize("form", ["a{}=b", "a=b{}", "a=b; path=/{}", "a=b; x{}"])
def test_control_octets_refuse_the_cookie(char: str, form: str) -> None:
    """As browsers do; what is stored goes back to the wire."""
    assert parse(form.format(char)) is None


def test_a_plain_cookie_is_host_only_and_lasts_with_the_store() -> None:
    assert parsed("a=b") == Cookie(
        "a", "b", "www.example.com", "/shop/cart", None, NOW, False, False, True, last_access_time=NOW
    )


@pytest.mark.parametrize(
    ("attributes", "expiry_time"),
    [
        ("", None),
        ("Expires=Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777.0),
        ("EXPIRES = Sun, 06 Nov 1994 08:49:37 GMT ", 784_111_777.0),
        ("expires=never", None),
        ("Expires=Sun, 06 Nov 1994 08:49:37 GMT; Expires=never", 784_111_777.0),
        ("Expires=01 Jan 2030 00:00:00; Expires=Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777.0),
        ("Max-Age=60", NOW + 60),
        ("max-age=060", NOW + 60),
        ("Max-Age=0", 0.0),
        ("Max-Age=-5", 0.0),
        ("Max-Age=60; Expires=Sun, 06 Nov 1994 08:49:37 GMT", NOW + 60),
        ("Expires=Sun, 06 Nov 1994 08:49:37 GMT; Max-Age=60", NOW + 60),
        ("Max-Age=60; Max-Age=90", NOW + 90),
        ("Max-Age=60; Max-Age=soon", NOW + 60),
        ("Max-Age=; Max-Age=+5; Max-Age=1.5; Max-Age=1_0; Max-Age=--1; Max-Age=-", None),
        ("Max-Age=٦٠", None),
        ("Max-Age=" + "9" * 1000, NOW + 10**12),
        ("Max-Age=-" + "9" * 1000, 0.0),
        ("Max-Age=" + "0" * 1000 + "7", NOW + 7),
        ("Max-Age=" + "9" * 2000, None),
    ],
)
def test_expiry(attributes: str, expiry_time: float | None) -> None:
    """RFC 6265 sections 5.2.1, 5.2.2, 5.3 step 3: Max-Age wins, the last that makes sense counts."""
    assert parsed(f"a=b; {attributes}").expiry_time == expiry_time


@pytest.mark.parametrize(
    ("host", "attribute", "domain", "host_only"),
    [
        ("www.example.com", "", "www.example.com", True),
        ("www.example.com", "Domain=www.example.com", "www.example.com", False),
        ("www.example.com", "Domain=.www.example.com", "www.example.com", False),
        ("www.example.com", "domain=Example.COM", "example.com", False),
        ("www.example.com", "Domain=", "www.example.com", True),
        ("www.example.com", "Domain=.", "www.example.com", True),
        ("www.example.com", "Domain=example.com; Domain=", "example.com", False),
        ("www.example.com", "Domain=example.com; Domain=www.example.com", "www.example.com", False),
        ("WWW.Example.com", "Domain=example.com", "example.com", False),
        ("localhost", "Domain=localhost", "localhost", True),
        ("127.0.0.1", "Domain=127.0.0.1", "127.0.0.1", True),
        ("[::1]", "Domain=::1", "::1", True),
    ],
)
def test_domains_that_a_host_may_set_for(host: str, attribute: str, domain: str, host_only: bool) -> None:
    """RFC 6265 sections 5.2.3, 5.3 steps 5 and 6; addresses and names without a dot stay alone."""
    cookie = parsed(f"a=b; {attribute}", URL(f"http://{host}/"))
    assert (cookie.domain, cookie.host_only) == (domain, host_only)


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("www.example.com", "com"),
        ("www.example.com", ".com"),
        ("www.example.com", "other.com"),
        ("www.example.com", "a.www.example.com"),
        ("www.example.com", "ample.com"),
        ("www.example.com", "..example.com"),
        ("www.example.com", "example.com."),
        ("www.example.com", "exämple.com"),
        ("a.localhost", "localhost"),
        ("127.0.0.1", "0.0.1"),
        ("127.0.0.1", "1"),
        ("127.0.0.1", "localhost"),
        ("[::1]", "[::1]"),
    ],
)
def test_domains_that_a_host_must_not_set_for(host: str, domain: str) -> None:
    assert parse(f"a=b; Domain={domain}", URL(f"http://{host}/")) is None


@pytest.mark.parametrize(
    ("attribute", "path"),
    [
        ("", "/shop/cart"),
        ("Path=/", "/"),
        ("path = /other/place ", "/other/place"),
        ("Path=", "/shop/cart"),
        ("Path=relative", "/shop/cart"),
        ("Path=/one; Path=/two", "/two"),
        ("Path=/one; Path=", "/shop/cart"),
        ("Path=/one; Path=/" + "x" * 1024, "/one"),
    ],
)
def test_path(attribute: str, path: str) -> None:
    """RFC 6265 section 5.2.4; the last attribute counts, longer ones than 1024 octets do not."""
    assert parsed(f"a=b; {attribute}").path == path


@pytest.mark.parametrize(
    ("attributes", "secure", "http_only"),
    [
        ("", False, False),
        ("Secure", True, False),
        ("SECURE=no; httponly=", True, True),
        ("HttpOnly", False, True),
        ("insecure; SameSite=None; Partitioned", False, False),
    ],
)
def test_flags(attributes: str, secure: bool, http_only: bool) -> None:
    cookie = parsed(f"a=b; {attributes}")
    assert (cookie.secure, cookie.http_only) == (secure, http_only)


def test_a_cookie_of_a_relative_url_is_a_fault_of_the_caller() -> None:
    with pytest.raises(ValueError, match="expected an absolute URL"):
        parse("a=b", URL("/x"))
    with pytest.raises(ValueError, match="expected an absolute URL"):
        CookieJar().update({"a": "b"}, URL("/x"))


# Section 5.3: storing


def test_an_empty_store_is_false_and_sends_nothing() -> None:
    jar = CookieJar()
    assert not jar
    assert len(jar) == 0
    assert jar.cookie_header(URL_HERE) == ""
    assert repr(jar) == "<CookieJar 0 cookies of 0 domains>"


def test_a_stored_cookie_makes_the_store_true_and_comes_back() -> None:
    jar = jar_with("a=1; Path=/", "b=2; Path=/; Domain=example.com")
    assert jar
    assert len(jar) == 2
    assert {cookie.name for cookie in jar} == {"a", "b"}
    assert jar.cookie_header(URL_HERE) == "a=1; b=2"
    assert repr(jar) == "<CookieJar 2 cookies of 2 domains>"


def test_the_same_name_domain_and_path_is_replaced_and_keeps_its_creation_time() -> None:
    clock = Clock()
    jar = jar_with("a=1; Path=/", "b=2; Path=/", clock=clock)
    clock.now += 10
    jar.update_from_response(["a=3; Path=/; Max-Age=5"], URL_HERE)
    assert len(jar) == 2
    assert {(c.name, c.value, c.creation_time, c.expiry_time) for c in jar} == {
        ("a", "3", NOW, NOW + 15),
        ("b", "2", NOW, None),
    }


def test_another_path_or_domain_is_another_cookie() -> None:
    jar = jar_with("a=1; Path=/", "a=2; Path=/shop", "a=3; Path=/; Domain=example.com")
    assert len(jar) == 3
    assert jar.cookie_header(URL_HERE) == "a=2; a=1; a=3"


@pytest.mark.parametrize("past", ["Max-Age=0", "Expires=Thu, 01 Jan 1970 00:00:00 GMT"])
def test_an_expiry_in_the_past_deletes(past: str) -> None:
    jar = jar_with("a=1; Path=/", "b=2; Path=/")
    jar.update_from_response([f"a=; Path=/; {past}", f"never-there=; {past}"], URL_HERE)
    assert jar.cookie_header(URL_HERE) == "b=2"
    assert len(jar) == 1
    jar.update_from_response([f"b=; Path=/; {past}"], URL_HERE)
    assert not jar


def test_an_expired_cookie_is_not_sent_and_one_set_anew_is_created_anew() -> None:
    clock = Clock()
    jar = jar_with("a=1; Path=/; Max-Age=10", clock=clock)
    clock.now += 9
    assert names_sent(jar, URL_HERE) == {"a"}
    clock.now += 1
    assert names_sent(jar, URL_HERE) == set()
    jar.update_from_response(["a=2; Path=/"], URL_HERE)
    (cookie,) = jar
    assert cookie.creation_time == clock.now


def test_iterating_forgets_what_is_expired() -> None:
    clock = Clock()
    jar = jar_with("a=1; Max-Age=10", "b=1", clock=clock)
    clock.now += 10
    assert len(jar) == 2
    assert [cookie.name for cookie in jar] == ["b"]
    assert len(jar) == 1


def test_the_store_may_change_while_it_is_iterated() -> None:
    jar = jar_with("a=1", "b=1")
    for _ in jar:
        jar.clear()
    assert not jar


def test_clear_forgets_what_the_predicate_says_or_everything() -> None:
    jar = jar_with("a=1", "b=1; Domain=example.com", "c=1")
    jar.clear(lambda cookie: cookie.host_only)
    assert [cookie.name for cookie in jar] == ["b"]
    jar.clear()
    assert not jar


@pytest.mark.parametrize("size", [4096, 4097])
def test_a_cookie_longer_than_the_bound_is_not_stored(size: int) -> None:
    """Name and value together, in octets, not in characters."""
    assert bool(jar_with("n=" + "v" * (size - 1))) is (size <= 4096)
    assert bool(jar_with("n" * size + "=")) is (size <= 4096)
    assert bool(jar_with("nn=" + "ü" * ((size - 1) // 2))) is (size <= 4096)


def test_of_one_domain_the_least_recently_used_goes_first() -> None:
    clock = Clock()
    jar = CookieJar(max_cookies_per_domain=3, clock=clock)
    for name in ("a", "b", "c"):
        clock.now += 1
        jar.update_from_response([f"{name}=1; Path=/{name}"], URL_HERE)
    clock.now += 1
    jar.cookie_header(URL_HERE / "../../../a")
    jar.update_from_response(["d=1; Path=/d"], URL_HERE)
    assert {cookie.name for cookie in jar} == {"a", "c", "d"}


def test_of_one_domain_the_expired_go_before_those_in_use() -> None:
    clock = Clock()
    jar = CookieJar(max_cookies_per_domain=2, clock=clock)
    jar.update_from_response(["old=1"], URL_HERE)
    clock.now += 1
    jar.update_from_response(["short=1; Max-Age=1"], URL_HERE)
    clock.now += 1
    jar.update_from_response(["new=1"], URL_HERE)
    assert {cookie.name for cookie in jar} == {"old", "new"}


def test_a_flood_by_one_domain_leaves_other_domains_alone() -> None:
    jar = jar_with("mine=1", url=URL("http://mine.example/"))
    jar.update_from_response([f"c{i}=1" for i in range(1000)], URL("http://flood.example/"))
    assert len(jar) == 51
    assert names_sent(jar, "http://mine.example/") == {"mine"}


def test_the_total_is_bounded_and_the_longest_unused_go() -> None:
    clock = Clock()
    jar = CookieJar(max_cookies=32, clock=clock)
    for i in range(100):
        clock.now += 1
        jar.update_from_response(["a=1"], URL(f"http://h{i}.example/"))
        assert len(jar) <= 32
        assert names_sent(jar, "http://h0.example/") == {"a"}
    kept = {cookie.domain for cookie in jar}
    assert kept >= {"h0.example", *(f"h{i}.example" for i in range(71, 100))}


@pytest.mark.slow
def test_a_full_store_takes_on_more_in_little_time() -> None:
    """Making room is not paid for in full by every cookie that is set."""
    jar = CookieJar()
    urls = [URL(f"http://h{i}.example/") for i in range(6000)]
    start = time.process_time()
    for url in urls[:3000]:
        jar.update_from_response(["a=1"], url)
    filling = time.process_time() - start
    start = time.process_time()
    for url in urls[3000:]:
        jar.update_from_response(["a=1"], url)
    assert len(jar) <= 3000
    assert time.process_time() - start < 100 * filling  # sorting each time would be 700 times


# Section 5.4: sending


@pytest.mark.parametrize(
    ("set_cookie", "url", "is_sent"),
    [
        ("a=1", "https://www.example.com/shop/cart", True),
        ("a=1", "https://www.example.com/shop/cart/x/y", True),
        ("a=1", "https://www.example.com/shop/carton", False),
        ("a=1", "https://www.example.com/", False),
        ("a=1; Path=/", "https://www.example.com", True),
        ("a=1; Path=/", "https://www.example.com:8443/", True),
        ("a=1; Path=/", "http://www.example.com/", True),
        ("a=1; Path=/", "https://WWW.EXAMPLE.COM/", True),
        ("a=1; Path=/", "https://sub.www.example.com/", False),
        ("a=1; Path=/", "https://example.com/", False),
        ("a=1; Path=/; Domain=example.com", "https://example.com/", True),
        ("a=1; Path=/; Domain=example.com", "https://other.example.com/", True),
        ("a=1; Path=/; Domain=example.com", "https://badexample.com/", False),
        ("a=1; Path=/; Domain=example.com", "https://example.com.evil.com/", False),
        ("a=1; Path=/; Secure", "https://www.example.com/", True),
        ("a=1; Path=/; Secure", "http://www.example.com/", False),
        ("a=1; Path=/; HttpOnly", "http://www.example.com/", True),
        ("a=1; Path=/?x", "https://www.example.com/", False),
    ],
)
def test_what_is_sent_where(set_cookie: str, url: str, is_sent: bool) -> None:
    assert bool(jar_with(set_cookie).cookie_header(URL(url))) is is_sent


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
def test_addresses_and_short_names_keep_cookies_of_their_own(host: str) -> None:
    url = URL(f"http://{host}:8080/")
    jar = jar_with("a=1", url=url)
    assert jar.cookie_header(URL(f"http://{host}:9090/x")) == "a=1"
    assert jar.cookie_header(URL("http://10.0.0.1/")) == ""
    assert jar.cookie_header(URL("http://sub.localhost/")) == ""


def test_longer_paths_come_first_then_the_older() -> None:
    clock = Clock()
    jar = CookieJar(clock=clock)
    for text in ("new-root=1; Path=/", "deep=1; Path=/shop/cart", "mid=1; Path=/shop"):
        clock.now += 1
        jar.update_from_response([text], URL_HERE)
    clock.now = NOW
    jar.update_from_response(["old-root=1; Path=/; Domain=example.com"], URL_HERE)
    assert jar.cookie_header(URL_HERE) == "deep=1; mid=1; old-root=1; new-root=1"


def test_a_path_is_compared_octet_by_octet() -> None:
    jar = jar_with("a=1; Path=/x%2Fy", "b=1; Path=/ü")
    assert names_sent(jar, URL("https://www.example.com/x%2Fy", encoded=True)) == {"a"}
    assert names_sent(jar, URL("https://www.example.com/x/y", encoded=True)) == set()
    assert names_sent(jar, URL("https://www.example.com", encoded=True)) == set()


def test_over_http_a_secure_cookie_is_neither_set_nor_replaced() -> None:
    """Stricter than RFC 6265, as browsers are: who controls http must not control https."""
    jar = jar_with("evil=1; Secure", url=PLAIN_URL)
    assert not jar
    jar = jar_with("a=good; Secure")
    jar.update_from_response(["a=evil", "a=; Max-Age=0"], PLAIN_URL)
    assert jar.cookie_header(URL_HERE) == "a=good"
    jar.update_from_response(["a=better"], URL_HERE)
    assert jar.cookie_header(PLAIN_URL) == "a=better"


# By hand


def test_cookies_set_by_hand_without_a_url_go_to_every_host() -> None:
    jar = CookieJar()
    jar.update({"a": "1", "b": "2"})
    for url in ("http://x.example/", "https://127.0.0.1/deep/path", "http://[::1]/"):
        assert jar.cookie_header(URL(url)) == "a=1; b=2"


def test_cookies_set_by_hand_for_a_url_go_to_its_host_and_path() -> None:
    jar = CookieJar()
    jar.update([("a", "1"), ("a", "2")], URL("http://h.example/x/y"))
    assert jar.cookie_header(URL("http://h.example/x/z")) == "a=2"
    assert jar.cookie_header(URL("http://h.example/")) == ""
    assert jar.cookie_header(URL("http://sub.h.example/x/z")) == ""


def test_the_cookies_of_a_response_can_be_set_by_hand() -> None:
    jar = CookieJar()
    jar.update(simple_cookies(['a="q\\"q"; Path=/deep; Secure']))
    assert jar.cookie_header(URL("http://h.example/")) == 'a="q\\"q"'


def test_cookies_set_by_hand_replace_secure_ones_and_are_not_bound_by_domain() -> None:
    jar = jar_with("a=1; Secure; Path=/shop/cart")
    jar.update({"a": "2"}, PLAIN_URL)
    assert jar.cookie_header(PLAIN_URL) == "a=2"
    jar.update({f"c{i}": "1" for i in range(100)})
    assert len(jar) == 101


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("", "v"),
        ("a=b", "v"),
        ("a;b", "v"),
        ("a b", "v"),
        ("a\tb", "v"),
        ("a\r\nX-Evil", "v"),
        ("a", "v; evil=1"),
        ("a", "v\r\nX-Evil: 1"),
        ("a", "v\0"),
        ("a", "v" * 4096),
    ],
)
def test_what_would_break_the_field_or_the_bound_is_refused(name: str, value: str) -> None:
    jar = CookieJar()
    with pytest.raises(ValueError, match="cookie"):
        jar.update({name: value})
    assert not jar


# For a response to show


def test_simple_cookies_show_value_and_attributes() -> None:
    cookies = simple_cookies(
        ["a=1; Path=/x; Expires=Sun, 06 Nov 1994 08:49:37 GMT; Secure; HttpOnly; Unknown=1", "b=2; Max-Age=5"]
    )
    assert {name: morsel.value for name, morsel in cookies.items()} == {"a": "1", "b": "2"}
    assert cookies["a"]["path"] == "/x"
    assert cookies["a"]["expires"] == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert cookies["a"]["secure"] is True
    assert cookies["a"]["httponly"] is True
    assert cookies["b"]["max-age"] == "5"


@pytest.mark.parametrize(
    ("coded", "value"),
    [
        ("plain", "plain"),
        ('"quoted"', "quoted"),
        (r'"a\"b\\c\054d"', 'a"b\\c,d'),
        (r'"\400\x"', "400x"),
        ('"', '"'),
        ('""', ""),
        ('"open', '"open'),
        ("", ""),
    ],
)
def test_simple_cookies_show_values_without_quotes(coded: str, value: str) -> None:
    morsel = simple_cookies([f"a={coded}"])["a"]
    assert (morsel.value, morsel.coded_value) == (value, coded)


def test_simple_cookies_leave_out_what_is_bad_and_go_on() -> None:
    cookies = simple_cookies(["", "=x", "nothing", "a[b]=1", "path=/", "ctl=\x00", "good=1", "good=2"])
    assert {name: morsel.value for name, morsel in cookies.items()} == {"good": "2"}


def test_simple_cookies_of_many_backslashes_cost_linear_time() -> None:
    """The standard library's way is quadratic in some versions: seconds for one field."""
    start = time.process_time()
    simple_cookies(['a="' + "\\" * 200_000 + '"'])
    assert time.process_time() - start < 2


@given(st.lists(st.text(max_size=60), max_size=4))
def test_simple_cookies_and_the_store_take_any_text(texts: list[str]) -> None:
    simple_cookies(texts)
    assert "\n" not in jar_with(*texts).cookie_header(URL_HERE)


# The law: what is stored is what may be sent

HOSTS = st.sampled_from(["example.com", "a.example.com", "b.a.example.com", "other.com", "localhost", "10.0.0.1"])
PATHS = st.sampled_from(["/", "/a", "/a/", "/a/b", "/ab", "/a/b/c"])
URLS = st.builds("{}://{}{}".format, st.sampled_from(["http", "https"]), HOSTS, PATHS)
ATTRIBUTES = st.sampled_from(
    [
        "Domain=example.com",
        "Domain=a.example.com",
        "Domain=com",
        "Domain=10.0.0.1",
        "Path=/a",
        "Path=/",
        "Path=/a/b",
        "Secure",
        "Max-Age=5",
        "Max-Age=0",
        "Expires=Sun, 06 Nov 1994 08:49:37 GMT",
    ]
)
SET_COOKIES = st.builds(
    lambda name, value, attributes: "; ".join([f"{name}={value}", *attributes]),
    st.sampled_from("xyz"),
    st.integers(0, 99),
    st.lists(ATTRIBUTES, max_size=3),
)


class PlainStore:
    """The store as the RFC tells it: one list, every rule looked at for every cookie."""

    def __init__(self) -> None:
        self.cookies: list[Cookie] = []

    def update(self, texts: Iterable[str], url: URL, now: float) -> None:
        for text in texts:
            self.cookies = [c for c in self.cookies if c.expiry_time is None or c.expiry_time > now]
            new = parse_set_cookie(text, url, now)
            if new is None or (new.secure and url.scheme != "https"):
                continue
            for old in self.cookies:
                if (old.name, old.domain, old.path) == (new.name, new.domain, new.path):
                    if old.secure and url.scheme != "https":
                        break
                    new.creation_time = old.creation_time
                    self.cookies.remove(old)
                    self.cookies.append(new)
                    break
            else:
                self.cookies.append(new)

    def sent(self, url: URL, now: float) -> list[tuple[int, float, str]]:
        host = url.raw_host or ""
        return sorted(
            (-len(c.path), c.creation_time, f"{c.name}={c.value}")
            for c in self.cookies
            if (c.domain == host if c.host_only else domain_match(host, c.domain))
            and path_match(url.raw_path, c.path)
            and (url.scheme == "https" or not c.secure)
            and (c.expiry_time is None or c.expiry_time > now)
        )


@pytest.mark.slow
@given(st.lists(st.tuples(st.integers(0, 4), st.lists(SET_COOKIES, max_size=3), URLS, URLS), max_size=12))
def test_what_is_stored_is_what_may_be_sent(steps: list[tuple[int, list[str], str, str]]) -> None:
    """Any run of responses and requests: the store agrees with the RFC's plain list."""
    clock, plain = Clock(), PlainStore()
    jar = CookieJar(clock=clock)
    for seconds, set_cookie, from_url, to_url in steps:
        clock.now += seconds
        jar.update_from_response(set_cookie, URL(from_url))
        plain.update(set_cookie, URL(from_url), clock.now)
        expected = plain.sent(URL(to_url), clock.now)
        pairs = jar.cookie_header(URL(to_url)).split("; ")
        assert sorted(pairs) == sorted([pair for _, _, pair in expected] or [""])
        assert len(jar) >= len(plain.cookies) - sum(c.is_expired(clock.now) for c in plain.cookies)
    assert len(list(jar)) == sum(not c.is_expired(clock.now) for c in plain.cookies) == len(jar)


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.lists(SET_COOKIES, max_size=6), URLS), max_size=20),
    st.integers(1, 6),
    st.integers(1, 3),
)
def test_the_bounds_hold_whatever_is_set(
    steps: list[tuple[list[str], str]], max_cookies: int, max_cookies_per_domain: int
) -> None:
    jar = CookieJar(max_cookies=max_cookies, max_cookies_per_domain=max_cookies_per_domain, clock=Clock())
    for set_cookie, url in steps:
        jar.update_from_response(set_cookie, URL(url))
        domains = [cookie.domain for cookie in jar]
        assert len(domains) == len(jar) <= max_cookies
        assert all(domains.count(domain) <= max_cookies_per_domain for domain in domains)


@pytest.mark.parametrize(
    ("text", "url", "stored"),
    [
        ("__Secure-a=1; Secure", "https://h.example/", True),
        ("__Secure-a=1", "https://h.example/", False),
        ("__SECURE-a=1", "https://h.example/", False),
        ("__Secure-a=1; Secure", "http://h.example/", False),
        ("__Host-a=1; Secure; Path=/", "https://h.example/", True),
        ("__Host-a=1; Secure", "https://h.example/", False),
        ("__Host-a=1; Secure; Path=/x", "https://h.example/", False),
        ("__Host-a=1; Path=/", "https://h.example/", False),
        ("__Host-a=1; Secure; Path=/; Domain=h.example", "https://h.example/", False),
        ("__Hosts-a=1", "https://h.example/", True),
    ],
)
def test_a_prefix_is_a_promise_that_is_held(text: str, url: str, stored: bool) -> None:
    """draft-ietf-httpbis-rfc6265bis section 4.1.3; else a neighbour could plant such a cookie."""
    jar = CookieJar()
    jar.update_from_response([text], URL(url))
    assert bool(jar) is stored


def test_the_names_of_aiohttp_do_the_same() -> None:
    """update_cookies, filter_cookies, clear_domain; a DummyCookieJar keeps nothing."""
    jar = CookieJar()
    jar.update_cookies({"a": "1"}, URL("http://www.example.com/"))
    jar.update_cookies({"b": "2"}, URL("http://other.example/"))
    filtered = jar.filter_cookies(URL("http://www.example.com/"))
    assert {name: morsel.value for name, morsel in filtered.items()} == {"a": "1"}
    jar.clear_domain("example.com")
    assert [cookie.name for cookie in jar] == ["b"]
    dummy = DummyCookieJar()
    dummy.update({"a": "1"})
    dummy.update_from_response(["b=2"], URL("http://www.example.com/"))
    assert not dummy
