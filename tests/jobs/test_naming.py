"""From URLs and given names to paths: a table, and the laws that hold for every input."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fetchd.jobs import naming
from fetchd.jobs.naming import MAX_COMPONENT_BYTES, MAX_DEPTH, MAX_PATH_BYTES, name_plain, safe_path
from fetchd.jobs.targets import Target, parse_target


def path_of(url: str, name: str | None = None) -> str:
    """Name a URL as a run does."""
    return safe_path(parse_target(url), name)


def unhashed(path: str) -> str:
    """Replace the hashes in a path by one sign, so that a table can be read."""
    return re.sub(r"@[0-9a-f]{8}", "#", path)


# URL, path; "#" stands for "@" and 8 hex digits
TABLE: list[tuple[str, str]] = [
    # the host
    ("http://h/a", "h/a"),
    ("http://h:80/a", "h/a"),
    ("https://h:443/a", "h/a"),
    ("http://h:8080/a", "h+8080/a"),
    ("http://h:443/a", "h+443/a"),
    ("http://user:secret@h/a", "h/a"),
    ("http://EXAMPLE.com/A", "example.com/A"),
    ("http://bücher.example/a", "xn--bcher-kva.example/a"),
    ("http://[2001:db8::1]/a", "[2001-db8--1]/a"),
    ("http://[::1]:8080/a", "[--1]+8080/a"),
    ("http://example.com./a", "example.com.#/a"),
    ("http://aux.example/a", "_aux.example#/a"),
    ("http://h.part/a", "h.part#/a"),
    # the path as it is
    ("http://h/a/b.tar.gz", "h/a/b.tar.gz"),
    ("http://h/a-b_c~d+e=f,g!h$i&j'k(l)m;n:o*p", "h/a-b_c~d+e=f,g!h$i&j'k(l)m;n:o*p"),
    ("http://h/.hidden/.a", "h/.hidden/.a"),
    ("http://h/a..b/c...d", "h/a..b/c...d"),
    ("http://h/@scope/a@1.2", "h/@scope/a@1.2"),
    ("http://h/-rf", "h/-rf"),
    ("http://h/part/a.parts/a.part.gz", "h/part/a.parts/a.part.gz"),
    # a folder
    ("http://h", "h/index.html"),
    ("http://h/", "h/index.html"),
    ("http://h/a/", "h/a/index.html"),
    ("http://h/a%20b/", "h/a b/index.html"),
    # the query
    ("http://h/a?b=c", "h/a#"),
    ("http://h/a?", "h/a#"),
    ("http://h/a/?b", "h/a/index.html#"),
    ("http://h/a#b", "h/a"),
    ("http://h/a%2F..?b", "h/a%2F..##"),
    # escapes that are decoded
    ("http://h/a%20b", "h/a b"),
    ("http://h/%C3%A9", "h/é"),
    ("http://h/%c3%a9", "h/é"),
    ("http://h/é", "h/é"),
    ("http://h/%E6%97%A5%E6%9C%AC.html", "h/日本.html"),
    ("http://h/%F0%9F%98%80", "h/\U0001f600"),
    # escapes that stay
    ("http://h/%41", "h/%41"),
    ("http://h/a%2Fb", "h/a%2Fb"),
    ("http://h/a%5Cb", "h/a%5Cb"),
    ("http://h/%2e%2e/%2E", "h/%2e%2e/%2E"),
    ("http://h/a%00b", "h/a%00b"),
    ("http://h/a%0d%0Ab", "h/a%0d%0Ab"),
    ("http://h/100%25", "h/100%25"),
    ("http://h/%2520", "h/%2520"),
    ("http://h/%", "h/%"),
    ("http://h/%zz", "h/%zz"),
    ("http://h/%E9t%E9", "h/%E9t%E9"),  # Latin-1
    ("http://h/%e9", "h/%E9"),
    ("http://h/%C3%A9%E9", "h/é%E9"),
    ("http://h/%E2%80%AEtxt.exe", "h/%E2%80%AEtxt.exe"),  # right-to-left override
    ("http://h/a\u200bb", "h/a%E2%80%8Bb"),  # zero-width space
    ("http://h/%C2%A0", "h/%C2%A0"),  # no-break space
    ("http://h/%EF%BB%BFa", "h/%EF%BB%BFa"),  # byte-order mark
    ("http://h/%ED%A0%80", "h/%ED%A0%80"),  # a surrogate is no UTF-8
    # what must not be
    ("http://h/..", "h/__#"),
    ("http://h/.", "h/_#"),
    ("http://h/../../etc/passwd", "h/__#/__#/etc/passwd"),
    ("http://h/a//b", "h/a/_#/b"),
    ("http://h//", "h/_#/index.html"),
    ("http://h/a\\..\\b", "h/a_.._b#"),
    ("http://h/a.", "h/a.#"),
    ("http://h/a%20", "h/a #"),
    ("http://h/...", "h/...#"),
    ("http://h/con", "h/_con#"),
    ("http://h/CON.tar.gz", "h/_CON.tar.gz#"),
    ("http://h/nul./a", "h/_nul.#/a"),
    ("http://h/lpt9", "h/_lpt9#"),
    ("http://h/console/com10", "h/console/com10"),
    ("http://h/a.part", "h/a.part#"),
    ("http://h/A.PART/b", "h/A.PART#/b"),
    ("http://h/.part", "h/.part#"),
    ("http://h/.fetchd/ledger.sqlite3", "h/.fetchd#/ledger.sqlite3"),
    ("http://h/a@0123abcd", "h/a##"),
    ("http://h/" + "a" * 200, "h/" + "a" * 200),
    ("http://h/" + "a" * 201, "h/" + "a" * 191 + "#"),
    ("http://h/" + "%C3%A9" * 101, "h/" + "é" * 95 + "#"),
    ("http://h" + "/a" * 99, "h" + "/a" * 99),
    ("http://h" + "/a" * 100, "h" + "/a" * 7 + "/_#"),
    ("http://h" + ("/" + "a" * 190) * 11, "h" + ("/" + "a" * 190) * 7 + "/_#"),
]


@pytest.mark.parametrize(("url", "path"), TABLE, ids=[url[:40] for url, _ in TABLE])
def test_the_path_of_a_url(url: str, path: str) -> None:
    """Readable where it can be, safe always; a hash wherever something was changed."""
    assert unhashed(path_of(url)) == path


def test_names_do_not_change_between_versions() -> None:
    """A folder begun with one version is gone on with by the next: the hash is part of the contract."""
    assert path_of("http://h/a?b=c") == "h/a@5d21e35c"
    assert path_of("http://h/..") == "h/__@e6fc5bb9"


DIFFERENT: list[tuple[str, str]] = [
    ("http://h/a%2Fb", "http://h/a_b"),
    ("http://h/a%2Fb", "http://h/a%2fb"),
    ("http://h/a\\b", "http://h/a_b"),
    ("http://h/a\\b", "http://h/a%5Cb"),
    ("http://h/a?b", "http://h/a?c"),
    ("http://h/a?", "http://h/a"),
    ("http://h/a%3Fb", "http://h/a?b"),
    ("http://h/a//b", "http://h/a/b"),
    ("http://h/a/./b", "http://h/a/b"),
    ("http://h/a/../b", "http://h/b"),
    ("http://h/%2e%2e", "http://h/.."),
    ("http://h/A", "http://h/a"),
    ("http://h/%41", "http://h/A"),
    ("http://h/_con", "http://h/con"),
    ("http://h/a", "http://h:81/a"),
    ("http://h:80/a", "https://h:80/a"),
    ("http://h/" + "a" * 300 + "b", "http://h/" + "a" * 300 + "c"),
    ("http://h" + "/a" * 300 + "b", "http://h" + "/a" * 300 + "c"),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT, ids=lambda url: url[:30])
def test_urls_that_look_alike_get_different_paths(one: str, other: str) -> None:
    """Sanitising never puts two resources into one file."""
    assert path_of(one) != path_of(other)


SAME: list[tuple[str, str]] = [
    ("http://h/é", "http://h/%C3%A9"),
    ("http://h/%c3%a9", "http://h/%C3%A9"),
    ("http://h/a#b", "http://h/a"),
    ("http://h/a/", "http://h/a/index.html"),
    ("http://h/a", "https://h/a"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_urls_that_share_a_path_by_rule(one: str, other: str) -> None:
    """Equivalent escapes (RFC 3986 section 6.2.2), the fragment, the index of a folder, both schemes."""
    assert path_of(one) == path_of(other)


def test_what_only_looks_like_a_hash_cannot_take_the_place_of_one() -> None:
    """A server cannot choose a path that is another query's."""
    taken = path_of("http://h/a?b=c").removeprefix("h/")
    assert path_of(f"http://h/{taken}") != f"h/{taken}"


