"""``fetchd run``: the real command against servers, good and bad input, signals. And what it says of errors."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fetchd.crawler.cli.exit_codes import ExitCode
from fetchd.crawler.cli.run_command import code_of_error
from fetchd.jobs.exceptions import (
    JobError,
    LedgerError,
    LedgerLockedError,
    LocalFailureError,
    ManifestError,
    SettingsError,
)
from tests.crawler.command import FETCHD, Ran, environment, fetchd, running
from tests.support.certs import server_context, write_authority
from tests.support.raw_server import RawConnection, RawServer, Script, raw_server, reply_with, response

pytestmark = pytest.mark.slow

HELLO = response(body=b"hello")
QUICK = ("--retries", "0", "--no-progress")


def manifest(folder: Path, *urls: str) -> Path:
    """A manifest of *urls*."""
    path = folder / "list.txt"
    path.write_text("".join(f"{url}\n" for url in urls))
    return path


def tree(folder: Path) -> dict[str, bytes]:
    """The files below *folder*, its own folder left out, by path."""
    files = (path for path in folder.rglob("*") if path.is_file() and ".fetchd" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another process does to the disk, which tells nobody."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def by_path(**answers: bytes) -> Script:
    """A script that answers ``/name`` with the reply of that name, anything else with 404."""

    async def script(conn: RawConnection) -> None:
        async for request in conn:
            await conn.send(answers.get(request.target[1:], response(404, reason="Not Found")))

    return script


def host(server: RawServer) -> str:
    """The folder of what comes from *server*."""
    return f"127.0.0.1+{server.port}"


async def test_a_manifest_is_fetched_and_accounted_for(tmp_path: Path) -> None:
    """Files below the folder, the account on standard error, nothing on standard output, code 0."""
    async with raw_server(by_path(a=HELLO, b=response(body=b""))) as server:
        listed = manifest(tmp_path, server.url("/a"), "# a comment", "", server.url("/b"))
        ran = await fetchd("run", listed, "-o", tmp_path / "out")
    assert (ran.code, ran.out) == (ExitCode.DONE, b"")
    assert tree(tmp_path / "out") == {f"{host(server)}/a": b"hello", f"{host(server)}/b": b""}
    account, amounts = ran.lines
    assert account == "2 items read = 2 done"
    assert amounts.startswith("5 B in 0.")


async def test_the_default_folder_is_downloads_and_the_second_run_skips_what_is_done(tmp_path: Path) -> None:
    """The same command again asks for nothing."""
    async with raw_server(by_path(a=HELLO)) as server:
        manifest(tmp_path, server.url("/a"))
        await fetchd("run", "list.txt", cwd=tmp_path)
        ran = await fetchd("run", "list.txt", cwd=tmp_path)
        assert len(server.requests) == 1
    assert ran.lines[0] == "1 item read = 0 done + 1 skipped (1 done before)"
    assert ran.code == ExitCode.DONE
    assert tree(tmp_path / "downloads") == {f"{host(server)}/a": b"hello"}


async def test_what_failed_is_named_by_class_with_an_example_and_the_next_step(tmp_path: Path) -> None:
    """Code 1. The lines that are no URL are counted apart."""
    async with raw_server(by_path(a=HELLO)) as server:
        listed = manifest(tmp_path, server.url("/a"), server.url("/b"), server.url("/c"), "ftp://h/d")
        ran = await fetchd("run", listed, "-o", tmp_path / "out", *QUICK)
        again = await fetchd("run", listed, "-o", tmp_path / "out", *QUICK)
        assert len(server.requests) == 5
    assert ran.code == again.code == ExitCode.SOME_FAILED
    assert ran.lines[0] == "4 items read = 1 done + 2 failed + 1 invalid"
    assert ran.lines[2].startswith("2 http-4xx, such as http://127.0.0.1:")
    assert ran.lines[2].endswith("): status 404 Not Found")
    assert ran.lines[3:] == [
        "1 invalid, such as ftp://h/d (line 4): unknown scheme 'ftp'; expected http or https",
        f"to try again what failed: fetchd retry {tmp_path / 'out'}",
    ]


async def test_verbose_names_each_failure_and_quiet_says_nothing(tmp_path: Path) -> None:
    """The exit code is the same."""
    async with raw_server(by_path()) as server:
        listed = manifest(tmp_path, server.url("/a"), server.url("/b"))
        verbose = await fetchd("run", listed, "-o", tmp_path / "1", "-v", *QUICK)
        quiet = await fetchd("run", listed, "-o", tmp_path / "2", "-q", *QUICK)
    assert verbose.code == quiet.code == ExitCode.SOME_FAILED
    named = sorted(line for line in verbose.lines if line.startswith("http-4xx: "))
    assert named == [
        f"http-4xx: {server.url('/a')} (line 1): status 404 Not Found",
        f"http-4xx: {server.url('/b')} (line 2): status 404 Not Found",
    ]
    assert (quiet.out, quiet.err) == (b"", "")


async def test_events_are_json_lines_on_standard_output(tmp_path: Path) -> None:
    """Also of the host that asked for a pause; the password of a URL is in none of them, nor in anything else."""
    busy = response(503, fields=[("Retry-After", "0")], reason="Busy")
    async with raw_server(reply_with(busy, HELLO)) as server:
        url = server.url("/a").replace("http://", "http://user:secret@")
        listed = manifest(tmp_path, url, "nonsense")
        ran = await fetchd("run", listed, "-o", tmp_path / "out", "--json", "--no-progress")
    events: list[dict[str, Any]] = [json.loads(line) for line in ran.out.splitlines()]
    kinds = [event["event"] for event in events if event["event"] != "progress"]
    assert kinds[-1] == "summary"
    assert sorted(kinds) == ["finished", "finished", "host", "retried", "started", "started", "summary"]
    assert {event["url"] for event in events if "url" in event} == {server.url("/a"), "nonsense"}
    [retried] = [event for event in events if event["event"] == "retried"]
    assert (retried["status"], retried["class"]) == (503, "http-5xx")
    assert [event["attempt"] for event in events if event["event"] == "started"] == [1, 2]
    [host] = [event for event in events if event["event"] == "host"]
    assert (host["host"], host["standing"]) == (server.url("/").split("/")[2], "waits")
    assert host["wait"] > 0.0  # Retry-After: 0 asks for no pause, yet a host that is busy is given one
    assert events[-1]["read"] == 2
    assert b"secret" not in ran.out
    assert "secret" not in ran.err
    assert ran.code == ExitCode.SOME_FAILED


async def test_a_reader_of_events_that_leaves_does_not_end_the_run(tmp_path: Path) -> None:
    """SIGPIPE is no error: the files come, the code tells of them."""
    async with raw_server(reply_with(HELLO)) as server:
        listed = manifest(tmp_path, *(server.url(f"/{number}") for number in range(300)))
        process = await asyncio.create_subprocess_shell(
            f'"$FETCHD" run {listed} -o {tmp_path / "out"} --json --no-progress | head -1; exit ${{PIPESTATUS[0]}}',
            executable="/bin/bash",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment(FETCHD=str(FETCHD)),
        )
        out, err = await process.communicate()
    assert json.loads(out)["event"] == "started"
    assert b"300 items read = 300 done" in err
    assert b"Error" not in err
    assert process.returncode == 0
    assert len(tree(tmp_path / "out")) == 300


async def test_fields_user_agent_and_identity_are_sent(tmp_path: Path) -> None:
    """Fields from the command line and from a file."""
    (tmp_path / "secret").write_text("Authorization: Bearer x\n")
    async with raw_server(reply_with(HELLO)) as server:
        listed = manifest(tmp_path, server.url("/a"))
        options = ["--header", "X-A: 1", "--header", f"@{tmp_path / 'secret'}", "--user-agent", "me/1"]
        ran = await fetchd("run", listed, "-o", tmp_path / "out", *options)
        assert ran.code == 0
        fields = server.requests[0].fields
    assert (fields["X-A"], fields["Authorization"]) == ("1", "Bearer x")
    assert (fields["User-Agent"], fields.getall("Accept-Encoding")) == ("me/1", ["identity"])


async def test_a_unix_socket_is_connected_to_whatever_the_host(tmp_path: Path) -> None:
    """``--unix-socket``."""
    path = tmp_path / "socket"
    async with raw_server(reply_with(HELLO), unix=path):
        listed = manifest(tmp_path, "http://elsewhere.test/a")
        ran = await fetchd("run", listed, "-o", tmp_path / "out", "--unix-socket", path)
    assert ran.code == 0
    assert tree(tmp_path / "out") == {"elsewhere.test/a": b"hello"}


@pytest.mark.parametrize(("options", "code"), [([], 4), (["--insecure"], 0), (["--cacert", "authority.pem"], 0)])
async def test_certificates_are_verified_unless_told_otherwise(tmp_path: Path, options: list[str], code: int) -> None:
    """Against the system's roots, or the file that was given. Nothing but TLS failures: the network is unusable."""
    write_authority(tmp_path)
    async with raw_server(reply_with(HELLO), tls=server_context()) as server:
        listed = manifest(tmp_path, server.url("/a"))
        ran = await fetchd("run", listed, "-o", tmp_path / "out", *options, *QUICK, cwd=tmp_path)
    assert ran.code == code
    assert ("nothing could be reached" in ran.err) == bool(code)


