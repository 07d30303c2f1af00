"""CRC-32C and CRC-64/NVME: their published check values, and what is said where they cannot be computed."""

from __future__ import annotations

import base64
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchd.jobs.checksums import digest_octets, head_digests, new_hash, parse_digest
from fetchd.jobs.crcs import CRC_OCTETS, Crc, missing_for
from fetchd.jobs.exceptions import SettingsError
from fetchd.jobs.settings import RunSettings
from tests.support.raw_server import response
from tests.support.runs import files_below, run_lines
from tests.support.sites import Site

CHECKS = {"crc32c": "e3069283", "crc64nvme": "ae8b14860a799888"}
"""Of ``123456789``. Source: the CRC RevEng catalogue, CRC-32/ISCSI and CRC-64/NVME."""


@pytest.mark.parametrize("algorithm", CRC_OCTETS)
def test_the_check_value_is_the_published_one(algorithm: str) -> None:
    crc = new_hash(algorithm)
    crc.update(b"1234")
    crc.update(memoryview(b"56789"))
    assert crc.digest().hex() == CHECKS[algorithm]
    assert len(crc.digest()) == CRC_OCTETS[algorithm]


@given(st.binary(max_size=2000))
def test_it_is_the_checksum_of_its_definition(data: bytes) -> None:
    """Reflected, with all ones before and after; bit by bit."""
    for algorithm, polynomial in (("crc32c", 0x82F63B78), ("crc64nvme", 0x9A6C9329AC4BC9B5)):
        bits = 8 * CRC_OCTETS[algorithm]
        ones = (1 << bits) - 1
        value = ones
        for octet in data:
            value ^= octet
            for _ in range(8):
                value = value >> 1 ^ (polynomial if value & 1 else 0)
        crc = Crc(algorithm)
        crc.update(data)
        assert int.from_bytes(crc.digest(), "big") == value ^ ones


@pytest.mark.parametrize("status", ["right", "wrong"])
@pytest.mark.parametrize(("field", "form"), [("x-goog-hash", "crc32c={}"), ("x-amz-checksum-crc32c", "{}")])
async def test_what_a_store_tells_is_held_to_the_content(tmp_path: Path, field: str, form: str, status: str) -> None:
    """A content that differs fails as checksum and gets no name."""
    digest = bytes.fromhex(CHECKS["crc32c"]) if status == "right" else bytes(4)
    fields = [(field, form.format(base64.b64encode(digest).decode()))]
    async with Site({"/a": response(200, b"123456789", fields)}).serve() as server:
        ran = await run_lines(tmp_path, [server.url("/a")], retries=0)
    assert ran.results == {1: "done" if status == "right" else "failed: checksum"}
    names = [path.rpartition("/")[2] for path in files_below(tmp_path / "out")]
    assert names == (["a"] if status == "right" else ["a.bad.part"])


@pytest.fixture
def _without(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has installed the extra."""
    monkeypatch.delitem(sys.modules, "awscrt", raising=False)
    monkeypatch.setattr("fetchd.jobs.crcs.find_spec", lambda _: None)


@pytest.mark.usefixtures("_without")
def test_without_the_extra_it_is_said_what_to_install() -> None:
    """Where it was asked for: by an option, a manifest, a ledger."""
    message = r"crc32c needs awscrt; expected: pip install 'fetchd\[checksums\]'"
    assert missing_for("sha256") == ""
    with pytest.raises(ValueError, match=message):
        Crc("crc32c")
    with pytest.raises(ValueError, match=message):
        digest_octets("crc32c", "AAAAAA==")
    with pytest.raises(ValueError, match=message):
        parse_digest("crc32c:00000000")
    with pytest.raises(SettingsError, match=message):
        RunSettings(manifest="-", output=Path("out"), checksum="crc32c")


@pytest.mark.usefixtures("_without")
def test_without_the_extra_a_head_that_tells_one_tells_nothing() -> None:
    """What else it tells counts."""
    fields = [(b"x-goog-hash", b"crc32c=AAAAAA=="), (b"x-amz-checksum-crc32", b"AAAAAA==")]
    assert head_digests(fields, 200) == [("crc32", bytes(4))]
