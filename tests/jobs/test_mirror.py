"""Bodies mirrored, one by one and in runs: what arrives, what is asked of whom, and what follows from failures."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fetchd.client import BasicAuth
from fetchd.jobs.exceptions import SettingsError
from fetchd.jobs.failures import FailureClass
from fetchd.jobs.items import Result
from fetchd.jobs.limits import Limits
from fetchd.jobs.mirror import Delivery, MirrorError, MirrorJob, MirrorSettings, destinations, mirror
from fetchd.jobs.settings import RunSettings
from tests.support.raw_proxy import http_proxy
from tests.support.raw_server import RawConnection, RawServer, Request, Script, raw_server, reply_with, response
from tests.support.runs import Ran

pytestmark = pytest.mark.usefixtures("no_leaked_fds")

BODY = random.Random(5).randbytes(700_000)
SHA256 = f"sha-256=:{base64.b64encode(hashlib.sha256(BODY).digest()).decode()}:"
MODIFIED = "Tue, 01 Sep 2020 10:00:00 GMT"


@pytest.fixture(autouse=True)
def _no_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.random", lambda: 0.0)


class Sink:
    """A server that keeps what is put into it; *refuse* may answer in its place."""

    def __init__(self, refuse: Callable[[Request], bytes | None] = lambda _: None) -> None:
        self.objects: dict[str, bytes] = {}
        self.asked: list[Request] = []
        self._refuse = refuse

    async def script(self, conn: RawConnection) -> None:
        """For ``raw_server``."""
        async for asked in conn:
            self.asked.append(asked)
            await conn.send(self._refuse(asked) or self._answer(asked))

    def _answer(self, asked: Request) -> bytes:
        there = self.objects.get(asked.target)
        if asked.method == "HEAD":
            return response(404) if there is None else response(body=there)[: -len(there) or None]
        if there is not None and asked.fields.get("If-None-Match") == "*":
            return response(412)
        self.objects[asked.target] = asked.body
        return response(201)


def serve(body: bytes = BODY, *fields: tuple[str, str], framing: str = "length") -> Script:
    """A source of one body."""
    return reply_with(response(body=body, fields=fields, framing=framing), close=framing == "eof")


class Cutting:
    """A source that cuts each body where it is told to, and goes on by Range and If-Range.

    Attributes:
        bodies: By target.
        cuts: Offsets at which a connection ends, by target; each once.
        ranges: What was asked for, by target.
        etags: By target; changed by a test in the midst.
    """

    def __init__(self, bodies: dict[str, bytes], cuts: dict[str, list[int]]) -> None:
        self.bodies = bodies
        self.cuts = {target: sorted(places) for target, places in cuts.items()}
        self.ranges: dict[str, list[int]] = defaultdict(list)
        self.etags: dict[str, str] = defaultdict(lambda: '"one"')
        self.on_cut: Callable[[str], None] = lambda _: None

    async def script(self, conn: RawConnection) -> None:
        """For ``raw_server``."""
        async for asked in conn:
            target, body, start = asked.target, self.bodies[asked.target], 0
            tag = self.etags[target]
            if "Range" in asked.fields and asked.fields["If-Range"] == tag:
                match = re.fullmatch(r"bytes=([0-9]+)-", asked.fields["Range"])
                assert match
                start = int(match[1])
            self.ranges[target].append(start)
            fields = [("ETag", tag)]
            if start:
                fields.append(("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}"))
            octets = response(206 if start else 200, body[start:], fields)
            place = next((place for place in self.cuts.get(target, ()) if place >= start), None)
            if place is None:
                await conn.send(octets)
                continue
            self.cuts[target].remove(place)
            await conn.send(octets[: len(octets) - len(body) + place])
            self.on_cut(target)
            return


@pytest.mark.parametrize("framing", ["length", "chunked", "eof"])
@pytest.mark.parametrize("delivery", [{}, {"tee": True}], ids=["straight", "tee"])
async def test_a_body_arrives_as_it_is(framing: str, delivery: dict[str, Any], tmp_path: Path) -> None:
    """With its type; announced by its length where that is known."""
    sink, fields = Sink(), [("Content-Type", "x/y"), ("Last-Modified", MODIFIED)]
    chosen = Delivery(tee=tmp_path if delivery else None)
    async with raw_server(serve(BODY, *fields, framing=framing)) as here, raw_server(sink.script) as there:
        done = await mirror(here.url("/a/b"), there.url("/c"), chosen)
    assert (done.size, done.status, done.skipped) == (len(BODY), 201, "")
    [asked] = sink.asked
    assert (asked.method, asked.body, asked.fields["Content-Type"]) == ("PUT", BODY, "x/y")
    assert ("Content-Length" in asked.fields) == (framing == "length")
    if delivery:
        [copy] = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert copy.read_bytes() == BODY
        assert copy.stat().st_mtime == 1_598_954_400


async def test_it_may_be_posted_raw_or_as_a_field(tmp_path: Path) -> None:
    sink = Sink()
    async with raw_server(serve(BODY, ("Content-Type", "x/y"))) as here, raw_server(sink.script) as there:
        await mirror(here.url(), there.url("/raw"), Delivery(method="POST"))
        await mirror(here.url(), there.url("/form/b.bin?x"), Delivery(method="POST", field="upload"))
    raw, form = sink.asked
    assert (raw.method, raw.body) == ("POST", BODY)
    assert b'name="upload"; filename="b.bin"\r\nContent-Type: x/y\r\n\r\n' + BODY in form.body
    assert int(form.fields["Content-Length"]) == len(form.body)


async def test_the_destination_has_fields_credentials_and_a_proxy_of_its_own() -> None:
    """None of which the source sees; a field that is given replaces one of ours."""
    sink = Sink()
    delivery = Delivery(headers=(("X-Own", "1"), ("Content-Type", "own/type")), auth=BasicAuth("user", "secret"))
    async with (
        raw_server(serve(BODY, ("Content-Type", "x/y"))) as here,
        raw_server(sink.script) as there,
        raw_server(http_proxy()) as proxy,
    ):
        from dataclasses import replace

        await mirror(here.url(), there.url(), replace(delivery, proxy=proxy.url("")))
        assert len(proxy.requests) == 1
        [source] = here.requests
    [asked] = sink.asked
    assert asked.fields["X-Own"] == "1"
    assert asked.fields.getall("Content-Type") == ["own/type"]
    assert asked.fields["Authorization"] == "Basic dXNlcjpzZWNyZXQ="
    assert "X-Own" not in source.fields
    assert "Authorization" not in source.fields


@pytest.mark.parametrize("trouble", ["cut", "503"])
async def test_a_spooled_body_is_sent_again_and_not_fetched_again(tmp_path: Path, trouble: str) -> None:
    """The destination drops, or asks for patience; the disk has what the source gave."""
    refusals = [b"HTTP/1.1 20" if trouble == "cut" else response(503)] * 2
    sink = Sink()

    async def script(conn: RawConnection) -> None:
        async for asked in conn:
            sink.asked.append(asked)
            if refusals:
                await conn.send(refusals.pop())
                return
            await conn.send(sink._answer(asked))

    async with raw_server(serve(framing="chunked")) as here, raw_server(script) as there:
        await mirror(here.url(), there.url("/a"), Delivery(spool=tmp_path / "spool"))
        assert len(here.requests) == 1
    assert [len(asked.body) for asked in sink.asked] == [len(BODY)] * 3
    assert sink.objects == {"/a": BODY}


def _refused(answer: bytes, asked: Request) -> bytes:
    return answer


async def test_a_spooled_body_is_not_sent_for_ever(tmp_path: Path) -> None:
    """Each time takes one of the item's tries, and what the destination will not have is not sent again."""
    for status, times in ((500, 3), (403, 1)):
        sink = Sink(partial(_refused, response(status)))
        async with raw_server(serve(framing="chunked")) as here, raw_server(sink.script) as there:
            with pytest.raises(MirrorError, match=f"the destination: status {status}"):
                await mirror(here.url(), there.url("/a"), Delivery(spool=tmp_path / "spool"), retries=2)
            assert len(here.requests) == 1
        assert len(sink.asked) == times


