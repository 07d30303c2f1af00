"""From the URL of an item to the URL it is sent to: octet for octet, and never out of where the template says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchd.jobs.exceptions import SettingsError
from fetchd.jobs.mirror import UrlTemplate
from fetchd.jobs.mirror.template import folders_of
from fetchd.jobs.targets import parse_target
from fetchd.jobs.templates import Template, derive_by


def sent_to(template: str, url: str, name: str | None = None) -> str:
    """Where *template* sends *url*."""
    return UrlTemplate(template).url_for(parse_target(url), name)


@pytest.mark.parametrize(
    ("template", "url", "expected"),
    [
        ("{path}", "http://h/a/b.txt", "a/b.txt"),
        ("{path}", "http://h", "index.html"),
        ("{path}", "http://h/a/", "a/index.html"),
        ("{host}/{port}/{path}", "https://H.example/a", "h.example/443/a"),
        ("{host}:{port}", "http://[::1]:81/a", "[::1]:81"),
        ("{dir}|{basename}", "http://h/a/b/c.tar.gz", "a/b|c.tar.gz"),
        ("{stem}|{ext}", "http://h/a/c.tar.gz", "c.tar|.gz"),
        ("{stem}|{ext}", "http://h/.profile", ".profile|"),
        ("{dir}", "http://h/a", ""),
        ("{path}?{query}", "http://h/a?x=1&y=/2?", "a?x=1&y=/2?"),
        ("{path}@{query}", "http://h/a?x=/b?", "a@x=%2Fb%3F"),
        ("{query}", "http://h/a", ""),
        ("{path}", "http://h/%C3%A9%20+%2Bb", "%C3%A9%20+%2Bb"),
        ("{path}", "http://h//a//b", "a//b"),
        ("{path}", "http://h/a/../b/./c", "b/c"),
        ("{path}", "http://h/../../b", "b"),
        ("{path}", "http://h/a/b/..", "a/index.html"),
        ("one", "http://h/a", "one"),
        ("{{{basename}}}", "http://h/a", "{a}"),
    ],
)
def test_each_field_is_a_part_of_the_url(template: str, url: str, expected: str) -> None:
    assert sent_to(f"http://dst:1/{template}", url) == f"http://dst:1/{expected}"


def test_a_name_of_the_manifest_takes_the_place_of_the_path() -> None:
    assert sent_to("http://d/{path}", "http://h/a?b", "x y/z.bin") == "http://d/x%20y/z.bin"
    assert sent_to("http://d/{stem}{ext}", "http://h/a", "x/z.bin") == "http://d/z.bin"


@pytest.mark.parametrize("path", ["/%2e%2e/b", "/a/%2E./b", "/..%2Fb", "/a%2f..%2f..%2fb", "/..%5Cb", "/a\\..\\b"])
def test_dot_segments_behind_escapes_are_refused(path: str) -> None:
    """A server that decodes them would put the object somewhere else."""
    with pytest.raises(ValueError, match="dot segments"):
        sent_to("http://d/in/{path}", f"http://h{path}")
    with pytest.raises(ValueError, match="dot segments"):
        sent_to("http://d/in/{query}", f"http://h/a?{path}")


@given(st.lists(st.sampled_from(["a", "..", ".", "", "b.c", "%20"]), max_size=8))
def test_no_path_leads_out_of_the_template(parts: list[str]) -> None:
    url = sent_to("http://d/in/{path}", "http://h/" + "/".join(parts))
    assert url.startswith("http://d/in/")
    assert not {"..", "."} & set(url.split("/"))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("/in/{path}", "no scheme"),
        ("ftp://d/{path}", "no scheme"),
        ("http://d/{nonsense}", r"has \{nonsense\}"),
        ("http://d/{path!r}", r"has \{path\}"),
        ("http://d/{path:>3}", r"has \{path\}"),
        ("http://d/{", "no template"),
        ("http://d /{path}", "makes no URL"),
        ("http:///{path}", "makes no URL"),
    ],
)
def test_a_template_that_is_none_is_refused(text: str, match: str) -> None:
    with pytest.raises(SettingsError, match=match):
        UrlTemplate(text)


def test_names_of_files_cannot_be_urls() -> None:
    """So a ledger tells by its template whether it is a run's or a mirror's."""
    for text in ("http://d/{path}", "https://d/{path}"):
        with pytest.raises(SettingsError, match="fetchd mirror alone"):
            Template.parse(text)
        assert derive_by(text)("http://h/a/b") == text.replace("{path}", "a/b")


def test_the_folders_of_a_url_come_from_the_outermost_in() -> None:
    assert folders_of("http://h:1/a/b/c.txt?q=/x/") == ["http://h:1/a/", "http://h:1/a/b/"]
    assert folders_of("http://h/c") == []
