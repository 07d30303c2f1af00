"""The formats of manifests: what each line of each says, how they are told apart, and what of them is a bad line."""

from __future__ import annotations

import base64
import bz2
import gzip
import hashlib
import io
import json
import lzma
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchd.jobs.exceptions import ManifestError
from fetchd.jobs.extras import Extras
from fetchd.jobs.manifests import BadLine, Batch, DetailedLine, Format, Line, open_manifest
from fetchd.jobs.manifests.aria2 import MAX_ENTRY_BYTES, aria2_lines
from fetchd.jobs.manifests.expansion import urls_of
from fetchd.jobs.manifests.formats import FORMATS, format_of, manifest_lines
from fetchd.jobs.manifests.lines import BATCH_LINES, MAX_LINE_BYTES
from fetchd.jobs.manifests.metalink import MAX_DEPTH, MAX_FILE_CHARACTERS, MAX_TAG_BYTES
from fetchd.jobs.manifests.problems import UnreadableError

MD5 = hashlib.md5(b"x").digest()
SHA256 = hashlib.sha256(b"x").digest()
A, B = "http://h/a", "http://h/b"
METALINK = '<?xml version="1.0" encoding="UTF-8"?>\n<metalink xmlns="urn:ietf:params:xml:ns:metalink">\n%s</metalink>\n'


def lines_of(manifest: bytes | str, format: Format | None = None, **options: Any) -> Batch:
    """All lines of *manifest*."""
    octets = manifest.encode() if isinstance(manifest, str) else manifest
    return [line for batch in manifest_lines([octets], format=format, **options) for line in batch]


def told(lines: Batch) -> list[str]:
    """What lines say, in short: ``1 http://h/a name=x size=3``, ``2 bad: no url``."""
    return [_told(line) for line in lines]


def _told(line: Line | DetailedLine | BadLine) -> str:
    if isinstance(line, BadLine):
        return f"{line.number} bad: {line.reason}"
    parts = [str(line.number), line.url]
    if isinstance(line, DetailedLine):
        parts += [] if line.name is None else [f"name={line.name}"]
        parts += [] if line.extras is None else _extras(line.extras)
    return " ".join(parts)


def _extras(extras: Extras) -> Iterator[str]:
    if extras.method != "GET":
        yield extras.method
    if extras.priority:
        yield f"priority={extras.priority}"
    if extras.size is not None:
        yield f"size={extras.size}"
    yield from (f"{name}={digest.hex()[:4]}" for name, digest in extras.digests)
    yield from (f"mirror={mirror}" for mirror in extras.mirrors)
    yield from (f"{name}: {value}" for name, value in extras.headers)
    yield from (f"{name}={value!r}" for name, value in extras.columns.items())