async def test_a_body_without_length_is_spooled_when_asked(tmp_path: Path) -> None:
    sink = Sink()
    async with raw_server(serve(framing="chunked")) as here, raw_server(sink.script) as there:
        await mirror(here.url(), there.url(), Delivery(spool=tmp_path / "spool"))
    assert sink.asked[0].fields["Content-Length"] == str(len(BODY))
    assert sink.asked[0].body == BODY
    assert list((tmp_path / "spool").iterdir()) == []


# Digests.


async def test_a_digest_that_the_source_tells_is_checked_and_told_on() -> None:
    sink = Sink()
    async with raw_server(serve(BODY, ("Repr-Digest", SHA256))) as here, raw_server(sink.script) as there:
        done = await mirror(here.url(), there.url())
    assert sink.asked[0].fields["Repr-Digest"] == SHA256
    assert done.digests == (("sha256", hashlib.sha256(BODY).digest()),)


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_body_with_another_digest_never_arrives_whole(framing: str) -> None:
    """Its last piece is not sent, nor the end of its chunks."""
    sink, wrong = Sink(), BODY[:-1] + b"!"
    async with (
        raw_server(serve(wrong, ("Repr-Digest", SHA256), framing=framing)) as here,
        raw_server(sink.script) as there,
    ):
        with pytest.raises(MirrorError, match="other octets") as caught:
            await mirror(here.url(), there.url(), retries=1)
    assert caught.value.failure.failure_class is FailureClass.CHECKSUM
    assert not caught.value.failure.of_sink
    assert not sink.objects
    assert len(here.requests) == 2


