"""What the pages for users say is so: snippets run, signatures and options are complete, links lead on."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from enum import Enum
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from examples.origin import File, Manner, Origin
from fetchd.client import (
    ClientSession,
    CookieJar,
    RequestOptions,
    TCPConnector,
    Timeout,
    UnixConnector,
    exceptions,
)
from fetchd.jobs.failures import FailureClass
from fetchd.jobs.manifests import FORMATS, BadLine
from fetchd.jobs.manifests.formats import format_of, manifest_lines
from tests.support.certs import server_context, write_authority
from tests.support.named_tests import is_test
from tests.support.raw_server import RawConnection, Request, raw_server, reply_with, response
from tests.support.reference import PLACE, reference

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
CLIENT = (ROOT / "docs" / "client.md").read_text()
FEATURES = (ROOT / "docs" / "features.md").read_text()
RUN = (ROOT / "docs" / "run.md").read_text()
MIRROR = (ROOT / "docs" / "mirror.md").read_text()

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def snippets(page: Path, url: str) -> Iterator[CodeType]:
    """Yield the Python of *page*, compiled to be awaited, with *url* in the place of the host it names."""
    text = page.read_text()
    for match in re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        line = text.count("\n", 0, match.start(1))
        source = match[1].replace("http://example.org", url).replace("asyncio.run(main())", "await main()")
        yield compile("\n" * line + source, str(page), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


async def serve_example(conn: RawConnection) -> None:
    """Be the host that the snippets ask."""
    async for request in conn:
        if request.target == "/slow":
            await conn.read_eof()
            return
        await conn.send(answer_to(request))


def answer_to(request: Request) -> bytes:
    """Return the reply to one request of a snippet."""
    path = request.target.partition("?")[0]
    if path == "/data.json":
        return response(200, b'{"a": 1}', [("Content-Type", "application/json")])
    if path == "/page.html":
        fields = [("Content-Type", "text/html; charset=utf-8"), ("Set-Cookie", "seen=1")]
        return response(200, b"<p>text</p>", fields)
    if path == "/large.iso":
        return response(200, bytes(1 << 20))
    if path == "/in":
        return response(201, reason="Created")
    return response(404, reason="Not Found")


@pytest.mark.slow
@each_page
async def test_every_snippet_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The snippets of a page run one after the other, in one namespace, as one reads them."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    async with raw_server(serve_example) as server:
        for code in snippets(page, server.url("")):
            coroutine = eval(code, names)
            if coroutine is not None:
                await coroutine
        names.clear()
        await asyncio.sleep(0)


@each_page
def test_every_link_leads_to_a_file_or_a_heading(page: Path) -> None:
    """Relative links only: what they name is in the repository."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        found = (page.parent / name).resolve() if name else page
        assert found.exists(), f"{page.name} links to {target}"
        assert found.is_relative_to(ROOT)
        if anchor:
            assert anchor in anchors(found), f"{page.name} links to {target}"


