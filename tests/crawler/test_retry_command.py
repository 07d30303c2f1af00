"""``cli/retry_command.py``: what failed again, by its class, as the manifest had it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from fetchd.crawler.cli.app import main
from fetchd.crawler.cli.exit_codes import ExitCode
from fetchd.jobs.checksums import spelled
from fetchd.jobs.extras import Extras
from fetchd.jobs.ledger import Ledger, LedgerReader, Row, State
from fetchd.jobs.retrying import FailedItems, details_of, extras_of
from tests.crawler.command import fetchd
from tests.support.raw_server import response
from tests.support.runs import files_below
from tests.support.sites import Site

pytestmark = pytest.mark.usefixtures("no_leaked_fds")

QUICK = ("--retries", "0", "--no-progress")


def urls(tmp_path: Path, *lines: str) -> Path:
    """A manifest of *lines*."""
    path = tmp_path / "urls.txt"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


async def test_what_failed_is_fetched_and_nothing_else(tmp_path: Path) -> None:
    """The manifest is gone; the ledger knows what to do, and a second time there is nothing to do."""
    site = Site({"/a": response(200, b"a"), "/b": [response(404), response(200, b"b")]})
    async with site.serve() as server:
        listed = urls(tmp_path, server.url("/a"), server.url("/b"))
        ran = await fetchd("run", listed, "-o", tmp_path / "out", *QUICK)
        assert ran.code == ExitCode.SOME_FAILED
        assert ran.lines[-1] == f"to try again what failed: fetchd retry {tmp_path / 'out'}"
        listed.unlink()
        ran = await fetchd("retry", tmp_path / "out", *QUICK)
        assert (ran.code, ran.lines[0]) == (0, "1 item read = 1 done")
        ran = await fetchd("retry", tmp_path / "out", *QUICK)
    assert (ran.code, ran.lines) == (0, [f"nothing of {tmp_path / 'out'} failed"])
    assert site.asked == {"/a": 1, "/b": 2}
    assert sorted(files_below(tmp_path / "out").values()) == [b"a", b"b"]
    with LedgerReader.open_readonly(tmp_path / "out") as reader:
        assert reader.counts()[State.DONE] == 2
        run = reader.last_run()
        assert run is not None
        assert run.manifest == "what failed"


async def test_only_the_classes_that_are_named(tmp_path: Path) -> None:
    """The others stay failed, and are no items of this run."""
    site = Site({"/a": [response(404), response(200, b"a")], "/b": [response(500), response(200, b"b")]})
    async with site.serve() as server:
        listed = urls(tmp_path, server.url("/a"), server.url("/b"))
        await fetchd("run", listed, "-o", tmp_path / "out", *QUICK)
        ran = await fetchd("retry", tmp_path / "out", "--class", "http-5xx", "--class", "dns", *QUICK)
        assert (ran.code, ran.lines[0]) == (0, "1 item read = 1 done")
        ran = await fetchd("retry", tmp_path / "out", "--class", "http-5xx", *QUICK)
        assert ran.lines == [f"nothing of {tmp_path / 'out'} failed as http-5xx"]
    assert site.asked == {"/a": 1, "/b": 2}


async def test_an_item_keeps_the_place_it_had(tmp_path: Path) -> None:
    """By whatever template and number: it is the same row, and the file is where the manifest's run would put it."""
    site = Site({"/a/x": response(200, b"a"), "/b/x": [response(404), response(200, b"b")]})
    names = ("--name", "{row:3}-{basename}")
    async with site.serve() as server:
        listed = urls(tmp_path, server.url("/a/x"), server.url("/b/x"))
        await fetchd("run", listed, "-o", tmp_path / "out", *names, *QUICK)
        ran = await fetchd("retry", tmp_path / "out", *QUICK)
        assert ran.code == 0
        ran = await fetchd("run", listed, "-o", tmp_path / "out", *names, *QUICK)
    assert ran.lines[0] == "2 items read = 0 done + 2 skipped (2 done before)"
    assert files_below(tmp_path / "out") == {"001-x": b"a", "002-x": b"b"}


async def test_what_the_manifest_said_of_an_item_counts_again(tmp_path: Path) -> None:
    """Its size and its digests are held to the content; what may be secret was never kept."""
    good = spelled(("sha256", hashlib.sha256(b"good").digest()))
    extras = Extras(size=4, digests=(("sha256", bytes.fromhex(good[7:])),), headers=(("Authorization", "secret"),))
    async with Site({"/x": [response(200, b"evil"), response(200, b"good")]}).serve() as server:
        with Ledger.open(tmp_path, template="{host}/{path}", derive=lambda _: "") as ledger:
            ledger.begin_run("list.csv", 1000.0)
            row = Row(server.url("/x"), "given/x", State.FAILED, derived=False, line=7, failure_class="http-5xx")
            row.details = details_of(extras)
            ledger.commit([row])
        ran = await fetchd("retry", tmp_path, *QUICK)
        assert ran.lines[2].startswith("1 checksum, such as http")
        ran = await fetchd("retry", tmp_path, *QUICK)
    assert ran.code == 0
    assert files_below(tmp_path) == {"given/x": b"good"}
    assert b"secret" not in (tmp_path / ".fetchd" / "ledger.sqlite3").read_bytes()


def test_extras_come_back_but_for_what_may_be_secret() -> None:
    """Fields of requests, and passwords of mirrors."""
    extras = Extras(
        method="POST",
        size=3,
        digests=(("md5", bytes(16)),),
        mirrors=("http://me:secret@m/x",),
        priority=-2,
        headers=(("A", "b"),),
    )
    kept = extras_of(details_of(extras), "POST")
    assert kept is not None
    assert (kept.method, kept.size, kept.digests) == ("POST", 3, (("md5", bytes(16)),))
    assert (kept.mirrors, kept.priority, kept.headers) == (("http://m/x",), -2, ())
    assert details_of(Extras()) is None
    assert extras_of(None) is None
    assert extras_of(None, "POST") is not None


async def test_batches_are_bounded_and_all_rows_come(tmp_path: Path) -> None:
    """However many there are."""
    with Ledger.open(tmp_path, template="{host}/{path}", derive=lambda url: url[7:]) as ledger:
        ledger.begin_run("list.txt", 1000.0)
        ledger.commit([Row(f"http://h/{n}", f"h/{n}", State.FAILED, failure_class="dns") for n in range(1200)])
    async with FailedItems(tmp_path, ()) as source:
        sizes = [len(batch) async for batch in source]
    assert sizes == [512, 512, 176]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--class", "nothing"], "--class is 'nothing'; expected one of dns, connect, "),
        (["--retries", "x"], "--retries is 'x'; expected a whole number"),
        ([], "cannot use ledger "),
    ],
)
def test_a_mistake_is_one_line_and_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    """Before anything is asked for."""
    if arguments:
        Ledger.open(tmp_path, template="{host}/{path}", derive=str).close()
    assert main(["retry", str(tmp_path), *arguments]) == ExitCode.USAGE
    assert capsys.readouterr().err.startswith(f"fetchd: {message}")