@pytest.mark.parametrize(("algorithm", "name"), [(None, "sha-256"), ("sha512", "sha-512"), ("md5", "md5")])
async def test_a_digest_of_which_nobody_knows_follows_the_body(algorithm: str | None, name: str) -> None:
    """In a trailer (RFC 9530 section 3); where the source tells one it stands before the body, as ever."""
    sink = Sink()
    delivery = Delivery(send_digest=True)
    async with raw_server(serve()) as here, raw_server(sink.script) as there:
        await mirror(here.url(), there.url("/a"), delivery, checksum=algorithm)
    digest = base64.b64encode(hashlib.new(algorithm or "sha256", BODY).digest()).decode()
    [asked] = sink.asked
    assert (asked.fields["Trailer"], dict(asked.trailers)) == ("Repr-Digest", {"Repr-Digest": f"{name}=:{digest}:"})
    assert sink.objects == {"/a": BODY}
    async with raw_server(serve(BODY, ("Repr-Digest", SHA256))) as here, raw_server(sink.script) as there:
        await mirror(here.url(), there.url("/b"), delivery)
    assert sink.asked[1].fields["Repr-Digest"] == SHA256
    assert not sink.asked[1].trailers


async def test_a_digest_that_the_destination_tells_is_compared_with_what_was_sent() -> None:
    lying = SHA256.replace("=:", "=:AA", 1)[:-3] + "=:"
    answers = {"/right": SHA256, "/wrong": f"sha-256=:{'A' * 43}=:"}
    assert lying

    def answer(asked: Request) -> bytes:
        return response(201, fields=[("Repr-Digest", answers[asked.target])])

    sink = Sink(answer)
    async with raw_server(serve()) as here, raw_server(sink.script) as there:
        done = await mirror(here.url(), there.url("/right"), checksum="sha256")
        assert done.digests == (("sha256", hashlib.sha256(BODY).digest()),)
        with pytest.raises(MirrorError, match="other octets than were sent") as caught:
            await mirror(here.url(), there.url("/wrong"), checksum="sha256", retries=0)
    assert caught.value.failure.of_sink


# Conditions.