# JSON lines


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ({"url": A}, A),
        (A, A),
        ({"URL": f" {A} ", "name": None, "size": None}, A),
        ({"url": A, "name": "x/y", "size": 3}, f"{A} name=x/y size=3"),
        ({"url": A, "size": "12"}, f"{A} size=12"),
        ({"url": A, "md5": MD5.hex().upper()}, f"{A} md5=9dd4"),
        ({"url": A, "SHA-256": base64.b64encode(SHA256).decode()}, f"{A} sha256=2d71"),
        ({"url": A, "mirrors": [B, "http://h/c"]}, f"{A} mirror={B} mirror=http://h/c"),
        ({"url": A, "mirrors": f"{B}  http://h/c"}, f"{A} mirror={B} mirror=http://h/c"),
        ({"url": A, "headers": {"X-A": "1", "X-B": "2"}}, f"{A} X-A: 1 X-B: 2"),
        ({"url": A, "headers": ["X-A: 1", "X-A: 2"]}, f"{A} X-A: 1 X-A: 2"),
        ({"url": A, "headers": "X-A: 1\nX-B: 2"}, f"{A} X-A: 1 X-B: 2"),
        ({"url": A, "method": "post"}, f"{A} POST"),
        ({"url": A, "priority": "-3"}, f"{A} priority=-3"),
        ({"url": A, "priority": 7.0}, f"{A} priority=7"),
        ({"url": A, "priority": "high"}, "bad: priority: expected a whole number from -999999999 to 999999999"),
        ({"url": A, "priority": True}, "bad: priority: true or false; expected text"),
        ({"url": A, "Label": "dog", "n": 7, "yes": True, "o": [1]}, f"{A} Label='dog' n='7' yes='true' o='[1]'"),
        ({"name": "x"}, "bad: no url"),
        ({"url": 7}, "bad: url: a number; expected text"),
        ({"url": A, "size": -1}, "bad: size: expected a number of octets"),
        ({"url": A, "size": True}, "bad: size: true or false; expected text"),
        ({"url": A, "size": 10**30}, "bad: size: expected a number of octets"),
        ({"url": A, "md5": "00"}, "bad: md5: no md5 digest; expected 32 hexadecimal digits or their base64"),
        ({"url": A, "method": "HEAD"}, "bad: method: HEAD brings no content that could be stored"),
        ({"url": A, "method": "a b"}, "bad: method: expected the name of a method, such as GET"),
        ({"url": A, "headers": {"Range": "bytes=0-"}}, "bad: headers: Range is a field that fetchd sets itself"),
        ({"url": A, "headers": {"X": "a\nB: c"}}, "bad: headers: control characters in the value of X"),
        ({"url": A, "headers": ["none"]}, "bad: headers: expected 'Name: value'"),
        ([A], "bad: expected an object with a url"),
    ],
)  # fmt: skip
def test_an_object_a_line(line: object, expected: str) -> None:
    """Members by their names, without case; what is not known is a column."""
    assert told(lines_of(json.dumps(line), "jsonl")) == [f"1 {expected}"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"url": ', "no JSON: expecting value at column 9"),
        (b"[" * 30_000, "no JSON: nested too deeply"),
        (b'{"url": NaN}', "no JSON: NaN"),
        (b'{"url": "\xff"}', "not UTF-8 at octet 10; expected UTF-8 text"),
        (b'{"n": ' + b"1" * 5000 + b"}", None),
        (b'"' + b"x" * MAX_LINE_BYTES + b'"', "longer than 65536 octets"),
    ],
)
def test_a_line_that_is_no_object_is_bad_and_the_others_are_read(line: bytes, reason: str | None) -> None:
    before, bad, after = lines_of(b'\xef\xbb\xbf{"url":"http://h/a"}\r\n\n' + line + b'\n{"url":"http://h/b"}', "jsonl")
    assert (before, after) == (Line(1, A), Line(4, B))
    assert isinstance(bad, BadLine)
    assert bad.number == 3
    assert reason in (None, bad.reason)


# CSV and TSV


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("url\nhttp://h/a\n\nhttp://h/b", [f"2 {A}", f"4 {B}"]),
        ("\ufeffURL,Name\r\nhttp://h/a,x\r\n", [f"2 {A} name=x"]),
        ('url,size,note\nhttp://h/a,3,"a, ""b"""\n', [f"2 {A} size=3 note='a, \"b\"'"]),
        ('note,url\n"two\nlines",http://h/a\nx,http://h/b\n', [f"2 {A} note='two\\nlines'", f"4 {B} note='x'"]),
        ('url,headers\nhttp://h/a,"X-A: 1\nX-B: 2"\n', [f"2 {A} X-A: 1 X-B: 2"]),
        ('url,headers\nhttp://h/a,"{""X-A"": ""1""}"\n', [f"2 {A} X-A: 1"]),
        ('url,note\nhttp://h/a,5" disk\n', [f"2 {A} note='5\" disk'"]),
        ('url,note\nhttp://h/a,"x"y\n', [f"2 {A} note='xy'"]),
        ("url,size\nhttp://h/a\n", ["2 bad: 1 fields; the first line names 2"]),
        ("url\nhttp://h/a,b\n", ["2 bad: 2 fields; the first line names 1"]),
        ("url,size\n,3\n", ["2 bad: no url"]),
        ("url,size\nhttp://h/a,x\nhttp://h/b,", ["2 bad: size: expected a number of octets", f"3 {B}"]),
    ],
)
def test_a_table_has_a_row_of_names_and_an_item_a_row(table: str, expected: list[str]) -> None:
    """Quotes as RFC 4180 has them; the number is that of the first line of a row."""
    assert told(lines_of(table, "csv")) == expected


def test_a_table_with_tabs() -> None:
    assert told(lines_of(f'url\tname\n{A}\t"x\ty"\n{B}\tz,\n', "tsv")) == [f"2 {A} name=x\ty", f"3 {B} name=z,"]