async def test_names_that_collide_obey_the_option(tmp_path: Path) -> None:
    """``/`` and ``/index.html`` are one file; the later one fails, is skipped, or is numbered."""
    outcomes = {}
    async with raw_server(reply_with(HELLO)) as server:
        listed = manifest(tmp_path, server.url("/"), server.url("/index.html"))
        for choice in ("error", "skip", "number"):
            ran = await fetchd("run", listed, "-o", tmp_path / choice, "--on-collision", choice, *QUICK)
            outcomes[choice] = (ran.code, ran.lines[0], len(tree(tmp_path / choice)))
    assert outcomes == {
        "error": (1, "2 items read = 1 done + 1 failed", 1),
        "skip": (0, "2 items read = 1 done + 1 skipped (1 name taken)", 1),
        "number": (0, "2 items read = 2 done", 2),
    }


async def test_the_summary_counts_octets_of_attempts_that_broke_off(tmp_path: Path) -> None:
    """What came before a body broke off is gone on from, and has been received once."""
    body = bytes(300_000)

    async def script(conn: RawConnection) -> None:
        request = await conn.read_request()
        start = int(request.fields.get("Range", "bytes=0-")[6:-1])
        fields = [("ETag", '"x"'), ("Content-Range", f"bytes {start}-299999/300000")]
        await conn.send(response(206, body[start:], fields) if start else response(200, body, fields[:1])[:-100_000])

    async with raw_server(script) as server:
        listed = manifest(tmp_path, server.url("/a"))
        ran = await fetchd("run", listed, "-o", tmp_path / "out", "--json", "--no-progress")
    assert json.loads(ran.out.splitlines()[-1])["bytes"] == len(body)
    assert tree(tmp_path / "out") == {f"{host(server)}/a": body}