# --- names that the manifest gives

NAMES: list[tuple[str, str]] = [
    ("a", "a"),
    ("a/b.txt", "a/b.txt"),
    ("./a//b/./c", "a/b/c"),
    ("a b/é", "a b/é"),
    ("a%20b", "a%20b"),
    ("a?b*c:d", "a?b*c:d"),
    ("..a/b..", "..a/b..#"),
    ("con", "_con#"),
    ("a.part", "a.part#"),
    (".fetchd/ledger.sqlite3", ".fetchd#/ledger.sqlite3"),
    ("a\nb", "a_b#"),
    ("a\u202eb", "a_b#"),
    ("caf\udce9", "caf_#"),
    ("a" * 300, "a" * 191 + "#"),
    ("/".join("a" * 101), "/".join("a" * 8) + "/_#"),
]


@pytest.mark.parametrize(("name", "path"), NAMES, ids=[repr(name)[:30] for name, _ in NAMES])
def test_a_given_name_is_taken_as_it_is_but_for_what_is_unsafe(name: str, path: str) -> None:
    """It is no URL: nothing is decoded, and no host stands before it."""
    assert unhashed(path_of("http://h/x?y", name)) == path


BAD_NAMES: list[tuple[str, str]] = [
    ("", "empty output name"),
    (".", "empty output name"),
    ("./.", "empty output name"),
    ("/etc/passwd", "absolute output name; expected one relative to the output folder"),
    ("//h/a", "absolute output name; expected one relative to the output folder"),
    ("..", "output name with '..'; expected one that stays in the output folder"),
    ("a/../../b", "output name with '..'; expected one that stays in the output folder"),
    ("a/..", "output name with '..'; expected one that stays in the output folder"),
    ("a\\b", "output name with a backslash or NUL; expected '/' between folders"),
    ("..\\..\\b", "output name with a backslash or NUL; expected '/' between folders"),
    ("a\0b", "output name with a backslash or NUL; expected '/' between folders"),
    ("a/", "output name of a folder; expected the name of a file"),
    ("a/.", "output name of a folder; expected the name of a file"),
]