def anchors(page: Path) -> set[str]:
    """Return the names by which the headings of *page* are linked to."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("of", [ClientSession, TCPConnector, UnixConnector, Timeout, CookieJar])
def test_every_parameter_of_the_client_stands_on_its_page(of: type) -> None:
    """The signature as it is written out, with each default."""
    written = re.search(rf"^{of.__name__}\((.*?)\)$", CLIENT, re.MULTILINE | re.DOTALL)
    assert written
    pairs = [part.partition("=")[::2] for part in written[1].split(",")]
    told = {name.strip(): default.strip() for name, default in pairs if name.strip() != "*"}
    expected = {
        name: "" if parameter.default is parameter.empty else spelled(parameter.default)
        for name, parameter in inspect.signature(of).parameters.items()
    }
    assert told == expected


def spelled(default: object) -> str:
    """Return *default* as the page writes it."""
    if isinstance(default, Enum):
        return default.name
    if default is json.dumps:
        return "json.dumps"
    return "time.time" if default is time.time else repr(default)


@pytest.mark.parametrize(
    ("heading", "of"), [("Sessions", [ClientSession]), ("Connectors", [TCPConnector, UnixConnector])]
)
def test_every_parameter_has_its_row_and_every_row_its_parameter(heading: str, of: list[type]) -> None:
    """Once, in the table of its chapter."""
    table = CLIENT.partition(f"\n## {heading}\n")[2].partition("| parameter |")[2].partition("\n\n")[0]
    told = [name for cell in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(told) == sorted({name for each in of for name in inspect.signature(each).parameters})


def test_every_option_of_a_request_has_its_row() -> None:
    """In the order of the table of requests."""
    section = CLIENT.partition("## Requests")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)`", section, re.MULTILINE) == list(RequestOptions.__annotations__)


def test_every_feature_has_a_test_that_exists() -> None:
    """A row each: what it is, the test that shows it, and what four others do."""
    rows = [line for line in FEATURES.splitlines() if line.startswith("| ") and "::" in line]
    assert len(rows) > 60
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split(" | ")]
        assert len(cells) == 6, row
        assert all(cells), row
        assert is_test(f"client/{cells[1].strip('`')}"), row
        assert all(re.match(r"(yes|no|partly|-)(?![a-z])", cell) for cell in cells[2:]), row


def test_the_error_tree_is_drawn_whole() -> None:
    """Every class once, and none that is not there; below the one it derives from."""
    section = CLIENT.partition("## Errors\n\n```\n")[2].partition("```")[0]
    above: list[str] = []
    seen: list[str] = []
    for line in section.splitlines():
        match = re.match(r"([│├└─ ]*)(\w+)", line)
        assert match
        depth = len(match[1]) // 4
        name = match[2]
        parent = getattr(exceptions, above[depth - 1]) if depth else Exception
        assert issubclass(getattr(exceptions, name), parent), line
        above[depth:] = [name]
        seen.append(name)
    assert sorted(seen) == sorted(exceptions.__all__)


def test_every_module_has_its_line_in_the_architecture() -> None:
    """And no line is about a module that has gone."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    section = text.partition("## The house")[2].partition("\n## ")[0]
    told = set(re.findall(r"(\w+\.py)`", section))
    modules = {path.name for floor in ("client", "jobs", "crawler") for path in (ROOT / floor).rglob("*.py")}
    tests = {path.name for path in (ROOT / "tests").glob("*.py")}
    assert told - tests == modules - {"__init__.py"}


@contextlib.asynccontextmanager
async def world_of_the_command(folder: Path) -> AsyncIterator[str]:
    """Have what the commands of the page name: manifests, servers, a certificate. Yields the origin's URL."""
    files = [
        File("plain/001.bin", 1000),
        File("plain/002.bin", 200_000),
        File("dropped/003.bin", 2 << 20, Manner.DROPPED),
        File("missing/004.bin", 0, Manner.MISSING),
    ]
    reply = reply_with(response(200, b"from the service"))
    write_authority(folder)
    async with (
        Origin(files) as origin,
        raw_server(reply, unix=folder / "app.sock") as service,
        raw_server(reply, tls=server_context()) as internal,
    ):
        (folder / "urls.txt").write_text(origin.manifest())
        (folder / "service.txt").write_text(service.url("/state\n"))
        (folder / "internal.txt").write_text(internal.url("/state\n"))
        yield origin.url


