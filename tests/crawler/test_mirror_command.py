"""``fetchd mirror``: the real command between two servers, killed, and told nonsense."""

from __future__ import annotations

import asyncio
import json
import random
import signal
from collections import Counter
from pathlib import Path

import pytest

from fetchd.crawler.cli.exit_codes import ExitCode
from fetchd.crawler.cli.mirror_options import DEFAULT_OUTPUT
from fetchd.jobs.ledger import LedgerReader, State
from tests.crawler.command import FETCHD, environment, fetchd
from tests.support.raw_server import RawConnection, Request, raw_server, response

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


class Sink:
    """A server that keeps what is put into it."""

    def __init__(self, delay: float = 0.0) -> None:
        self.asked: list[Request] = []
        self._delay = delay

    async def script(self, conn: RawConnection) -> None:
        """For ``raw_server``."""
        async for asked in conn:
            self.asked.append(asked)
            if self._delay:
                await asyncio.sleep(self._delay)
            await conn.send(response(201))


async def by_name(conn: RawConnection) -> None:
    """A source whose bodies are their own targets; ``/gone`` is none."""
    async for asked in conn:
        is_gone = asked.target == "/gone"
        await conn.send(response(404, reason="Not Found") if is_gone else response(body=asked.target.encode()))


def manifest(folder: Path, *urls: str) -> Path:
    """A manifest of *urls*."""
    path = folder / "list.txt"
    path.write_text("".join(f"{url}\n" for url in urls))
    return path


async def test_a_manifest_is_mirrored_and_accounted_for(tmp_path: Path) -> None:
    """The ledger in ``mirror``, nothing else; status reads it; again, and nothing is sent."""
    sink = Sink()
    async with raw_server(by_name) as here, raw_server(sink.script) as there:
        listed = manifest(tmp_path, here.url("/a/b"), here.url("/gone"), "nonsense")
        command = ("mirror", listed, "--to", there.url("/in/{host}/{path}"), "--no-progress")
        ran = await fetchd(*command, cwd=tmp_path)
        assert (ran.code, ran.out) == (ExitCode.SOME_FAILED, b"")
        assert ran.lines[0] == "3 items read = 1 done + 1 failed + 1 invalid"
        assert [(asked.target, asked.body) for asked in sink.asked] == [("/in/127.0.0.1/a/b", b"/a/b")]
        again = await fetchd(*command, cwd=tmp_path)
        assert again.lines[0] == "3 items read = 0 done + 1 skipped (1 done before) + 1 failed + 1 invalid"
        assert len(sink.asked) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["list.txt", DEFAULT_OUTPUT]
    assert [path.name for path in (tmp_path / DEFAULT_OUTPUT).iterdir()] == [".fetchd"]
    status = await fetchd("status", DEFAULT_OUTPUT, cwd=tmp_path)
    assert status.out.decode().startswith("mirror: 1 done, 1 failed")
    verified = await fetchd("verify", DEFAULT_OUTPUT, cwd=tmp_path)
    assert verified.code == ExitCode.USAGE
    assert "mirror is the ledger of a mirror" in verified.lines[0]
    report = await fetchd("report", DEFAULT_OUTPUT, cwd=tmp_path)
    paths = [json.loads(line)["path"] for line in report.out.splitlines()]
    assert there.url("/in/127.0.0.1/a/b") in paths


async def test_events_are_those_of_a_run(tmp_path: Path) -> None:
    async with raw_server(by_name) as here, raw_server(Sink().script) as there:
        listed = manifest(tmp_path, here.url("/a"))
        ran = await fetchd("mirror", listed, "--to", there.url("/{path}"), "--json", "-q", cwd=tmp_path)
    events = [json.loads(line) for line in ran.out.splitlines()]
    assert [event["event"] for event in events if event["event"] != "progress"] == ["started", "finished", "summary"]
    assert events[-1]["done"] == 1


async def test_a_dry_run_says_what_would_be_sent_where(tmp_path: Path) -> None:
    """And asks nobody."""
    listed = manifest(tmp_path, "http://user:secret@h/a?x", "nonsense", "http://h/%2e%2e/b")
    ran = await fetchd("mirror", listed, "--to", "http://d/{path}?{query}", "--dry-run", cwd=tmp_path)
    assert ran.out == b"http://h/a?x\thttp://d/a?x\n"
    assert ran.code == ExitCode.SOME_FAILED
    assert len(ran.lines) == 2
    assert not (tmp_path / DEFAULT_OUTPUT).exists()


async def test_a_destination_that_cannot_be_reached_is_an_unusable_network(tmp_path: Path) -> None:
    async with raw_server(by_name) as here:
        async with raw_server(by_name) as gone:
            to = gone.url("/{path}")
        listed = manifest(tmp_path, here.url("/a"))
        ran = await fetchd("mirror", listed, "--to", to, "--retries", "0", "--no-progress", cwd=tmp_path)
    assert ran.code == ExitCode.NETWORK_UNUSABLE
    assert any("the destination" in line for line in ran.lines)