@pytest.mark.parametrize(("name", "message"), BAD_NAMES)
def test_a_given_name_that_leaves_the_folder_is_refused(name: str, message: str) -> None:
    """One phrase: what is wrong, and what is expected."""
    with pytest.raises(ValueError, match=r".") as caught:
        path_of("http://h/x", name)
    assert str(caught.value) == message


# --- laws

NASTY_ASCII = ". .. / \\ \0 \n %2F %2e %5c %00 % @0123abcd .part .fetchd con nul. %20 %C3%A9 %c3 ~ C: ? #"
NASTY = st.sampled_from([*NASTY_ASCII.split(" "), "", " ", "é", "\u202e", "\udce9", "a" * 199, "日" * 70])
TEXT = st.lists(st.one_of(NASTY, st.text(max_size=8)), max_size=12).map("".join)
LONG = st.builds("".join, st.lists(st.one_of(NASTY, st.just("/a")), min_size=100, max_size=300))
TARGETS = st.builds(
    Target,
    st.sampled_from(["http", "https"]),
    st.sampled_from(["h", "example.com", "[::1]", "con", "..", "", "a/b", "x.part"]),
    st.sampled_from([80, 443, 8080]),
    st.one_of(TEXT, LONG).map("/".__add__),
    st.none() | TEXT,
    st.just("h:80"),
)


def assert_safe(path: str) -> None:
    """Assert all that a path must be, whatever it was made from."""
    parts = path.split("/")
    assert len(path.encode()) <= MAX_PATH_BYTES
    assert len(parts) <= MAX_DEPTH
    assert not posixpath.isabs(path)
    assert posixpath.normpath(f"/out/{path}") == f"/out/{path}"
    for part in parts:
        assert part not in ("", ".", "..")
        assert len(part.encode()) <= MAX_COMPONENT_BYTES + 9
        assert not re.search(r"[\0-\x1f\x7f-\x9f\\]", part)
        assert not part.endswith((".", " "))
        assert not part.lower().endswith(".part")
        assert part.lower() != ".fetchd"
        assert not re.fullmatch(r"(?is)(con|prn|aux|nul|com\d|lpt\d)(\..*)?", part)


