"""Link fields taken apart (RFC 8288), whatever they hold."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchd.client.weblinks import Link, parse_links


@pytest.mark.parametrize(
    ("value", "links"),
    [
        ('<http://a/b>; rel="next"', [("http://a/b", ("next",), (("rel", "next"),))]),
        ("</b>;rel=next", [("/b", ("next",), (("rel", "next"),))]),
        ('< /b >\t; Rel = "Next LAST  next"', [("/b", ("next", "last"), (("rel", "Next LAST  next"),))]),
        ("</a>; rel=x, </b>; rel=y", [("/a", ("x",), (("rel", "x"),)), ("/b", ("y",), (("rel", "y"),))]),
        ("</a,b;c>; rel=x", [("/a,b;c", ("x",), (("rel", "x"),))]),
        ('</a>; title="a, \\"b\\"; c"; rel=x', [("/a", ("x",), (("title", 'a, "b"; c'), ("rel", "x")))]),
        ("</a>", [("/a", (), ())]),
        ("</a>; rel", [("/a", (), (("rel", ""),))]),
        ("<>; rel=self", [("", ("self",), (("rel", "self"),))]),
        (", ,</a>,, </b>", [("/a", (), ()), ("/b", (), ())]),
        # The first of these counts; of hreflang all do.
        ("</a>; rel=x; rel=y", [("/a", ("x",), (("rel", "x"),))]),
        ("</a>; hreflang=de; hreflang=en", [("/a", (), (("hreflang", "de"), ("hreflang", "en")))]),
        ("</a>; title*=UTF-8'de'n%c3%a4chstes", [("/a", (), (("title*", "nächstes"),))]),
        ("</a>; title*=UTF-8''%ff; title=x", [("/a", (), (("title", "x"),))]),
        ('</a>; title="open, </b>', [("/a", (), (("title", "open, </b>"),))]),
        ("</a> nonsense, </b>", [("/a", (), ())]),
        ("nonsense, </b>; rel=x", []),
        ("</a", []),
        ("", []),
    ],
)
def test_links_are_read_as_the_rfc_reads_them(value: str, links: list[tuple[str, tuple[str, ...], object]]) -> None:
    """Appendix B: in order, commas in URLs and quotes are none, what cannot be read ends the field."""
    assert [tuple(link) for link in parse_links([value])] == links


def test_several_fields_are_one_list() -> None:
    """And one that cannot be read costs the others nothing."""
    assert [link.target for link in parse_links(["</a>", "what", "</b>, </c>"])] == ["/a", "/b", "/c"]


_NAMES = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1).filter(lambda name: name not in ("rel", "anchor"))


@given(
    target=st.text(st.characters(exclude_characters="<>", min_codepoint=33)),
    relations=st.lists(st.text("abc.-", min_size=1), max_size=4),
    title=st.text(st.characters(min_codepoint=32)),
)
def test_what_is_written_is_read_back(target: str, relations: list[str], title: str) -> None:
    """With everything quoted that can be, between two others."""
    quoted = title.replace("\\", "\\\\").replace('"', '\\"')
    value = f'</a>, <{target}>; title="{quoted}"; rel="{" ".join(relations)}", </z>'
    read = parse_links([value])
    assert [link.target for link in read] == ["/a", target.strip(" \t"), "/z"]
    assert read[1] == Link(
        target.strip(" \t"), tuple(dict.fromkeys(relations)), (("title", title), ("rel", " ".join(relations)))
    )


@given(st.lists(st.text("<>;,=\"\\ *'%aré\x00")))
def test_any_fields_are_read(values: list[str]) -> None:
    """Nothing is raised, and every target stands in a field."""
    for link in parse_links(values):
        assert any(link.target in value for value in values)


@pytest.mark.parametrize("piece", ["<", "<a>", "<a>,", "<a>;", ";", '<a>;x="', "\\", '<a>;x="\\', "<a>;x=,", " ", ","])
def test_reading_takes_linear_time(piece: str) -> None:
    """64 KiB, which is as much as a head may have, in a moment."""
    began = time.thread_time()
    parse_links(["<a>" + piece * (65_536 // len(piece)), piece * (65_536 // len(piece))])
    assert time.thread_time() - began < 3.0  # square time would be minutes