async def test_settings_that_cannot_be_are_usage(tmp_path: Path) -> None:
    ran = await fetchd("mirror", "m", "--to", "nowhere/{path}", cwd=tmp_path)
    assert (ran.code, len(ran.lines)) == (ExitCode.USAGE, 1)
    ran = await fetchd("mirror", "gone.txt", "--to", "http://d/{path}", "--dry-run", cwd=tmp_path)
    assert ran.code == ExitCode.USAGE


async def kill_and_go_on(folder: Path, moments: list[float]) -> None:
    """Kill a mirror of 200 items at each of *moments*, then let it end: what the ledger called done was sent once."""
    sink = Sink(delay=0.01)
    async with raw_server(by_name) as here, raw_server(sink.script) as there:
        to = there.url("/{path}")
        listed = manifest(folder, *(here.url(f"/{number}") for number in range(200)))
        sent_before: Counter[str] = Counter()
        finished: set[str] = set()
        for moment in [*moments, None]:
            process = await asyncio.create_subprocess_exec(
                FETCHD, "mirror", listed, "--to", to, "-q", cwd=folder, env=environment()
            )
            if moment is not None:
                await asyncio.sleep(moment)
                if process.returncode is None:
                    process.send_signal(signal.SIGKILL)
            await process.wait()
            await there.until(lambda: there.open_connections == 0)
            sent = Counter(asked.target for asked in sink.asked)
            assert all(sent[target] == sent_before[target] for target in finished), "sent again"
            finished = done_in(folder)
            sent_before = sent
    assert len(finished) == 200
    assert {asked.target: asked.body for asked in sink.asked} == {target: target.encode() for target in finished}


def done_in(folder: Path) -> set[str]:
    """The targets that the ledger calls done."""
    path = folder / DEFAULT_OUTPUT
    if not (path / ".fetchd" / "ledger.sqlite3").exists() or not (path / ".fetchd" / "ledger.sqlite3").stat().st_size:
        return set()
    with LedgerReader.open_readonly(path) as ledger:
        return {"/" + row.url.rpartition("/")[2] for row in ledger.iterate(State.DONE)}


async def test_after_a_kill_what_was_finished_is_not_sent_again(tmp_path: Path) -> None:
    """At five moments, within the start of the process and the run."""
    rng = random.Random(3)
    await kill_and_go_on(tmp_path, [rng.uniform(0.3, 1.0) for _ in range(5)])


@pytest.mark.soak
@pytest.mark.timeout(300)
async def test_after_thirty_kills_what_was_finished_is_not_sent_again(tmp_path: Path) -> None:
    rng = random.Random(4)
    await kill_and_go_on(tmp_path, [rng.uniform(0.2, 0.9) for _ in range(30)])


MIB = 1 << 20
MEMORY_KIB = 64 * 1024  # what a mirror may take, whatever is mirrored


async def mirror_to_a_slow_sink(folder: Path, size: int, framing: str) -> int:
    """Mirror one body of *size* zeros to a sink that rests after every 8 MiB: the peak of the process in KiB."""
    taken = peak = 0

    async def source(conn: RawConnection) -> None:
        await conn.read_request()
        is_chunked = framing == "chunked"
        field = b"Transfer-Encoding: chunked" if is_chunked else b"Content-Length: %d" % size
        await conn.send(b"HTTP/1.1 200 OK\r\n" + field + b"\r\n\r\n")
        piece = b"100000\r\n" + bytes(MIB) + b"\r\n" if is_chunked else bytes(MIB)
        for _ in range(size // MIB):
            await conn.send(piece)
        await conn.send(b"0\r\n\r\n" if is_chunked else b"")

    async def sink(conn: RawConnection) -> None:
        nonlocal taken, peak
        await conn.read_request(body=False)
        rest_at, tail = 8 * MIB, b""
        while not tail.endswith(b"0\r\n\r\n") if framing == "chunked" else taken < size:
            data = await conn.receive()
            assert data, "the upload was broken off"
            taken, tail = taken + len(data), (tail + data)[-5:]
            if taken >= rest_at:
                rest_at += 8 * MIB
                await asyncio.sleep(0.03)
        # Not its ru_maxrss, which begins with that of the process it was forked from.
        status = Path(f"/proc/{process.pid}/status").read_text()
        peak = int(status.partition("VmHWM:")[2].split()[0])
        await conn.send(response(201))

    async with raw_server(source) as here, raw_server(sink) as there:
        process = await asyncio.create_subprocess_exec(
            FETCHD, "mirror", manifest(folder, here.url("/large")), "--to", there.url("/{path}"), "-q",
            cwd=folder, env=environment(),
        )  # fmt: skip
        assert await process.wait() == ExitCode.DONE
    assert taken >= size
    return peak


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_body_larger_than_the_memory_goes_to_a_slow_sink(framing: str, tmp_path: Path) -> None:
    """By splice, and through Python."""
    assert await mirror_to_a_slow_sink(tmp_path, 256 * MIB, framing) < MEMORY_KIB


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_body_of_5_gib_goes_to_a_slow_sink_in_the_same_memory(framing: str, tmp_path: Path) -> None:
    assert await mirror_to_a_slow_sink(tmp_path, 5 << 30, framing) < MEMORY_KIB