async def test_what_is_there_is_left_alone_when_asked() -> None:
    sink = Sink()
    sink.objects["/a"] = b"old"
    async with raw_server(serve()) as here, raw_server(sink.script) as there:
        done = await mirror(here.url(), there.url("/a"), Delivery(if_absent=True))
        assert (done.skipped, sink.objects["/a"]) == ("present", b"old")
        done = await mirror(here.url(), there.url("/b"), Delivery(if_absent=True))
        assert (done.skipped, sink.objects["/b"]) == ("", BODY)


@pytest.mark.parametrize(
    ("by", "ours", "theirs", "is_same"),
    [
        ("length", [("Content-Length", "5")], [("Content-Length", "5")], True),
        ("length", [("Content-Length", "5")], [("Content-Length", "6")], False),
        ("length", [("Transfer-Encoding", "chunked")], [("Content-Length", "6")], False),
        ("etag", [("ETag", '"a"')], [("ETag", '"a"')], True),
        ("etag", [("ETag", '"a"')], [("ETag", '"b"')], False),
        ("etag", [("ETag", 'W/"a"')], [("ETag", 'W/"a"')], False),
        ("etag", [], [], False),
        ("digest", [("Repr-Digest", SHA256)], [("Repr-Digest", f"md5=:{'A' * 22}==:, {SHA256}")], True),
        ("digest", [("Repr-Digest", SHA256)], [("Repr-Digest", f"sha-256=:{'A' * 43}=:")], False),
        ("digest", [("Repr-Digest", SHA256)], [("Content-Length", "5")], False),
    ],
)
async def test_what_is_the_same_at_both_ends_is_not_sent(by: Any, ours: Any, theirs: Any, is_same: bool) -> None:
    """As the heads of both tell it."""

    def script(fields: list[tuple[str, str]]) -> Script:
        head = "".join(f"{name}: {value}\r\n" for name, value in fields)
        if "Content-Length" not in head and "Transfer" not in head:
            head += "Content-Length: 5\r\n"

        async def answer(conn: RawConnection) -> None:
            async for asked in conn:
                if asked.method == "HEAD":
                    await conn.send(f"HTTP/1.1 200 OK\r\n{head}\r\n".encode())
                else:
                    await conn.send(response(body=b"bytes" if asked.method == "GET" else b""))

        return answer

    async with raw_server(script(ours)) as here, raw_server(script(theirs)) as there:
        done = await mirror(here.url(), there.url(), Delivery(skip_same=by))
        assert done.skipped == ("same" if is_same else "")
        methods = [asked.method for asked in here.requests]
    assert methods == (["HEAD"] if is_same else ["HEAD", "GET"])


async def test_what_is_not_there_yet_is_not_compared() -> None:
    sink = Sink()
    async with raw_server(serve()) as here, raw_server(sink.script) as there:
        assert not (await mirror(here.url(), there.url(), Delivery(skip_same="length"))).skipped
    assert [asked.method for asked in sink.asked] == ["HEAD", "PUT"]


async def test_collections_are_made_once_and_from_the_outermost_in() -> None:
    sink = Sink(lambda asked: response(405 if asked.target == "/a/" else 201) if asked.method == "MKCOL" else None)
    async with raw_server(serve()) as here, raw_server(sink.script) as there:
        await mirror(here.url(), there.url("/a/b/c"), Delivery(mkcol=True))
    assert [(asked.method, asked.target) for asked in sink.asked] == [
        ("MKCOL", "/a/"),
        ("MKCOL", "/a/b/"),
        ("PUT", "/a/b/c"),
    ]


# What fails.


@pytest.mark.parametrize("tee", [False, True])
async def test_a_source_that_drops_goes_on_in_the_same_upload(tee: bool, tmp_path: Path) -> None:
    """Each Range begins where the octets ended; the digest is that of the whole."""
    source, sink = Cutting({"/a": BODY}, {"/a": [1, 300_000, 650_000]}), Sink()
    async with raw_server(source.script) as here, raw_server(sink.script) as there:
        checksum = "sha256" if tee else None
        done = await mirror(here.url("/a"), there.url("/a"), Delivery(tee=tmp_path if tee else None), checksum=checksum)
    assert source.ranges["/a"] == [0, 1, 300_000, 650_000]
    assert done.reopened == (1, 300_000, 650_000)
    assert [asked.body for asked in sink.asked] == [BODY]
    if tee:
        assert done.digests == (("sha256", hashlib.sha256(BODY).digest()),)


