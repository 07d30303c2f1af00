"""The checksums of object stores that neither ``hashlib`` nor ``zlib`` has: CRC-32C and CRC-64/NVME.

With the extra ``checksums``, which is AWS's own ``awscrt``: in Python they would cost a second for each few megabytes.
Without it a head that tells one of them tells nothing, and a manifest or an option that asks for one is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Final

__all__ = ["CRC_OCTETS", "Crc", "missing_for"]

CRC_OCTETS: Final[Mapping[str, int]] = {"crc32c": 4, "crc64nvme": 8}
"""Their names, and the octets of each."""


def missing_for(algorithm: str) -> str:
    """Say what *algorithm* cannot be computed without; "" when nothing is missing."""
    if algorithm not in CRC_OCTETS or find_spec("awscrt") is not None:
        return ""
    return f"{algorithm} needs awscrt; expected: pip install 'fetchd[checksums]'"


class Crc:
    """One of them in the manner of ``hashlib``; the most significant octet first, as the stores' fields have it.

    Args:
        algorithm: A name of `CRC_OCTETS`.

    Raises:
        ValueError: The extra is not installed.
    """

    __slots__ = ("_compute", "_octets", "_value")

    def __init__(self, algorithm: str) -> None:
        missing = missing_for(algorithm)
        if missing:
            raise ValueError(missing)
        from awscrt import checksums

        self._compute = checksums.crc32c if algorithm == "crc32c" else checksums.crc64nvme
        self._octets = CRC_OCTETS[algorithm]
        self._value = 0

    def update(self, data: bytes | memoryview, /) -> None:
        """See ``checksums.Hash``."""
        self._value = self._compute(data, self._value)

    def digest(self) -> bytes:
        """See ``checksums.Hash``."""
        return self._value.to_bytes(self._octets, "big")
