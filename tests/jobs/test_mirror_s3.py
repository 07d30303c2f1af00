"""Mirrors into a store that speaks S3: what is signed, how large bodies go in parts, and what failures leave there."""

from __future__ import annotations

import base64
import hashlib
import random
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from fetchd.jobs.exceptions import SettingsError
from fetchd.jobs.failures import FailureClass
from fetchd.jobs.mirror import S3, Delivery, MirrorError, MirrorJob, MirrorSettings, mirror
from fetchd.jobs.mirror.s3 import MIN_PART_BYTES, S3Store, text_of
from fetchd.jobs.mirror.s3_parts import MAX_PARTS, part_bytes_of
from fetchd.jobs.settings import RunSettings
from tests.support import s3
from tests.support.raw_server import RawConnection, RawServer, Request, Script, raw_server, reply_with, response
from tests.support.runs import Ran

pytestmark = pytest.mark.usefixtures("no_leaked_fds")

MIB = 1 << 20
SMALL = b"a few octets"
LARGE = random.Random(3).randbytes(21 * MIB)  # more than four parts of the least size


@pytest.fixture(autouse=True)
def _no_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.random", lambda: 0.0)


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def at(sink: RawServer, **given: Any) -> Delivery:
    """How the store at *sink* is delivered to, by parts of the least size."""
    return Delivery(s3=S3(endpoint=sink.url(""), part_bytes=MIN_PART_BYTES), **given)


def serve(body: bytes, *fields: tuple[str, str], framing: str = "length") -> Script:
    """A source of one body."""
    return reply_with(response(body=body, fields=fields, framing=framing))


# What is sent.


