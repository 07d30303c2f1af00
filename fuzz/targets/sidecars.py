# Invariant: any text is a list of digests, perhaps an empty one; what it holds has the length of its algorithm, and is
# found by the name that stands beside it. Digests of a head have that length, too.
"""Digests as others write them: ``Sidecar.parse`` and ``head_digests``."""

from __future__ import annotations

import random

from fetchd.jobs.checksums import ALGORITHMS, Sidecar, head_digests, new_hash, parse_digest, spelled

from ..engine import Target

__all__ = ["TARGET", "generate"]

_NAMES = "a", "b/c.iso", "./d e", "*f", "\\g\\n", "h (1)", "é"
_LENGTHS = 32, 40, 56, 64, 96, 128, 8, 63
_ALGORITHMS = "MD5", "SHA1", "SHA256", "SHA512", "SHA-256", "CRC32", "BLAKE2b", "WHIRLPOOL"
_FIELDS = (
    "Repr-Digest: sha-256=:",
    "Content-MD5: ",
    "x-goog-hash: md5=",
    "x-amz-checksum-sha256: ",
    "x-amz-checksum-type: COMPOSITE",
    "x-goog-stored-content-encoding: gzip",
)
_ODD = "  ", " *", " (", ") = ", "\r\n", "#", "\ufeff", "=", "==", ":", "0" * 32, "1B2M2Y8AsgTpgAmY7PhCfg=="
TOKENS = tuple(text.encode() for part in (_NAMES, _ALGORITHMS, _FIELDS, _ODD) for text in part)
_OCTETS = {name: len(new_hash(name).digest()) for name in ALGORITHMS}


def generate(rng: random.Random) -> bytes:
    """Lines of a list, and perhaps fields of a head."""
    lines = []
    for _ in range(rng.randint(1, 5)):
        digits = rng.randbytes(64).hex()[: rng.choice(_LENGTHS)]
        name = rng.choice(_NAMES)
        kind = rng.randrange(3)
        if kind == 0:
            lines.append(f"{digits}  {name}")
        elif kind == 1:
            lines.append(f"{rng.choice(_ALGORITHMS)} ({name}) = {digits}")
        else:
            lines.append(f"{rng.choice(_FIELDS)}1B2M2Y8AsgTpgAmY7PhCfg==")
    return "\n".join(lines).encode()


def _check(data: bytes) -> bool:
    sidecar = Sidecar.parse(data.decode("utf-8", "surrogateescape"))
    for algorithm, octets in sidecar.digests.values():
        assert len(octets) == _OCTETS[algorithm]
        assert parse_digest(spelled((algorithm, octets))) == (algorithm, octets)
    pairs = [line.partition(b":")[::2] for line in data.split(b"\n")]
    for status in (200, 206):
        for algorithm, octets in head_digests(pairs, status):
            assert len(octets) == _OCTETS[algorithm]
    return bool(sidecar.digests)


TARGET = Target("sidecars", generate, _check, TOKENS)
