"""Mirrors into S3 as moto plays it: what lies in the bucket is what lay at the source."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from fetchd.jobs.mirror import S3, Delivery, MirrorError, MirrorJob, MirrorSettings, mirror
from fetchd.jobs.mirror.s3 import MIN_PART_BYTES
from fetchd.jobs.settings import RunSettings
from tests.support import s3
from tests.support.moto_server import Moto
from tests.support.nginx import Nginx
from tests.support.raw_server import raw_server, reply_with, response
from tests.support.runs import Ran

pytestmark = [pytest.mark.usefixtures("no_leaked_fds"), pytest.mark.slow, pytest.mark.timeout(60)]

LARGE = random.Random(4).randbytes(21 << 20)


def at(moto: Moto, **given: Any) -> Delivery:
    """How the store is delivered to, by parts of the least size."""
    return Delivery(s3=S3(endpoint=moto.url, part_bytes=MIN_PART_BYTES), **given)


@pytest.fixture
def bucket(moto: Moto, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The name of an empty bucket, which the environment leads to."""
    for name, value in s3.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    name = f"b{abs(hash(request.node.nodeid))}"
    moto.make_bucket(name)
    return name


async def test_a_manifest_goes_into_a_bucket(nginx: Nginx, moto: Moto, bucket: str, tmp_path: Path) -> None:
    """Small and large, by names that must be escaped; again, and nobody is asked."""
    site = {"s3/small": b"small", "s3/large": LARGE, "s3/with blank (1)+&.txt": b"x", "s3/empty": b""}
    for name, content in site.items():
        (nginx.root / name).parent.mkdir(exist_ok=True)
        (nginx.root / name).write_bytes(content)
    manifest = tmp_path / "manifest.txt"
    manifest.write_text("".join(f"{nginx.url('/' + name.replace(' ', '%20'))}\n" for name in site))
    run = RunSettings(manifest=str(manifest), output=tmp_path / "mirror")
    settings = MirrorSettings(run=run, to=f"s3://{bucket}/in/{{path}}", delivery=at(moto))
    for reasons in ({}, {"done": len(site)}):
        ran = Ran()
        ran.summary = await MirrorJob(settings, ran.listen).execute()
        ran.check()
        assert dict(ran.summary.skip_reasons) == reasons
        assert ran.summary.failed == 0
    for name, content in site.items():
        assert moto.ask("GET", f"/{bucket}/in/{name.replace(' ', '%20').replace('+', '%2B')}") == (200, content)


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_large_body_in_parts(moto: Moto, bucket: str, framing: str) -> None:
    """And where there is one already it may be left alone."""
    async with raw_server(reply_with(response(body=LARGE, framing=framing))) as source:
        done = await mirror(source.url("/a"), f"s3://{bucket}/a", at(moto))
        assert (done.size, done.status) == (len(LARGE), 200)
        assert moto.ask("GET", f"/{bucket}/a") == (200, LARGE)
        assert (await mirror(source.url("/a"), f"s3://{bucket}/a", at(moto, if_absent=True))).skipped == "present"


async def test_what_is_wrong_leaves_nothing(moto: Moto, bucket: str) -> None:
    """Neither an object nor an upload that was begun."""
    wrong = response(body=LARGE, fields=[("Content-MD5", "AAAAAAAAAAAAAAAAAAAAAA==")])
    async with raw_server(reply_with(wrong)) as source:
        with pytest.raises(MirrorError, match="the source gave other octets"):
            await mirror(source.url("/a"), f"s3://{bucket}/a", at(moto), retries=0)
    assert moto.ask("GET", f"/{bucket}/a")[0] == 404
    assert b"<Upload>" not in moto.ask("GET", f"/{bucket}?uploads")[1]


async def test_a_bucket_that_is_not_there_is_told_by_the_stores_code(moto: Moto, bucket: str) -> None:
    """In the failure of the item."""
    async with raw_server(reply_with(response(body=b"x"))) as source:
        with pytest.raises(MirrorError, match=r"404 .*\(NoSuchBucket\)"):
            await mirror(source.url("/a"), "s3://no-such-bucket/a", at(moto))
