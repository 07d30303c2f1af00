# Invariant: any octets are lines, good and bad, or UnreadableError; the same however they come; numbers rise, and what
# is shown of a bad line can be shown.
"""Manifests of every format. Input: the name of the format or nothing, a LF, the manifest."""

from __future__ import annotations

import base64
import bz2
import gzip
import lzma
import random
from collections.abc import Callable, Iterator
from itertools import islice

from fetchd.jobs.manifests.formats import FORMATS, Format, manifest_lines
from fetchd.jobs.manifests.lines import BadLine, Batch, DetailedLine
from fetchd.jobs.manifests.problems import UnreadableError

from ..engine import Target, pieces

__all__ = ["TARGET"]

_MAX_BATCHES = 200  # a range may stand for more lines than there is memory

_URLS = (
    "http://h/a",
    "https://h.example/b?x=1",
    "http://[::1]/",
    "http://h/{a,b}",
    "http://h/[1-3]",
    "ftp://h/",
    "x",
    "",
)
_MD5 = base64.b64encode(bytes(16)).decode()
_OPTIONS = " out=x", "  dir=../d", " checksum=md5=" + "0" * 32, " header=A: b", " split=5", " #", "\tx", " ="
_COLUMNS = "url", "name", "size", "md5", "sha256", "mirrors", "headers", "method", "note"
_VALUES = "http://h/a", "x/y", "3", _MD5, "", '"a,\n""b"', "A: b", "POST", "0" * 64, "{}"
_METALINK = '<metalink xmlns="urn:ietf:params:xml:ns:metalink">'
_ELEMENTS = (
    "<size>3</size>",
    f"<hash type='md5'>{'0' * 32}</hash>",
    "<url priority='2'>http://h/a</url>",
    "<url>http://h/&amp;</url>",
    "<pieces length='1' type='md5'><hash>0</hash></pieces>",
)
_WORDS = *_URLS[:5], *_OPTIONS, *_COLUMNS, *_ELEMENTS, *FORMATS, _METALINK, "TsvHttpData-1.0", "PAR1", "<!DOCTYPE a ["
_OTHERS = b"\n", b"\r\n", b"\t", b",", b'"', b"\0", b"\xff", b"\xef\xbb\xbf", b"{", b"}", b"&a;", b"]]>"
_COMPRESS: tuple[Callable[[bytes], bytes], ...] = bytes, bytes, bytes, gzip.compress, bz2.compress, lzma.compress
_TOKENS = (*(word.encode() for word in _WORDS), *_OTHERS)


def _generate(rng: random.Random) -> bytes:
    format = rng.choice(("", *FORMATS))
    octets = "\n".join(_lines(rng, format)).encode()
    compress = rng.choice(_COMPRESS)
    return format.encode() + b"\n" + compress(octets)


def _lines(rng: random.Random, format: str) -> Iterator[str]:
    count = rng.randint(0, 6)
    if format in ("csv", "tsv"):
        separator = "," if format == "csv" else "\t"
        columns = rng.sample(_COLUMNS, rng.randint(1, 5))
        yield separator.join(columns)
        yield from (separator.join(rng.choices(_VALUES, k=len(columns))) for _ in range(count))
    elif format == "jsonl":
        for _ in range(count):
            members = (f'"{name}": "{rng.choice(_URLS)}"' for name in rng.choices(_COLUMNS, k=rng.randint(0, 4)))
            yield f"{{{', '.join(members)}}}"
    elif format == "metalink":
        files = (f"<file name='{n}'>{''.join(rng.choices(_ELEMENTS, k=3))}</file>" for n in range(count))
        yield f"{_METALINK}{''.join(files)}</metalink>"
    elif format == "tsvhttpdata":
        yield "TsvHttpData-1.0"
        yield from (f"{rng.choice(_URLS)}\t{rng.choice(('3', ''))}\t{rng.choice((_MD5, ''))}" for _ in range(count))
    else:
        yield from rng.choices((*_URLS, *_OPTIONS), k=count)


def _read(chunks: list[bytes], format: Format) -> tuple[Batch, str]:
    lines: Batch = []
    try:
        for batch in manifest_lines(chunks, format=format):
            assert batch
            lines += batch
    except UnreadableError as exc:
        return [], exc.reason
    return lines, ""


def _check(data: bytes) -> bool:
    name, _, octets = data.partition(b"\n")
    format = next((each for each in FORMATS if each.encode() == name), None)
    try:
        batches = manifest_lines([octets], format=format, expand=format is None)
        lines = [line for batch in islice(batches, _MAX_BATCHES) for line in batch]
    except UnreadableError:
        lines = []
    numbers = [line.number for line in lines]
    assert numbers == sorted(numbers)
    for line in lines:
        assert not isinstance(line, BadLine) or (line.text.isprintable() and line.reason)
        assert not isinstance(line, DetailedLine) or line.name is not None or line.extras is not None
    if format is not None and not octets.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")):
        whole = _read([octets], format)
        shapes = [[_shape(line) for line in _read(parts, format)[0]] for parts in pieces(octets)]
        assert shapes == [[_shape(line) for line in whole[0]]] * len(shapes)
    return any(not isinstance(line, BadLine) for line in lines)


def _shape(line: object) -> str:
    """What a line says; of Extras what is in them."""
    if isinstance(line, BadLine) and line.reason.startswith("no XML"):
        return "no XML"  # expat's words for it, and the line, depend on how much it has seen
    if not isinstance(line, DetailedLine) or line.extras is None:
        return repr(line)
    extras = line.extras
    return repr((line[:3], extras.method, extras.headers, extras.size, extras.digests, extras.mirrors, extras.columns))


TARGET = Target("manifests", _generate, _check, _TOKENS)