async def run_shell(commands: str, folder: Path) -> tuple[int, str]:
    """Run *commands* in *folder*; return the exit code of the last one and what was said."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        commands,
        cwd=folder,
        env={**os.environ, "PATH": path},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


@pytest.mark.slow
@pytest.mark.timeout(60)
async def test_every_command_of_the_page_runs(tmp_path: Path) -> None:
    """From top to bottom, in one folder, as one reads them; the one item that is missing may fail."""
    blocks = re.findall(r"^```sh\n(.*?)^```", RUN, re.MULTILINE | re.DOTALL)
    async with world_of_the_command(tmp_path) as url:
        for commands in blocks:
            if "sqlite3" in commands and not shutil.which("sqlite3"):
                commands = commands.replace("sqlite3 ", "true ")
            code, said = await run_shell(commands.replace("https://files.example.org", url), tmp_path)
            assert code in (0, 1), f"{commands}\n{said}"
            assert not re.search(r"--help\)|Traceback|not found|cannot", said), f"{commands}\n{said}"
    runs = ("downloads", "private", "quick", "gentle", "small", "part", "service", "internal")
    counts = [len([path for path in (tmp_path / run).rglob("*.*") if path.suffix == ".bin"]) for run in runs]
    assert counts == [3, 3, 3, 3, 3, 3, 0, 0]
    assert (tmp_path / "service/localhost/state").read_bytes() == b"from the service"
    [state] = (tmp_path / "internal").glob("127.0.0.1+*/state")
    assert state.read_bytes() == b"from the service"
    [failed] = (tmp_path / "failed.jsonl").read_text().splitlines()
    assert json.loads(failed)["status"] == 404


@pytest.mark.slow
@pytest.mark.parametrize("command", ["run", "mirror", "get", "plan", "status", "report", "retry", "verify"])
def test_every_option_of_the_command_stands_on_its_page(command: str) -> None:
    """Long and short; and the page tells of none that is not there."""
    fetchd = Path(sys.executable).with_name("fetchd")
    helped = subprocess.run([fetchd, command, "--help"], capture_output=True, text=True, check=True).stdout
    options = helped.partition("\nOptions:\n")[2]
    there = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", "\n".join(re.findall(r"^  -.*", options, re.MULTILINE))))
    pages = {"run": RUN, "retry": RUN, "mirror": MIRROR}
    section = pages.get(command) or RUN.partition(f"## fetchd {command}")[2].partition("\n## ")[0]
    assert there - {"--help"} <= set(re.findall(r"--[a-z][a-z-]+", section))
    if command == "run":
        rows = "\n".join(re.findall(r"^\| (`-.*?) \|", section.partition("## fetchd get")[0], re.MULTILINE))
        assert set(re.findall(r"--[a-z][a-z-]+", rows)) == there


def test_the_reference_is_that_of_the_options() -> None:
    """After a change of the declarations: python -m tests.support.reference."""
    assert PLACE.read_text() == reference()


def test_every_format_of_manifests_has_an_example_that_is_read() -> None:
    """Told by its content alone, and without a bad line; Parquet by the snippet that makes one."""
    page = (ROOT / "docs" / "manifests.md").read_text()
    examples = dict(re.findall(r"^```(\w+)\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
    assert set(examples) - {"python"} == set(FORMATS) - {"parquet", "tsv"}
    for name, text in examples.items():
        if name == "python":
            continue
        assert format_of(text.encode(), "") == name
        lines = [line for batch in manifest_lines([text.encode()]) for line in batch]
        assert lines, name
        assert not [line for line in lines if isinstance(line, BadLine)], name


def test_every_event_is_told_with_all_its_fields() -> None:
    """The table of events against the module that writes them."""
    section = RUN.partition("## Events")[2].partition("\n## ")[0]
    charter = (ROOT / "crawler" / "cli" / "json_lines.py").read_text().partition("\n\n")[2].partition("\n\n")[2]
    for event in ("started", "retried", "finished", "progress", "summary"):
        line = re.search(rf"^ +{event} +(.*?)(?:;|(?<![\n ]) {{3,}}(?=[a-z]))", charter, re.MULTILINE | re.DOTALL)
        row = re.search(rf"^\| `{event}` \| (.*) \|$", section, re.MULTILINE)
        assert line
        assert row
        names = re.findall(r"[a-z_]+", re.sub(r"\(.*?\)", "", line[1]))
        told = re.sub(r"\(.*?\)", "", row[1]).partition(";")[0]
        assert re.findall(r"`([a-z_]+)`", told) == names


def test_every_failure_class_is_explained() -> None:
    """Each has its row in the table of retries."""
    told = set(re.findall(r"`([a-z0-9-]+)`", "".join(re.findall(r"^\| (`.*?) \|", RUN, re.MULTILINE))))
    assert {str(name) for name in FailureClass} <= told
