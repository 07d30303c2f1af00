"""``templates.py``: a table of what each field gives, and the laws that hold for every template and every value."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchd.jobs.exceptions import SettingsError
from fetchd.jobs.naming import MAX_COMPONENT_BYTES, MAX_DEPTH, MAX_PATH_BYTES, safe_path
from fetchd.jobs.targets import parse_target
from fetchd.jobs.templates import DEFAULT, Template, derive_by

URL = "http://h:81/a/b/photo.tar.gz?x=1"
COLUMNS = {"label": "cat", "evil": "../../etc", "empty": "", "slash": "a/b", "name": "x.part"}


def path_of(template: str, url: str = URL, row: int = 7) -> str:
    """The path that *template* gives, hashes of what was changed as ``#``."""
    path = Template.parse(template).path(parse_target(url), url, row=row, columns=COLUMNS)
    return re.sub(r"@[0-9a-f]{8}", "#", path)


@pytest.mark.parametrize(
    ("template", "path"),
    [
        (DEFAULT, "h+81/a/b/photo.tar.gz#"),
        ("{host}", "h+81"),
        ("all/{port}/{path}", "all/81/a/b/photo.tar.gz#"),
        ("{dir}/{basename}", "a/b/photo.tar.gz#"),
        ("{dir}-{stem}{ext}", "a/b-photo.tar.gz"),
        ("{stem}-{query}{ext}", "photo.tar-75f556ab.gz"),
        ("{digest:2}/{digest:4}/{stem}{ext}", "17/175e/photo.tar.gz"),
        ("{digest}", "175e286158bfaec16bae765c93962b61"),
        ("{row}{ext}", "7.gz"),
        ("{row:6}{ext}", "000007.gz"),
        ("{column:label}/{basename}", "cat/photo.tar.gz#"),
        ("{column:none}/{column:empty}/{row}", "7"),
        ("{column:slash}/{row}", "a_b#/7"),
        ("{column:evil}", ".._.._etc#"),
        ("{column:name}", "x.part#"),
        ("x.{column:none}part", "x.part#"),
        ("{{{row}}}", "{7}"),
        ("con.{row}", "_con.7#"),
        ("{row}.", "7.#"),
        ("a//{row}", "a/7"),
    ],
)
def test_what_each_field_gives(template: str, path: str) -> None:
    """One item, many ways to name it."""
    assert path_of(template) == path


@pytest.mark.parametrize(
    ("url", "stem", "ext"),
    [
        ("http://h/", "index", ".html"),
        ("http://h/README", "README", ""),
        ("http://h/.bashrc", ".bashrc", ""),
        ("http://h/..a", "..a", ""),
        ("http://h/a.", "a", ".#"),
        ("http://h/a%20b.JPG", "a b", ".JPG"),
    ],
)
def test_a_name_is_cut_before_its_last_dot(url: str, stem: str, ext: str) -> None:
    """A dot at the beginning ends no stem."""
    assert path_of("{stem}|{ext}.x", url) == f"{stem}|{ext}.x"


def test_what_would_have_no_name_gets_one_that_follows_from_the_url() -> None:
    """Two such items stay apart."""
    first, second = path_of("{ext}", "http://h/a"), path_of("{ext}", "http://h/b")
    assert re.fullmatch(r"[0-9a-f]{16}", first)
    assert first != second


def test_userinfo_and_fragment_do_not_count() -> None:
    """They are not kept, so nothing may follow from them."""
    plain = path_of("{digest}", "http://h/a")
    assert path_of("{digest}", "http://me:secret@h/a#part") == plain


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("", "it is empty"),
        ("/{path}", "an absolute path"),
        ("../{path}", "'.' or '..'"),
        ("a/./{path}", "'.' or '..'"),
        ("{path}/", "ends with a folder"),
        ("a\\b", "a backslash"),
        ("a\0b", "a control character"),
        ("{nonsense}", r"unknown field \{nonsense\}; expected one of \{host\}"),
        ("{host:3}", r"expected \{host\} alone"),
        ("{row:0}", "expected 1 to 18"),
        ("{digest:33}", "expected 1 to 32"),
        ("{digest:x}", "expected 1 to 32"),
        ("{column}", "without a name"),
        ("{", "a lone '{'"),
        ("}", "a lone '}'"),
        ("{disposition}/{row}", r"a folder after \{disposition\}"),
        ("{disposition}{dir}", r"\{dir\} after \{disposition\}"),
    ],
)
def test_a_template_that_cannot_be_says_why(template: str, reason: str) -> None:
    """Before anything is fetched."""
    with pytest.raises(SettingsError, match=reason):
        Template.parse(template)