async def test_a_source_that_has_changed_is_sent_anew() -> None:
    """The upload that had begun is broken off: octets of two representations are never joined."""
    source, sink, newer = Cutting({"/a": BODY}, {"/a": [300_000]}), Sink(), BODY[::-1]

    def change(target: str) -> None:
        source.bodies[target], source.etags[target] = newer, '"two"'

    source.on_cut = change
    async with raw_server(source.script) as here, raw_server(sink.script) as there:
        await mirror(here.url("/a"), there.url("/a"))
    assert [asked.body for asked in sink.asked] == [newer]
    assert source.ranges["/a"] == [0, 0, 0]


async def test_a_source_without_validator_is_sent_anew() -> None:
    """It cannot be told that the rest would be of the same."""
    cut = iter([300_000, len(BODY)])

    async def script(conn: RawConnection) -> None:
        asked = await conn.read_request()
        assert "Range" not in asked.fields
        whole = response(body=BODY)
        await conn.send(whole[: len(whole) - len(BODY) + next(cut)])

    sink = Sink()
    async with raw_server(script) as here, raw_server(sink.script) as there:
        await mirror(here.url("/a"), there.url("/a"))
    assert [asked.body for asked in sink.asked] == [BODY]


async def test_a_source_that_always_drops_is_given_up() -> None:
    source, sink = Cutting({"/a": BODY}, {"/a": [7] * 20}), Sink()
    async with raw_server(source.script) as here, raw_server(sink.script) as there:
        with pytest.raises(MirrorError) as caught:
            await mirror(here.url("/a"), there.url("/a"), retries=3)
    assert caught.value.failure.failure_class is FailureClass.TRUNCATED
    assert not caught.value.failure.of_sink
    assert not sink.objects
    assert len(source.ranges["/a"]) == 4


@pytest.mark.parametrize("status", [401, 413, 507])
async def test_an_early_refusal_is_told_as_it_is(status: int) -> None:
    """Not as a broken pipe."""

    async def refuse(conn: RawConnection) -> None:
        await conn.read_request(body=False)
        await conn.send(response(status, b"no", reason="No"))
        await conn.read_eof()

    async with raw_server(serve(bytes(1 << 24))) as here, raw_server(refuse) as there:
        with pytest.raises(MirrorError, match=f"the destination: status {status} No") as caught:
            await mirror(here.url(), there.url(), retries=0)
    assert (caught.value.failure.status, caught.value.failure.of_sink) == (status, True)


async def test_a_destination_that_drops_gets_the_whole_again() -> None:
    dropped: list[int] = []
    sink = Sink()

    async def script(conn: RawConnection) -> None:
        if len(dropped) < 2:
            dropped.append(1)
            await conn.read_request(body=False)
            conn.reset()
        else:
            await sink.script(conn)

    async with raw_server(serve()) as here, raw_server(script) as there:
        await mirror(here.url(), there.url("/a"))
    assert sink.objects == {"/a": BODY}


async def test_an_answer_before_the_whole_was_taken_is_no_success() -> None:
    async def script(conn: RawConnection) -> None:
        await conn.read_request(body=False)
        await conn.send(response(201))
        await conn.read_eof()

    async with raw_server(serve(bytes(1 << 25))) as here, raw_server(script) as there:
        with pytest.raises(MirrorError, match="answered 201 when it had") as caught:
            await mirror(here.url(), there.url(), retries=0)
    assert caught.value.failure.of_sink


async def test_a_redirection_of_the_destination_is_not_followed() -> None:
    sink = Sink(lambda _: response(307, fields=[("Location", "/b")]))
    async with raw_server(serve()) as here, raw_server(sink.script) as there:
        with pytest.raises(MirrorError, match="status 307") as caught:
            await mirror(here.url(), there.url("/a"))
    assert caught.value.failure.failure_class is FailureClass.REDIRECT