# Bad input: one or two lines, the right code, nothing lost.


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (None, ExitCode.USAGE, "cannot read manifest list.txt: no such file or directory"),
        ("", ExitCode.USAGE, "no items in list.txt; expected a URL a line"),
        ("# nothing\n\n", ExitCode.USAGE, "no items in list.txt; expected a URL a line"),
        (
            "one\ntwo\n",
            ExitCode.SOME_FAILED,
            "no line of list.txt is a URL; expected http://host/... or https://host/..., one a line",
        ),
    ],
)
async def test_a_manifest_that_gives_nothing_to_do_is_told(
    tmp_path: Path, content: str | None, code: ExitCode, message: str
) -> None:
    """Unreadable, empty, or without a single URL."""
    if content is not None:
        (tmp_path / "list.txt").write_text(content)
    ran = await fetchd("run", "list.txt", cwd=tmp_path)
    assert ran.code == code
    assert ran.lines[-1] == message
    assert ran.out == b""


async def test_a_folder_or_a_url_in_the_place_of_a_manifest_is_told(tmp_path: Path) -> None:
    """Both happen; a URL is a manifest too, and for a single file there is another command."""
    ran = await fetchd("run", tmp_path, cwd=tmp_path)
    assert (ran.code, ran.lines) == (2, [f"cannot read manifest {tmp_path}: it is a folder; expected a file"])
    async with raw_server(by_path()) as server:
        ran = await fetchd("run", server.url("/a"), cwd=tmp_path)
    assert ran.code == ExitCode.USAGE
    assert ran.lines[0].endswith("/a: status 404 Not Found; for a single URL: fetchd get URL")
    assert os.listdir(tmp_path) == []


async def test_an_empty_standard_input_is_an_empty_manifest() -> None:
    """It is called by its name."""
    ran = await fetchd("run", "-", "-q", "-o", "/dev/null/x", stdin=b"")
    assert ran.code == ExitCode.USAGE