@pytest.mark.parametrize("end", ["", "x" * (MAX_LINE_BYTES + 1) + "\nhttp://h/z,\n"])
def test_a_quote_that_is_never_closed_costs_its_line_alone(end: str) -> None:
    """Whether the manifest ends before the bound or not."""
    lines = told(lines_of(f'url,note\n{A},"oops\n{B},b\n\nhttp://h/c,c\n{end}', "csv"))
    assert lines[:3] == [
        "2 bad: a quote that is not closed within 65536 octets",
        f"3 {B} note='b'",
        "5 http://h/c note='c'",
    ]
    assert lines[3:] in ([], ["6 bad: longer than 65536 octets", "7 http://h/z"])


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("a,b\n1,2\n", "the first line names no column 'url'"),
        ("url,size,Size\n", "the first line names the column 'size' twice"),
        ("url,\xff\n".encode("latin-1"), "the first line cannot name the columns: not UTF-8"),
        ('"url\n', "the first line cannot name the columns: a quote that is not closed"),
    ],
)
def test_a_table_whose_columns_have_no_names_cannot_be_read(table: str | bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        lines_of(table, "csv")


# aria2

_NO_COLON = "a login for Basic authentication must not hold a colon (RFC 7617 section 2)"
_ME = base64.b64encode("me:s\u00e9:x".encode()).decode()


@pytest.mark.parametrize(
    ("manifest", "expected"),
    [
        (f"{A}\n{B}\n", [f"1 {A}", f"2 {B}"]),
        (f"# one\n{A}\t{B}\thttp://h/c\n", [f"2 {A} mirror={B} mirror=http://h/c"]),
        (f"{A}\n  out=x\n\tdir=d/e\n{B}\n dir=d\n", [f"1 {A} name=d/e/x", f"4 {B} name=d/b"]),
        (f"{A}/\r\n dir=d\r\n", [f"1 {A}/ name=d/index.html"]),
        (f"{A}\n checksum=sha-256={SHA256.hex()}\n", [f"1 {A} sha256=2d71"]),
        (f"{A}\n header=X-A: 1\n header=X-B: 2\n referer=http://r/\n", [f"1 {A} X-A: 1 X-B: 2 Referer: http://r/"]),
        (f"{A}\n user-agent=me\n split=5\n # no option\n\n gid=1\n", [f"1 {A} User-Agent: me split='5' gid='1'"]),
        (f"{A}\n http-user=me\n http-passwd=s\u00e9:x\n", [f"1 {A} Authorization: Basic {_ME}"]),
        (f"{A}\n http-user=me\n header=authorization: Mine\n", [f"1 {A} authorization: Mine"]),
        (f"{A}\n http-passwd=secret\n", [f"1 {A}"]),
        (
            f"{A}\n http-user=a:b\n",
            [f"1 bad: {_NO_COLON}"],
        ),
        (f" out=x\n{A}\n", ["1 bad: an option without a URL above it", f"2 {A}"]),
        (f"{A}\n out\n out=y\n{B}\n", ["2 bad: no option; expected name=value", f"4 {B}"]),
        (f"{A}\n checksum=sha-1=00\n", ["1 bad: sha1: no sha1 digest; expected 40 hexadecimal digits or their base64"]),
        (f"{A}\n checksum=crc9=00\n", ["2 bad: checksum: expected the name of a known algorithm, = and its digits"]),
        (f"{A}\n x=" + "y" * 70_000 + f"\n{B}", ["2 bad: longer than 65536 octets", f"3 {B}"]),
    ],
)
def test_an_input_file_of_aria2(manifest: str, expected: list[str]) -> None:
    """What is wrong in an option is told with its line, and nothing of the item is fetched."""
    assert told(lines_of(manifest, "aria2")) == expected


@pytest.mark.parametrize("option", [b"http-passwd=", b"header=Authorization: ", b"HTTP-Passwd="])
def test_a_bad_line_does_not_tell_a_secret(option: bytes) -> None:
    """It is told by its name; its value may be known to nobody who reads the report."""
    [[bad]] = list(aria2_lines([b"http://h/a\n  " + option + b"secret\xff\n"]))
    assert isinstance(bad, BadLine)
    assert bad.text == option.partition(b"=")[0].decode().lower() + "=..."
    assert "secret" not in bad.reason


def test_the_options_of_one_url_have_a_bound() -> None:
    manifest = f"{A}\n" + f" header=X: {'y' * 60_000}\n" * 6 + B
    assert told(lines_of(manifest, "aria2")) == [
        f"6 bad: more than {MAX_ENTRY_BYTES} octets of options for one URL",
        f"8 {B}",
    ]


# TsvHttpData-1.0


def test_google_s_list_of_urls() -> None:
    md5 = base64.b64encode(MD5).decode()
    manifest = f"TsvHttpData-1.0\r\n{A}\t3\t{md5}\r\n{B}\n\nhttp://h/c\t\t{md5}\nhttp://h/d\t1\tx\t\nhttp://h/e\t1\tx\n"
    assert told(lines_of(manifest)) == [
        f"2 {A} size=3 md5=9dd4",
        f"3 {B}",
        "5 http://h/c md5=9dd4",
        "6 bad: 4 fields; expected URL, size and MD5",
        "7 bad: md5: no md5 digest; expected 32 hexadecimal digits or their base64",
    ]
    with pytest.raises(UnreadableError, match=r"the first line is not TsvHttpData-1\.0"):
        lines_of(A, "tsvhttpdata")


# Metalink


def test_a_metalink_document_is_read_as_rfc_5854_has_it() -> None:
    """Mirrors by priority; ftp, metaurls, pieces and unknown hashes are passed over."""
    files = f"""<file name="d/x.iso">
<size> 3 </size><hash type="sha-256">{SHA256.hex()}</hash><hash type="other">00</hash>
<pieces length="1" type="sha-1"><hash>00</hash></pieces>
<metaurl mediatype="torrent">http://h/torrent</metaurl>
<url>http://h/last</url><url priority="2" location="de">{B}</url><url priority="1">{A}?x&amp;y</url><url>ftp://h/f</url>
</file>
<file name="nothing"/>
<file><url>{A}</url></file>
<file name="z"><url>{B}</url></file>
"""
    assert told(lines_of(METALINK % files)) == [
        f"3 {A}?x&y name=d/x.iso size=3 sha256=2d71 mirror={B} mirror=http://h/last",
        "9 bad: a file without an http or https URL",
        "10 bad: a file without a name",
        f"11 {B} name=z",
    ]


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ('<!DOCTYPE m [<!ENTITY a "b">]><m>&a;</m>', "document type declaration"),
        ('<!DOCTYPE m SYSTEM "file:///etc/passwd"><m/>', "document type declaration"),
        ('<metalink version="3.0" xmlns="http://www.metalinker.org/"/>', "Metalink 3; expected Metalink 4"),
        ("<html/>", "no Metalink 4"),
        ("", "no XML: no element found"),
        ("<metalink", "no XML: unclosed token"),
        (METALINK % ("<a>" * MAX_DEPTH), "more than 50 elements"),
        (METALINK % f"<file a='{'x' * (MAX_TAG_BYTES + 200_000)}'/>", "a tag or comment longer"),
        ("<?xml version='1.0' encoding='nonsense'?><a/>", "no XML"),
    ],
)  # fmt: skip
def test_a_document_that_is_no_metalink_or_a_trap_is_refused(document: str, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        lines_of(document, "metalink")


def test_a_file_of_a_document_has_a_bound() -> None:
    url = f"<url>{A}</url>"
    files = f"<file name='x'>{url * (MAX_FILE_CHARACTERS // 40)}</file><file name='y'>{url}</file>"
    assert told(lines_of(METALINK % files)) == [
        f"3 bad: more than {MAX_FILE_CHARACTERS} characters of URLs and hashes for one file",
        f"3 {A} name=y",
    ]


def test_what_is_read_of_a_broken_document_is_kept() -> None:
    """The break is an outcome of its own, the last."""
    lines = told(lines_of(METALINK % f"<file name='x'><url>{A}</url></file></oops>"))
    assert lines == [f"3 {A} name=x", "4 bad: no XML: mismatched tag; nothing is read from here on"]


# Parquet


def parquet_of(**columns: Any) -> bytes:
    """A Parquet file with these columns."""
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    file = io.BytesIO()
    parquet.write_table(pa.table(columns), file)
    return file.getvalue()


def test_a_row_of_a_parquet_file_is_an_item() -> None:
    """Octets and lists as they are; nested columns that are not known are passed over."""
    octets = parquet_of(
        URL=[A, B, None],
        size=[3, None, 1],
        sha256=[SHA256, None, None],
        mirrors=[[B], None, None],
        note=[1.5, None, None],
        vectors=[[1.0], [2.0], [3.0]],
    )
    assert told(lines_of(octets)) == [f"1 {A} size=3 sha256=2d71 mirror={B} note='1.5'", f"2 {B}", "3 bad: no url"]
    assert told(lines_of(gzip.compress(octets))) == told(lines_of(octets, "parquet"))


@pytest.mark.parametrize("octets", [b"PAR1", b"PAR1" + bytes(100) + b"PAR1", None])
def test_a_parquet_file_that_is_none_cannot_be_read(octets: bytes | None) -> None:
    with pytest.raises(UnreadableError):
        lines_of(parquet_of(a=[1]) if octets is None else octets)


async def test_a_parquet_file_is_read_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "list.parquet"
    path.write_bytes(parquet_of(url=[A] * 1000))
    async with open_manifest(str(path)) as source:
        assert [len(batch) async for batch in source] == [BATCH_LINES, 1000 - BATCH_LINES]


# Compression

ZSTD = pytest.importorskip("backports.zstd", reason="the extra codings")
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": ZSTD.compress,
}
each_compression = pytest.mark.parametrize("compress", COMPRESS.values(), ids=COMPRESS.keys())