async def test_cancelling_leaves_nothing(tmp_path: Path) -> None:
    """No copy under its name, none beside it."""

    async def never(conn: RawConnection) -> None:
        await conn.read_request(body=False)
        await conn.read_eof()

    source = Cutting({"/a": bytes(1 << 24)}, {})
    async with raw_server(source.script) as here, raw_server(never) as there:
        task = asyncio.create_task(mirror(here.url("/a"), there.url("/a"), Delivery(tee=tmp_path)))
        await there.until(lambda: bool(there.requests))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "wrong",
    [
        {"method": "PATCH"},
        {"field": "f"},
        {"skip_same": "size"},
        {"method": "POST", "mkcol": True},
    ],
)
def test_what_cannot_be_delivered_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        Delivery(**wrong)


# Runs.


async def mirror_lines(folder: Path, lines: list[str], to: str, delivery: Delivery | None = None, **run: Any) -> Ran:
    """Mirror the items of *lines*, and hold the run to its account."""
    manifest = folder / "manifest.txt"
    manifest.write_text("".join(f"{line}\n" for line in lines))
    settings = MirrorSettings(
        run=RunSettings(manifest=str(manifest), output=folder / "mirror", **run), to=to, delivery=delivery or Delivery()
    )
    ran = Ran()
    ran.summary = await MirrorJob(settings, ran.listen).execute()
    ran.check()
    return ran


def site(here: RawServer, count: int) -> list[str]:
    """URLs of *here*."""
    return [here.url(f"/dir/{number}.bin") for number in range(count)]


async def test_a_run_delivers_every_item_once(tmp_path: Path) -> None:
    """And the next one nothing; what has another destination is sent there."""
    sink = Sink()
    async with raw_server(serve(b"content")) as here, raw_server(sink.script) as there:
        lines, to = site(here, 30), there.url("/in/{path}")
        ran = await mirror_lines(tmp_path, lines, to)
        assert (ran.summary.done, ran.summary.bytes) == (30, 30 * len(b"content"))
        assert sorted(sink.objects) == sorted(f"/in/dir/{number}.bin" for number in range(30))
        ran = await mirror_lines(tmp_path, [*lines, here.url("/new")], to)
        assert ran.summary.skip_reasons == {"done": 30}
        assert len(sink.asked) == 31
        with pytest.raises(SettingsError, match="was begun with"):
            await mirror_lines(tmp_path, lines, there.url("/other/{path}"))


async def test_two_items_for_one_destination_collide(tmp_path: Path) -> None:
    sink = Sink()
    async with raw_server(serve(b"content")) as here, raw_server(sink.script) as there:
        ran = await mirror_lines(tmp_path, [here.url("/a/x"), here.url("/b/x")], there.url("/{basename}"))
    assert sorted(ran.results.values()) == ["done", "failed: policy"]
    assert len(sink.asked) == 1


async def test_a_line_without_destination_is_invalid(tmp_path: Path) -> None:
    async with raw_server(serve(b"content")) as here, raw_server(Sink().script) as there:
        ran = await mirror_lines(tmp_path, [here.url("/%2e%2e/x")], there.url("/in/{path}"))
    assert ran.results == {1: "invalid: invalid"}


async def test_what_was_there_already_counts_as_skipped_and_is_not_asked_again(tmp_path: Path) -> None:
    sink = Sink()
    sink.objects["/a"] = b"old"
    async with raw_server(serve(b"content")) as here, raw_server(sink.script) as there:
        for expected in ("skipped: present", "skipped: done"):
            ran = await mirror_lines(tmp_path, [here.url("/a")], there.url("/{path}"), Delivery(if_absent=True))
            assert ran.results == {1: expected}
    assert len(sink.asked) == 1