@pytest.mark.parametrize(
    ("template", "follows"),
    [(DEFAULT, True), ("{digest:2}/{basename}", True), ("{row}", False), ("{column:a}/{path}", False)],
)
def test_it_is_known_whether_the_path_follows_from_the_url(template: str, follows: bool) -> None:
    """Then the ledger need not keep it."""
    assert Template.parse(template).follows_url is follows


def test_the_ledger_derives_paths_by_its_own_template() -> None:
    """The same as a run gives."""
    assert derive_by("{port}/{basename}")("http://h:81/a/b") == "81/b"
    assert derive_by(DEFAULT)(URL) == safe_path(parse_target(URL))


@pytest.mark.parametrize(
    ("served", "file"),
    [
        ("report 1.pdf", "d/report 1.pdf"),
        (None, "d/get#"),
        ("", "d/get#"),
        ("..", "d/get#"),
        ("../../etc/passwd", "d/passwd"),
        ("C:\\dir\\x.doc", "d/x.doc"),
        ("x.part", "d/x.part#"),
        ("a\u202eb", "d/a_b#"),
        (" .. ", "d/get#"),
    ],
)
def test_the_servers_name_is_a_last_component_and_nothing_else(served: str | None, file: str) -> None:
    """Until it is known the item has a path that is nobody else's, in the same folder."""
    url = "http://h/d/get?id=1"
    template = Template.parse("{dir}/{disposition}")
    assert template.needs_head
    target = parse_target(url)
    assert re.fullmatch(r"d/[0-9a-f]{32}~", template.path(target, url))
    assert re.sub(r"@[0-9a-f]{8}", "#", template.file(target, url, served)) == file


NASTY = st.text(st.sampled_from("./\\\0~@%:a\u202e\ud800é ") | st.characters(), max_size=12) | st.sampled_from(
    ["..", ".", "/", "x.part", ".fetchd", "con", "a" * 300, "\ud83d\ude00", "a@00000000"]
)
FIELDS = ["{host}", "{port}", "{path}", "{dir}", "{basename}", "{stem}", "{ext}", "{query}", "{digest:3}", "{row:2}"]
TEMPLATES = st.lists(
    st.sampled_from([*FIELDS, "{column:c}", "{disposition}", "/", "..", ".", "x", ".part", "@00000000", "con"]),
    min_size=1,
    max_size=8,
).map("".join)


@given(TEMPLATES, NASTY, NASTY, NASTY)
def test_no_value_leads_out_of_the_folder(text: str, path: str, value: str, served: str) -> None:
    """Whatever the template, the URL, the manifest and the server say: a relative path of sound components, or none."""
    try:
        template = Template.parse(text)
        url = f"http://h/{path}"
        target = parse_target(url)
    except ValueError:
        return
    path_of_item = template.path(target, url, row=1, columns={"c": value})
    assert path_of_item == template.path(target, url, row=1, columns={"c": value}), "the same in every run"
    for name in (path_of_item, template.file(target, url, served, row=1, columns={"c": value})):
        parts = name.split("/")
        assert len(parts) <= MAX_DEPTH
        assert len(name.encode()) <= MAX_PATH_BYTES + 40
        for part in parts:
            assert part not in ("", ".", "..", ".fetchd")
            assert len(part.encode()) <= MAX_COMPONENT_BYTES
            assert not re.search(r"[\0-\x1f\x7f-\x9f\u202a-\u202e\\]", part)
            assert part[-1] not in ". "
            assert not part.lower().endswith(".part")