@each_compression
def test_a_compressed_manifest_is_told_by_its_octets(compress: Callable[[bytes], bytes]) -> None:
    """Whole, by the octet, and in several streams one behind the other."""
    octets = compress(f"{A}\n".encode()) + compress(f"{B}\n".encode())
    assert lines_of(octets) == [Line(1, A), Line(2, B)]
    pieces = [octets[at : at + 1] for at in range(len(octets))]
    assert [line for batch in manifest_lines(pieces) for line in batch] == [Line(1, A), Line(2, B)]


@each_compression
def test_what_is_read_of_a_manifest_that_is_cut_off_is_kept(compress: Callable[[bytes], bytes]) -> None:
    """And the cut is an outcome; where nothing was read it is an error."""
    octets = compress(f"{A}\n".encode() * 3) + compress(b"x" * 1000)[:-3]
    *lines, last = lines_of(octets)
    assert lines[:3] == [Line(1, A), Line(2, A), Line(3, A)]
    assert isinstance(last, BadLine)
    assert "cut off" in last.reason
    with pytest.raises(UnreadableError, match="cut off"):
        lines_of(compress(f"{A}\n".encode())[:-3].ljust(12, b"\1")[: len(compress(b"")) - 4] or b"")


@pytest.mark.slow
@each_compression
def test_a_bomb_takes_no_memory(compress: Callable[[bytes], bytes]) -> None:
    octets = compress(b"#" + bytes(30_000_000))
    tracemalloc.start()
    try:
        assert lines_of(octets) == []
        assert tracemalloc.get_traced_memory()[1] < 16_000_000
    finally:
        tracemalloc.stop()