async def test_failures_of_the_destination_have_their_classes_and_their_retries(tmp_path: Path) -> None:
    tries: dict[str, int] = defaultdict(int)

    def refuse(asked: Request) -> bytes | None:
        tries[asked.target] += 1
        if asked.target == "/forbidden":
            return response(403)
        return response(500) if asked.target == "/broken" or tries[asked.target] == 1 else None

    async with raw_server(serve(b"content")) as here, raw_server(Sink(refuse).script) as there:
        lines = [here.url(path) for path in ("/forbidden", "/broken", "/shaky")]
        ran = await mirror_lines(tmp_path, lines, there.url("/{path}"), retries=2)
    assert ran.results == {1: "failed: http-4xx", 2: "failed: http-5xx", 3: "done"}
    assert tries == {"/forbidden": 1, "/broken": 3, "/shaky": 2}
    assert all(outcome.failure.of_sink for outcome in ran.outcomes if outcome.failure is not None)


async def test_a_destination_that_asks_for_less_is_left_alone_and_costs_no_tries(tmp_path: Path) -> None:
    """429 and 503 with Retry-After: everything waits for that, and is delivered then."""
    answered: list[float] = []
    loop = asyncio.get_running_loop()

    def refuse(asked: Request) -> bytes | None:
        answered.append(loop.time())
        return response(503, fields=[("Retry-After", "1")]) if len(answered) == 1 else None

    sink = Sink(refuse)
    async with raw_server(serve(b"content")) as here, raw_server(sink.script) as there:
        ran = await mirror_lines(tmp_path, site(here, 5), there.url("/{path}"), retries=0, per_host=1)
    assert ran.summary.done == 5
    assert answered[1] - answered[0] >= 1.0


async def test_a_dead_destination_does_not_hold_up_another(tmp_path: Path) -> None:
    sink = Sink()
    async with raw_server(serve(b"content")) as here, raw_server(sink.script) as there:
        lines = [here.url(f"/{number}/{host}") for number in range(5) for host in ("[::1]", "127.0.0.1")]
        ran = await mirror_lines(tmp_path, lines, f"http://{{basename}}:{there.port}/{{dir}}")
    assert ran.summary.done == 5
    assert ran.summary.failures == {FailureClass.CONNECT: 5}
    assert len(sink.objects) == 5


async def test_another_source_of_an_item_takes_its_turn(tmp_path: Path) -> None:
    """After one that fails for good; where the destination fails no other source is asked."""
    sink = Sink(lambda asked: response(403) if asked.target.endswith("/refused") else None)
    gone = reply_with(response(404))
    async with raw_server(gone) as first, raw_server(serve(b"content")) as second, raw_server(sink.script) as there:
        lines = [f"{first.url('/a')}\t{second.url('/a')}", f"{second.url('/refused')}\t{second.url('/b')}"]
        ran = await mirror_lines(tmp_path, lines, there.url("/in/{path}"), format="aria2")
    assert ran.results == {1: "done", 2: "failed: http-4xx"}
    assert sink.objects == {"/in/a": b"content"}
    assert sorted(asked.target for asked in second.requests) == ["/a", "/refused"]


async def test_bandwidth_paces_the_bodies(tmp_path: Path) -> None:
    """Over all uploads together."""
    sink = Sink()
    async with raw_server(serve(bytes(200_000))) as here, raw_server(sink.script) as there:
        ran = await mirror_lines(tmp_path, site(here, 4), there.url("/{path}"), limits=Limits(bandwidth=1_000_000))
    assert ran.summary.done == 4
    assert ran.summary.seconds >= 0.6


async def test_uploads_to_one_host_are_bounded(tmp_path: Path) -> None:
    active, most = 0, 0

    async def script(conn: RawConnection) -> None:
        nonlocal active, most
        async for _ in conn:
            active += 1
            most = max(most, active)
            await asyncio.sleep(0.01)
            active -= 1
            await conn.send(response(201))

    async with raw_server(serve(b"content")) as here, raw_server(script) as there:
        manifest = tmp_path / "manifest.txt"
        manifest.write_text("\n".join(site(here, 20)))
        run = RunSettings(manifest=str(manifest), output=tmp_path / "out", per_host=8)
        summary = await MirrorJob(MirrorSettings(run=run, to=there.url("/{path}"), per_host=2)).execute()
    assert summary.done == 20
    assert most == 2