@given(TARGETS)
def test_no_url_ever_leaves_the_folder(target: Target) -> None:
    """Not even one that no parser would let through."""
    path = safe_path(target)
    assert_safe(path)
    assert path == safe_path(target)
    assert len(path.split("/")) >= 2


@given(st.one_of(TEXT, LONG))
def test_no_given_name_ever_leaves_the_folder(name: str) -> None:
    """It is made safe or refused with a ValueError."""
    try:
        path = safe_path(parse_target("http://h/"), name)
    except ValueError:
        return
    assert_safe(path)


@given(st.one_of(TEXT, st.from_regex(r"(/[a-zA-Z0-9_.~+=,-]{0,6}){0,5}/?(con|nul)?(\.part)?", fullmatch=True)))
@example("/a/b.c")
@example("/index.html")
@example("/com1/x")
@example("/a" * 98 + "/")
@example("/a" * 99)
@example("/a" * 100)
def test_the_hot_path_agrees_with_the_reference(path: str) -> None:
    """What the expression for plain paths lets through is what the careful way gives."""
    target = Target("http", "h", 80, "/" + path.lstrip("/"), None, "h:80")
    assert safe_path(target) == naming._derive_path(target)


@given(
    st.one_of(
        st.text(max_size=30),
        st.builds(
            "{}{}{}".format,
            st.sampled_from(["http://h", "https://H.Example:8443", "http://h:80", "http://h:0", "http://u@h", ""]),
            st.one_of(TEXT, st.from_regex(r"(/[a-zA-Z0-9_.~+=,-]{0,6}){0,5}/?(con|nul)?(\.part)?", fullmatch=True)),
            st.sampled_from(["", "?", "?a=b", "#part", "/", "\n"]),
        ),
    )
)
@example("http://h")
@example("http://h/")
@example("http://h/a/")
@example("http://a..b/c")
@example("http://h" + "/a" * 99)
@example("http://h" + "/a" * 100)
def test_a_plain_url_is_named_in_one_step_as_in_two(url: str) -> None:
    """Or not at all; and it is refused for the same reason."""
    in_one, in_two = result_of(name_plain, url), result_of(named_in_two, url)
    assert in_one in (None, in_two)
    plain = naming._PLAIN_URL(url)
    assert (in_one is None) == (plain is None or len(plain[2]) > naming._MAX_PLAIN)


def named_in_two(url: str) -> tuple[str, str, str]:
    """What `name_plain` finds out, by the careful way."""
    target = parse_target(url)
    return target.scheme, target.host_key, naming._derive_path(target)


def result_of(function: Callable[[str], object], url: str) -> object:
    """What *function* returns, or says is wrong."""
    try:
        return function(url)
    except ValueError as exc:
        return str(exc)


def canonical(path: str) -> str:
    """Put the escapes that naming decodes into one form (RFC 3986 section 6.2.2.1)."""
    upper = re.sub(r"%[89A-Fa-f][0-9A-Fa-f]", lambda match: match[0].upper(), path)
    return quote(upper, safe="".join(map(chr, range(33, 127))))


PATHS = st.lists(
    st.one_of(
        st.sampled_from(["/", ".", "%2F", "%2f", "_", "\\", "@", "%C3%A9", "%c3%a9", "é", "%E9", "%e9", "%20", "con"]),
        st.from_regex(r"[a-c.%2_]{1,3}", fullmatch=True),
    ),
    max_size=6,
).map(lambda pieces: "/" + "".join(pieces))


@given(PATHS, PATHS)
def test_two_paths_share_a_name_only_when_they_are_the_same(one: str, other: str) -> None:
    """Up to equivalent escapes, and a folder's index."""
    names = [safe_path(Target("http", "h", 80, path, None, "h:80")) for path in (one, other)]
    if names[0] == names[1] and not names[0].endswith("/index.html"):
        assert canonical(one) == canonical(other)


@given(TEXT, TEXT)
def test_two_queries_never_share_a_name(one: str, other: str) -> None:
    """The query's hash tells them apart."""
    names = {safe_path(Target("http", "h", 80, "/a", query, "h:80")) for query in (one, other)}
    assert len(names) == len({one, other})