def test_what_follows_compressed_data_is_told() -> None:
    *_, last = (line for batch in manifest_lines([gzip.compress(f"{A}\n".encode()), b"oops"]) for line in batch)
    assert isinstance(last, BadLine)
    assert "goes on after the end" in last.reason


# Which format it is


@pytest.mark.parametrize(
    ("head", "name", "expected"),
    [
        (b"http://h/a\n", "list.txt", "plain"),
        (b"", "-", "plain"),
        (b"http://h/a\n  http://h/b\n", "-", "plain"),
        (b"http://h/a\thttp://h/b\n", "-", "aria2"),
        (b"http://h/a\n out=x\n", "-", "aria2"),
        (b"http://h/a\n", "x.aria2", "aria2"),
        (b"name,url\n", "-", "csv"),
        (b'"url"\n', "list.txt", "csv"),
        (b"a,b\n", "x.CSV", "csv"),
        (b"a\turl\n", "-", "tsv"),
        (b"a,b\n", "x.tsv.gz", "tsv"),
        (b"TsvHttpData-1.0\n", "x.tsv", "tsvhttpdata"),
        (b'{"url": 1}\n', "-", "jsonl"),
        (b'"http://h/a"\n', "-", "jsonl"),
        (b"x\n", "x.ndjson.zst", "jsonl"),
        (b"PAR1\0", "-", "parquet"),
        (b"\xef\xbb\xbf\n <?xml", "-", "metalink"),
        (b"<metalink ", "-", "metalink"),
    ],
)
def test_the_format_is_told_by_content_and_then_by_name(head: bytes, name: str, expected: Format) -> None:
    assert format_of(head, name) == expected