@pytest.mark.slow
async def test_a_source_cut_at_random_delivers_every_object_right(tmp_path: Path) -> None:
    """50 items, 20 of them cut; each Range begins where the octets of the upload ended, and nothing is sent twice."""
    rng = random.Random(11)
    bodies = {f"/{number}": rng.randbytes(rng.randrange(1, 300_000)) for number in range(50)}
    cuts = {target: [rng.randrange(len(bodies[target]))] for target in rng.sample(sorted(bodies), 20)}
    expected = {target: list(places) for target, places in cuts.items()}
    source, sink = Cutting(bodies, cuts), Sink()
    async with raw_server(source.script) as here, raw_server(sink.script) as there:
        ran = await mirror_lines(tmp_path, [here.url(target) for target in bodies], there.url("/{path}"))
    assert ran.summary.done == 50
    assert sink.objects == bodies
    assert len(sink.asked) == 50
    for target in bodies:
        # A connection that ends before the first octet of content ends after the head: the rest is the whole.
        assert source.ranges[target] == [0, *expected.get(target, [])]


async def test_a_stopped_run_goes_on(tmp_path: Path) -> None:
    """What was delivered is not sent again."""
    sink = Sink()

    async def script(conn: RawConnection) -> None:
        await asyncio.sleep(0.02)
        sink.asked.append(await conn.read_request())
        await conn.send(response(201))

    async with raw_server(serve(b"content")) as here, raw_server(script) as there:
        manifest = tmp_path / "manifest.txt"
        manifest.write_text("\n".join(site(here, 60)))
        run = RunSettings(manifest=str(manifest), output=tmp_path / "mirror", concurrency=4)
        settings = MirrorSettings(run=run, to=there.url("/{path}"))
        ran = Ran()
        job = MirrorJob(settings, ran.listen)
        ran.then = lambda _: job.stop() if sum(o.result is Result.DONE for o in ran.outcomes) >= 10 else None
        first = await job.execute()
        assert first.left
        finished = {outcome.item.url.rpartition("/")[2] for outcome in ran.outcomes}
        second = await MirrorJob(settings).execute()
    assert (len(finished), first.done + second.done) == (first.done, 60)
    sent = Counter(asked.target.rpartition("/")[2] for asked in sink.asked)
    assert {sent[name] for name in finished} == {1}


async def test_a_destination_that_is_slow_keeps_no_other_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though all come from one source, whose slots those for the slow one would hold."""
    monkeypatch.setattr(destinations, "PATIENCE_S", 0.05)
    is_free, quick_are_done, asked_for = asyncio.Event(), asyncio.Event(), Counter[str]()

    async def script(conn: RawConnection) -> None:  # of a proxy, which both destinations are behind
        async for asked in conn:
            host = asked.fields["Host"]
            asked_for[host] += 1
            if host == "slow.example":
                await is_free.wait()
            await conn.send(response(201))
            if asked_for["quick.example"] == 4:
                quick_are_done.set()

    async with raw_server(reply_with(response(body=b"x"))) as here, raw_server(script) as proxy:
        urls = [here.url(f"/{name}?{number}") for number, name in enumerate(["slow"] * 6 + ["quick"] * 4)]
        (tmp_path / "m").write_text("".join(f"{url}\n" for url in urls))
        run = RunSettings(manifest=str(tmp_path / "m"), output=tmp_path / "mirror", per_host=2)
        delivery = Delivery(proxy=proxy.url(""))
        settings = MirrorSettings(run=run, to="http://{path}.example/{query}", per_host=1, delivery=delivery)
        ran = Ran()
        mirroring = asyncio.create_task(MirrorJob(settings, ran.listen).execute())
        await quick_are_done.wait()
        assert asked_for["slow.example"] == 1
        is_free.set()
        ran.summary = await mirroring
    ran.check()
    assert (ran.summary.done, asked_for["slow.example"]) == (10, 6)
