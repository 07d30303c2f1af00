# Invariant: any Link and Content-Disposition is read and never raises; targets stand in the field, a file's name is
# the name of no other folder, and what was read can be written and is read back the same.
"""Link, one field a line, and Content-Disposition, the first line (RFC 8288, RFC 6266, RFC 8187)."""

from __future__ import annotations

import random

from fetchd.client.challenges import quoted
from fetchd.client.dispositions import parse_disposition
from fetchd.client.weblinks import parse_links

from ..engine import Target

__all__ = ["TARGET"]

_STARTS = (
    "</a>",
    "<http://h/?q=1,2;3>",
    "<>",
    "< /b >",
    "<",
    "attachment",
    "inline",
    "Attachment ",
    "form-data",
    "x y",
    "",
)
_PARAMETERS = (
    *(
        'rel="next"',
        "rel=prev",
        'rel="a b"',
        "REL = X",
        'title="a, \\"b\\""',
        "title*=UTF-8'de'%c3%a4",
        "title*=x''%ff",
    ),
    *(
        'filename="a.txt"',
        "filename=a b",
        "filename*=UTF-8''%e2%82%ac",
        'filename="../../x"',
        "filename*=UTF-8''%2e%2f",
    ),
    *("anchor=#x", "crossorigin", "=", 'a="', "a=\\", "hreflang=de", "é=é"),
)
_MARKS = ";", ",", "; ", ", ", '"', "\\", "<", ">", "=", "*", "%", "'", " ", "\t", "\n", "\udcff", "\0"
_TOKENS = tuple(text.encode("utf-8", "surrogateescape") for text in (*_STARTS, *_PARAMETERS, *_MARKS) if text)


def _generate(rng: random.Random) -> bytes:
    lines = []
    for _ in range(rng.choice((1, 1, 2))):
        elements = [
            "; ".join([rng.choice(_STARTS), *rng.sample(_PARAMETERS, rng.randint(0, 3))])
            for _ in range(rng.choice((1, 1, 2)))
        ]
        lines.append(", ".join(elements))
    return "\n".join(lines).encode()


def _check(data: bytes) -> bool:
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    links = parse_links(lines)
    for link in links:
        assert any(link.target in line for line in lines)
        plain = [(name, value) for name, value in link.parameters if not name.endswith("*") and name.isascii()]
        written = f"<{link.target}>" + "".join(f"; {name}={quoted(value)}" for name, value in plain)
        [read_back] = parse_links([written])
        assert read_back == link._replace(parameters=tuple(plain)), written
    disposition = parse_disposition(lines[0])
    if disposition is None:
        return bool(links)
    if disposition.filename is not None:
        assert disposition.filename.strip() not in ("", ".", "..")
        assert not set(disposition.filename) & set("/\\\0\r\n")
    return True


TARGET = Target("field_parameters", _generate, _check, _TOKENS)