async def test_a_manifest_that_cannot_be_read_at_all_is_an_error_of_the_run(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(b"a,b\n")
    with pytest.raises(ManifestError, match="the first line names no column 'url'"):
        async with open_manifest(str(path)) as source:
            await anext(source)


# Ranges


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://h/[1-3]", ["http://h/1", "http://h/2", "http://h/3"]),
        ("http://h/[08-10]x", ["http://h/08x", "http://h/09x", "http://h/10x"]),
        ("http://h/[0-10:5]", ["http://h/0", "http://h/5", "http://h/10"]),
        ("http://h/[a-c]", ["http://h/a", "http://h/b", "http://h/c"]),
        ("http://{a,b}/[1-2]", ["http://a/1", "http://a/2", "http://b/1", "http://b/2"]),
        ("http://h/{,x}", ["http://h/", "http://h/x"]),
        ("http://[::1]/{a}", ["http://[::1]/{a}"]),
    ],
)
def test_a_url_may_stand_for_many(url: str, expected: list[str]) -> None:
    assert list(urls_of(url)) == expected
    assert lines_of(url, expand=True) == [Line(1, each) for each in expected]
    assert lines_of(url) == [Line(1, url)]


@pytest.mark.parametrize("url", ["http://h/[3-1]", "http://h/[1-3:0]", "http://h/" + "[1-2]" * 11])
def test_a_range_that_is_none_is_a_bad_line(url: str) -> None:
    assert [type(line) for line in lines_of(f"{url}\n{A}", expand=True)] == [BadLine, Line]


def test_a_range_may_be_as_long_as_it_likes_but_not_of_one_file() -> None:
    """What is true of one file only cannot be said of many."""
    batches = manifest_lines([b"http://h/[1-1000000000000]"], expand=True)
    assert [len(next(batches)) for _ in range(3)] == [BATCH_LINES] * 3
    lines = [json.dumps({"url": "http://h/[1-2]", **said}) for said in ({"name": "x"}, {"size": 1}, {"note": "x"})]
    assert [type(line) for line in lines_of("\n".join(lines), expand=True)] == [
        BadLine,
        BadLine,
        DetailedLine,
        DetailedLine,
    ]


# However it comes

_SAMPLES: dict[Format, list[bytes]] = {
    "jsonl": [b'{"url":"http://h/a"}', b'"http://h/b"', b"{", b"\xff"],
    "csv": [b"url,note", b'http://h/a,"b', b'c",', b'"', b",", b'""', b"\xff", b"x" * 40_000],
    "tsv": [b"url\tnote", b"http://h/a\tb", b"\t", b'"', b"\0"],
    "aria2": [b"http://h/a", b" out=x", b"\tdir=y", b"\t", b"=", b"#", b" x", b"\xff"],
    "tsvhttpdata": [b"TsvHttpData-1.0", b"http://h/a\t1", b"\t", b"\xff"],
    "metalink": [
        (METALINK % f"<file name='x'><url>{A}</url></file>").encode()[:-13],
        b"<file name='y'><url>http://h/b</url></file>",
        b"</metalink>",
        b"&amp;",
        b"\xc3\xa9",
        b"<",
    ],
}  # fmt: skip


def _outcome(chunks: list[bytes], format: Format) -> object:
    lines: list[Any] = []
    try:
        for batch in manifest_lines(chunks, format=format):
            assert 1 <= len(batch) <= BATCH_LINES
            lines += batch
    except UnreadableError as exc:
        return exc.reason.partition(":")[0]  # expat's words for it depend on how much it has seen
    return [line.partition("no XML")[0] for line in told(lines)]


@given(st.data())
def test_how_the_octets_are_cut_changes_nothing(data: st.DataObject) -> None:
    """Any chunks give the lines of the whole, in every format; nothing but UnreadableError is raised."""
    format = data.draw(st.sampled_from(sorted(_SAMPLES)))
    first, *others = _SAMPLES[format]
    pieces = st.lists(st.sampled_from([first, *others, b"\n", b"\r\n", b"\n\n"]), max_size=12)
    manifest = first + b"\n" + b"".join(data.draw(pieces))
    cuts = sorted(min(cut, len(manifest)) for cut in data.draw(st.lists(st.integers(0, len(manifest)), max_size=8)))
    chunks = [manifest[a:b] for a, b in zip([0, *cuts], [*cuts, len(manifest)], strict=True)]
    assert _outcome(chunks, format) == _outcome([manifest], format)


@given(st.binary(max_size=300), st.sampled_from(FORMATS))
def test_any_octets_are_read_or_refused(octets: bytes, format: Format) -> None:
    lines = _outcome([octets], format)
    assert isinstance(lines, str | list)