async def test_an_output_that_is_a_file_is_told(tmp_path: Path) -> None:
    """Code 2: another name is to be chosen."""
    listed = manifest(tmp_path, "http://127.0.0.1:1/")
    ran = await fetchd("run", listed, "-o", listed)
    assert (ran.code, ran.lines) == (2, [f"{listed} is no folder; expected one, or a name that is free"])


async def test_a_folder_that_may_not_be_made_is_a_local_failure() -> None:
    """Code 3, and what to do. In /sys not even root makes one."""
    ran = await fetchd("run", "-", "-o", "/sys/fetchd", stdin=b"http://127.0.0.1:1/\n")
    assert ran.code == ExitCode.LOCAL_FAILURE
    [line] = ran.lines
    assert line.startswith("cannot write /sys/fetchd: ")
    assert line.endswith("; mend that and run the same command again")


def _little_room() -> None:
    # Python ignores SIGXFSZ, so a write beyond the limit fails with EFBIG: as a full disk, for this process alone.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))


async def test_a_disk_that_fills_up_ends_the_run_in_order(tmp_path: Path) -> None:
    """Code 3, what is done stays done, nothing half-named; with room it goes on."""
    async with raw_server(by_path(small=HELLO, large=response(body=bytes(3 << 20)))) as server:
        listed = manifest(tmp_path, server.url("/small"), server.url("/large"))
        options = ("run", listed, "-o", tmp_path / "out", "-j", "1", *QUICK)
        ran = await fetchd(*options, limits=_little_room)
        assert ran.code == ExitCode.LOCAL_FAILURE
        assert ran.lines[0] == "2 items read = 1 done + 1 left"
        assert ran.lines[-1].startswith(f"cannot write {tmp_path / 'out'}/{host(server)}/large")
        assert ran.lines[-1].endswith("; mend that and run the same command again: it goes on from here")
        assert f"{host(server)}/large" not in tree(tmp_path / "out")
        again = await fetchd(*options)
    assert (again.code, again.lines[0]) == (0, "2 items read = 1 done + 1 skipped (1 done before)")
    assert len(tree(tmp_path / "out")[f"{host(server)}/large"]) == 3 << 20


async def test_a_second_run_on_the_folder_is_refused(tmp_path: Path) -> None:
    """It names the process; the first goes on. Status can be asked meanwhile."""
    go_on = asyncio.Event()

    async def script(conn: RawConnection) -> None:
        await conn.read_request()
        await go_on.wait()
        await conn.send(HELLO)

    async with raw_server(script) as server:
        listed = manifest(tmp_path, server.url("/a"))
        async with running("run", listed, "-o", tmp_path / "out") as first:
            await server.until(lambda: len(server.requests) == 1)
            second = await fetchd("run", listed, "-o", tmp_path / "out")
            status = await fetchd("status", tmp_path / "out")
            go_on.set()
            ended = await first.end()
    assert second.code == ExitCode.USAGE
    [line] = second.lines
    assert line.startswith(f"cannot use ledger {tmp_path / 'out'}/.fetchd: another run (process ")
    assert status.code == 0
    assert b"at work as process " in status.out
    assert ended.code == 0


async def test_more_slots_than_open_files_is_told_before_the_run(tmp_path: Path) -> None:
    """With what would fit."""
    listed = manifest(tmp_path, "http://127.0.0.1:1/")
    ran = await fetchd(
        "run",
        listed,
        "-j",
        "5000",
        limits=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024)),
        cwd=tmp_path,
    )
    assert ran.code == ExitCode.USAGE
    assert ran.lines[0].startswith("--concurrency 5000 may need 25320 open files and the system allows 1024;")
    assert os.listdir(tmp_path) == ["list.txt"]


# Signals.


def _stalling(*, after: int = 100_000) -> Script:
    async def script(conn: RawConnection) -> None:
        async for request in conn:
            if request.target == "/quick":
                await conn.send(HELLO)
                continue
            await conn.send(response(body=bytes(2 << 20), fields=[("ETag", '"x"')])[:after])
            await conn.read_eof()

    return script


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.TERMINATED)]
)
async def test_the_first_signal_stops_in_order(tmp_path: Path, number: signal.Signals, code: ExitCode) -> None:
    """What is done is done, what is in flight stays as .part, what was not begun is left; it says how to go on."""
    async with raw_server(_stalling()) as server:
        listed = manifest(tmp_path, server.url("/quick"), *(server.url(f"/{name}") for name in "abcdef"))
        async with running("run", listed, "-o", tmp_path / "out", "-j", "3") as command:
            await server.until(lambda: len(server.requests) == 4)
            await until(lambda: sum(name.endswith(".part") for name in tree(tmp_path / "out")) == 3)
            command.kill(number)
            ran = await command.end()
    assert ran.code == code
    assert ran.lines[0] == "stopping, what is in flight is kept; once more to quit at once"
    assert ran.lines[1] == "7 items read = 1 done + 6 left"
    assert ran.lines[-1] == "stopped; run the same command again to go on"
    assert {Path(name).suffix for name in tree(tmp_path / "out")} == {"", ".part"}