async def test_a_body_is_put_and_its_request_signed() -> None:
    """The type of the source goes with it, and the octets need not be known for the signature."""
    store = s3.Store()
    async with raw_server(serve(SMALL, ("Content-Type", "text/x"))) as source, raw_server(store.script) as sink:
        done = await mirror(source.url("/a"), "s3://bucket/in/a", at(sink))
        assert (done.status, done.size) == (200, len(SMALL))
        assert (store.objects, store.types) == ({"bucket/in/a": SMALL}, {"bucket/in/a": "text/x"})
        assert sink.requests[0].fields["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"


async def test_a_digest_that_is_known_is_signed_and_told_to_the_store() -> None:
    """Which then checks it, whatever happens on the way."""
    sha256 = hashlib.sha256(SMALL)
    told = ("x-amz-checksum-sha256", base64.b64encode(sha256.digest()).decode())
    store = s3.Store()
    async with raw_server(serve(SMALL, told)) as source, raw_server(store.script) as sink:
        await mirror(source.url("/a"), "s3://bucket/a", at(sink))
        assert sink.requests[0].fields["x-amz-content-sha256"] == sha256.hexdigest()
        assert sink.requests[0].fields["x-amz-checksum-sha256"] == told[1]


@pytest.mark.parametrize("key", ["with blank", "a(b)'c!", "\u00fc/\u20ac", "a+b&c=d", "a%2Fb", "~x-y_z.*"])
async def test_any_key_is_signed_as_the_store_reads_it(tmp_path: Path, key: str) -> None:
    """Whatever way the source escapes it: the store decodes the path, and signs what that is."""
    store = s3.Store()
    async with raw_server(serve(SMALL)) as source, raw_server(store.script) as sink:
        (tmp_path / "m").write_text(source.url("/" + quote(key, safe="/()'!+&=*~%")) + "\n")
        run = RunSettings(manifest=str(tmp_path / "m"), output=tmp_path / "mirror")
        ran = Ran()
        ran.summary = await MirrorJob(
            MirrorSettings(run=run, to="s3://bucket/{path}", delivery=at(sink)), ran.listen
        ).execute()
        ran.check()
        assert ran.summary.done == 1
        assert store.objects == {f"bucket/{key.replace('%2F', '/')}": SMALL}


# In parts.


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_large_body_goes_in_parts(framing: str) -> None:
    """Of one size but the last; a length that is not told makes no difference."""
    store = s3.Store()
    async with raw_server(serve(LARGE, framing=framing)) as source, raw_server(store.script) as sink:
        done = await mirror(source.url("/a"), "s3://bucket/a", at(sink), checksum="sha256")
        assert (done.size, dict(done.digests)) == (len(LARGE), {"sha256": hashlib.sha256(LARGE).digest()})
        assert store.objects["bucket/a"] == LARGE
        parts = [len(asked.body) for asked in sink.requests if "partNumber" in asked.target]
        assert parts == [5 * MIB] * 4 + [1 * MIB]
    assert store.asked[0] == "POST /bucket/a?uploads="


@pytest.mark.parametrize("size", [0, 1, 5 * MIB])
async def test_a_body_of_unknown_length_within_one_part(size: int) -> None:
    """Is one request where that can be told when it ends, and one part where it fills it."""
    store = s3.Store()
    async with raw_server(serve(LARGE[:size], framing="chunked")) as source, raw_server(store.script) as sink:
        await mirror(source.url("/a"), "s3://bucket/a", at(sink))
        assert store.objects == {"bucket/a": LARGE[:size]}
        assert len(sink.requests) == (3 if size == 5 * MIB else 1)


@pytest.mark.parametrize("trouble", ["cut", "503", "500"])
async def test_a_part_that_breaks_off_is_sent_again_and_no_other(trouble: str) -> None:
    """Nor is the source asked again."""
    refusals = ["2"]

    def refuse(asked: Request) -> bytes | None:
        if refusals and f"partNumber={refusals[0]}&" in asked.target:
            refusals.pop()
            return b"HTTP/1.1 200 " if trouble == "cut" else response(int(trouble))
        return None

    store = s3.Store(refuse)

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            answer = refuse(asked)
            if answer is not None:
                await conn.send(answer)
                return
            await conn.send(store._answer(asked))

    async with raw_server(serve(LARGE)) as source, raw_server(script) as sink:
        await mirror(source.url("/a"), "s3://bucket/a", at(sink))
        assert store.objects["bucket/a"] == LARGE
        assert len(source.requests) == 1
        numbers = [asked.target.partition("partNumber=")[2][:1] for asked in sink.requests]
        assert [number for number in numbers if number] == ["1", "2", "2", "3", "4", "5"]


@pytest.mark.parametrize("trouble", ["digest", "refused", "incomplete"])
async def test_what_fails_leaves_neither_object_nor_parts(trouble: str) -> None:
    """The upload is aborted, by whichever side it was."""
    fields = [("Content-MD5", "AAAAAAAAAAAAAAAAAAAAAA==")] if trouble == "digest" else []

    def refuse(asked: Request) -> bytes | None:
        if trouble == "refused" and "partNumber=3" in asked.target:
            return response(403, b"<Error><Code>QuotaExceeded</Code></Error>")
        if trouble == "incomplete" and b"<Part>" in asked.body[:200]:
            return response(body=b"<Error><Code>InternalError</Code></Error>")
        return None

    store = s3.Store(refuse)
    async with raw_server(serve(LARGE, *fields)) as source, raw_server(store.script) as sink:
        with pytest.raises(MirrorError) as caught:
            await mirror(source.url("/a"), "s3://bucket/a", at(sink), retries=0)
    assert (store.objects, store.uploads) == ({}, {})
    assert store.asked[-1].startswith("DELETE /bucket/a?uploadId=")
    expected = {
        "digest": (FailureClass.CHECKSUM, "the source gave other octets"),
        "refused": (FailureClass.HTTP_4XX, r"\(QuotaExceeded\)"),
        "incomplete": (FailureClass.PROTOCOL, "did not complete the upload: InternalError"),
    }
    failure_class, message = expected[trouble]
    assert caught.value.failure.failure_class is failure_class
    caught.match(message)


async def test_a_source_that_drops_goes_on_within_the_parts() -> None:
    """By Range and If-Range, from the octet that was the last."""

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            start = int(asked.fields.get("Range", "bytes=0-").partition("=")[2].rstrip("-"))
            fields = [("ETag", '"v1"')]
            if start:
                fields.append(("Content-Range", f"bytes {start}-{len(LARGE) - 1}/{len(LARGE)}"))
            whole = response(206 if start else 200, LARGE[start:], fields)
            if start:
                await conn.send(whole)
            else:
                await conn.send(whole[: 8 * MIB])
                return

    store = s3.Store()
    async with raw_server(script) as source, raw_server(store.script) as sink:
        done = await mirror(source.url("/a"), "s3://bucket/a", at(sink))
        assert (len(done.reopened), store.objects) == (1, {"bucket/a": LARGE})
        assert len(source.requests) == 2


def test_parts_are_as_many_as_may_be() -> None:
    """10,000 at most: what is longer goes in larger ones."""
    assert part_bytes_of(None, 5 * MIB) == 5 * MIB
    assert part_bytes_of(MAX_PARTS * 5 * MIB, 5 * MIB) == 5 * MIB
    assert part_bytes_of(MAX_PARTS * 5 * MIB + 1, 5 * MIB) == 5 * MIB + 1


# What is there already.


@pytest.mark.parametrize("body", [SMALL, LARGE], ids=["whole", "parts"])
async def test_what_is_there_is_left_alone(body: bytes) -> None:
    """``if_absent``: the condition is that of the request that makes the object appear."""
    store = s3.Store()
    store.objects["bucket/a"] = b"before"
    async with raw_server(serve(body)) as source, raw_server(store.script) as sink:
        done = await mirror(source.url("/a"), "s3://bucket/a", at(sink, if_absent=True))
        assert (done.skipped, done.status) == ("present", 412)
    assert (store.objects, store.uploads) == ({"bucket/a": b"before"}, {})


async def test_the_same_is_skipped() -> None:
    """Asked for by a HEAD that is signed, too."""
    store = s3.Store()
    store.objects["bucket/a"] = SMALL

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            await conn.send(response(body=SMALL)[: -len(SMALL)] if asked.method == "HEAD" else response(body=SMALL))

    async with raw_server(script) as source, raw_server(store.script) as sink:
        done = await mirror(source.url("/a"), "s3://bucket/a", at(sink, skip_same="length"))
        assert done.skipped == "same"
        assert sink.requests[0].fields["x-amz-checksum-mode"] == "ENABLED"
    assert store.asked == ["HEAD /bucket/a"]


# Where it is, and who asks.


@pytest.mark.parametrize(
    ("to", "options", "place"),
    [
        ("s3://bucket/a/{path}", S3(), "https://bucket.s3.eu-west-1.amazonaws.com/a/{path}"),
        ("s3://bucket/a", S3(region="us-west-2"), "https://bucket.s3.us-west-2.amazonaws.com/a"),
        ("s3://with.dot/a", S3(), "https://s3.eu-west-1.amazonaws.com/with.dot/a"),
        ("s3://bucket/a", S3(endpoint="https://store.example:9000/"), "https://store.example:9000/bucket/a"),
    ],
)
def test_a_bucket_is_where_the_region_or_the_endpoint_says(to: str, options: S3, place: str) -> None:
    """Amazon's own by name; any other store by its path."""
    assert S3Store(to, options).place == place


@pytest.mark.parametrize(
    ("to", "given", "message"),
    [
        ("s3://bucket", {}, "expected s3://BUCKET/KEY"),
        ("s3://Bucket_/x", {}, "expected s3://BUCKET/KEY"),
        ("s3://bucket/{nope}", {}, "expected some of host"),
        ("s3://bucket/x", {"method": "POST"}, "put to and signed for"),
        ("s3://bucket/x", {"mkcol": True}, "put to and signed for"),
    ],
)
def test_what_cannot_be_is_refused_at_once(tmp_path: Path, to: str, given: Any, message: str) -> None:
    """Before anything is asked for."""
    with pytest.raises(SettingsError, match=message):
        MirrorSettings(run=RunSettings(manifest="m", output=tmp_path), to=to, delivery=Delivery(**given))


@pytest.mark.parametrize(
    "given", [{"part_bytes": MIN_PART_BYTES - 1}, {"endpoint": "ftp://x"}, {"endpoint": "http://u:p@x"}]
)
def test_options_that_no_store_takes_are_refused(given: Any) -> None:
    """In words that tell what is expected."""
    with pytest.raises(SettingsError, match="expected"):
        S3(**given)


async def test_without_credentials_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """And it is said where they are looked for."""
    store = s3.Store()
    async with raw_server(serve(SMALL)) as source, raw_server(store.script) as sink:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        with pytest.raises(MirrorError, match="no credentials for S3"):
            await mirror(source.url("/a"), "s3://bucket/a", at(sink))
    assert store.asked == []


async def test_a_signature_that_the_store_does_not_take_is_told_by_its_code(monkeypatch: Any) -> None:
    """And the secret is in no message."""
    store = s3.Store()
    async with raw_server(serve(SMALL)) as source, raw_server(store.script) as sink:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
        with pytest.raises(MirrorError, match=r"status 403 .*\(SignatureDoesNotMatch\)") as caught:
            await mirror(source.url("/a"), "s3://bucket/a", at(sink))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("xml", [b"", b"<a", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a><Code>&b;</Code></a>", b"<a><b/></a>"])
def test_an_answer_that_tells_nothing_is_no_answer(xml: bytes) -> None:
    """Whatever it is."""
    assert text_of(xml, "Code") is None