async def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path) -> None:
    """From the middle of the body that was in flight."""
    async with raw_server(_stalling()) as server:
        listed = manifest(tmp_path, server.url("/a"))
        async with running("run", listed, "-o", tmp_path / "out") as command:
            await until(lambda: any(tree(tmp_path / "out").values()))
            command.kill(signal.SIGINT)
            await command.end()
        [part] = tree(tmp_path / "out").values()
        async with running("run", listed, "-o", tmp_path / "out"):
            await server.until(lambda: len(server.requests) == 2)
    assert server.requests[1].fields["Range"] == f"bytes={len(part)}-"
    assert server.requests[1].fields["If-Range"] == '"x"'


def test_the_second_signal_leaves_at_once(tmp_path: Path) -> None:
    """Even while the loop is held up: here by events that nobody reads, so that the first has no effect."""
    listed = manifest(tmp_path, *["nonsense"] * 2000)
    command: list[str | Path] = [FETCHD, "run", listed, "-o", tmp_path / "out", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as process:
        assert process.stdout is not None
        assert process.stdout.read(1) == b"{"
        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.2)
        process.send_signal(signal.SIGINT)
        assert process.wait() == ExitCode.INTERRUPTED


async def test_standard_input_is_read_as_it_comes_and_stops_by_signal(tmp_path: Path) -> None:
    """A line that is typed is fetched before the next; Ctrl-C ends the wait for more."""
    out = tmp_path / "out"
    async with raw_server(reply_with(HELLO)) as server, running("run", "-", "-o", out) as command:
        await command.say(f"{server.url('/a')}\n")
        await server.until(lambda: len(server.requests) == 1)
        await command.say(f"{server.url('/b')}\n")
        await until(lambda: len(tree(out)) == 2)
        command.kill(signal.SIGINT)
        ran = await command.end()
    assert ran.code == ExitCode.INTERRUPTED
    assert ran.lines[1] == "2 items read = 2 done; the rest of the manifest is unread"


async def test_progress_comes_in_lines_where_there_is_no_terminal(tmp_path: Path) -> None:
    """Every five seconds: so none in a run that is over sooner."""
    async with raw_server(reply_with(HELLO)) as server:
        ran = await fetchd("run", manifest(tmp_path, server.url("/a")), "-o", tmp_path / "out")
    assert len(ran.lines) == 2


async def test_the_ledger_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Mode 0600: it has URLs."""
    async with raw_server(reply_with(HELLO)) as server:
        await fetchd("run", manifest(tmp_path, server.url("/a")), "-o", tmp_path / "out")
    ledger = tmp_path / "out" / ".fetchd" / "ledger.sqlite3"
    assert stat.S_IMODE(ledger.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("error", "has_started", "code"),
    [
        (ManifestError("m", "gone"), False, ExitCode.USAGE),
        (ManifestError("m", "input/output error"), True, ExitCode.USAGE),
        (SettingsError("x"), False, ExitCode.USAGE),
        (LedgerError("l", "damaged"), False, ExitCode.USAGE),
        (LedgerLockedError("l", 1), False, ExitCode.USAGE),
        (LedgerError("l", "damaged"), True, ExitCode.LOCAL_FAILURE),
        (LocalFailureError("o", 28), False, ExitCode.LOCAL_FAILURE),
        (LocalFailureError("o", 28), True, ExitCode.LOCAL_FAILURE),
    ],
)
def test_an_error_in_the_place_of_a_summary_has_its_code(error: JobError, has_started: bool, code: ExitCode) -> None:
    """A ledger that fails once the run is under way is a failure of this machine."""
    assert code_of_error(error, has_started) is code


def test_what_a_test_expects_of_lines_is_checked() -> None:
    """A line that is not ours (a traceback) fails whatever test meets it."""
    with pytest.raises(AssertionError):
        _ = Ran(1, b"", "fetchd: fine\nTraceback (most recent call last):\n").lines
