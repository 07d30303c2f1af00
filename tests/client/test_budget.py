"""Open sockets stay below what the system lets the process open, and where that is spent idle ones give way."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap

import pytest

from fetchd.client.budget import open_files_limit, socket_budget
from fetchd.client.pool import Grant, Pool
from tests.support.raw_server import RawConnection, raw_server, response

pytestmark = [pytest.mark.usefixtures("nothing_left"), pytest.mark.slow]

_PRELUDE = """
import asyncio, os, resource, socket, sys
from fetchd.client import ClientSession, DescriptorLimitError, TCPConnector
from fetchd.client.budget import open_files_limit, socket_budget

async def get(session, url):
    async with session.get(url) as reply:
        return await reply.read()

def limit_files(count):
    # To begin three hundred tasks takes a busy machine longer than the tenth of a second that -X dev complains of.
    asyncio.get_running_loop().slow_callback_duration = 5
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

def use_up_all_but(count):
    held = []
    try:
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        for fd in held[-count:] if count else []:
            os.close(fd)
    return held[:-count] if count else held
"""


async def run(body: str, *arguments: str) -> str:
    """Run ``main()`` of *body* in a process of its own, whose limits are its own; return what it printed."""
    program = _PRELUDE + textwrap.dedent(body) + "\nasyncio.run(main())\n"
    command = (sys.executable, "-X", "dev", "-W", "error", "-c", program, *arguments)
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    told, complaints = await process.communicate()
    assert (complaints.decode(), process.returncode) == ("", 0)
    return told.decode()


async def echo(conn: RawConnection) -> None:
    """Answers with the path, a moment later, so that requests meet."""
    async for asked in conn:
        await asyncio.sleep(0.01)
        await conn.send(response(body=asked.target.encode()))


async def test_the_budget_is_half_of_what_the_process_may_open() -> None:
    """The other half is for files, pipes and the rest of the program; no bound is no bound."""
    told = await run("""
        async def main():
            for count in (256, 101):
                limit_files(count)
                print(open_files_limit(), socket_budget())
    """)
    assert told == "256 128\n101 50\n"
    limit = open_files_limit()
    assert socket_budget() == (None if limit is None else limit // 2)


@pytest.mark.parametrize("limit", ["0", "100000"])
async def test_no_limit_of_the_connector_runs_into_the_systems(limit: str) -> None:
    """Three hundred requests at once where 64 files may be open: those that find no place wait for one."""
    async with raw_server(echo) as server:
        told = await run(
            """
            async def main():
                limit_files(64)
                async with ClientSession(connector=TCPConnector(limit=int(sys.argv[2]))) as session:
                    got = await asyncio.gather(*(get(session, f"{sys.argv[1]}{n}") for n in range(300)))
                    assert got == [b"/%d" % n for n in range(300)], got
                    print(session.connector.open_count)
            """,
            server.url("/"),
            limit,
        )
        assert told == "32\n"
        assert server.accepted == 32


async def test_the_longest_idle_connection_gives_way_when_nothing_more_can_be_opened() -> None:
    """The program itself has used the limit up: the client makes room instead of failing."""
    async with raw_server(echo) as one, raw_server(echo) as two, raw_server(echo) as three:
        told = await run(
            """
            async def main():
                limit_files(64)
                one, two, three = sys.argv[1:]
                async with ClientSession() as session:
                    await get(session, one)
                    await get(session, two)
                    held = use_up_all_but(0)
                    print(await get(session, three))
                    print(session.connector)
                    for fd in held:
                        os.close(fd)
            """,
            *(server.url("/x") for server in (one, two, three)),
        )
        assert told == "b'/x'\n<TCPConnector <Pool 0 active, 2 idle, 0 waiting>>\n"
        assert (one.accepted, two.accepted, three.accepted) == (1, 1, 1)


async def test_when_none_is_left_to_give_way_the_limit_is_named() -> None:
    """And the slot is given back: with room again, the next request succeeds."""
    async with raw_server(echo) as server:
        told = await run(
            """
            async def main():
                limit_files(64)
                async with ClientSession() as session:
                    held = use_up_all_but(0)
                    try:
                        await get(session, sys.argv[1])
                    except DescriptorLimitError as exc:
                        problem = exc
                    for fd in held:
                        os.close(fd)
                    print(problem.limit, problem.errno, session.connector.open_count)
                    print(problem)
                    print(await get(session, sys.argv[1]))
            """,
            server.url("/x"),
        )
    first, sentence, last = told.splitlines()
    assert first == "64 24 0"
    assert f"cannot connect to 127.0.0.1:{server.port}: no file can be opened, the process may open 64" in sentence
    assert last == "b'/x'"


@pytest.mark.parametrize(("limit", "budget", "expected"), [(0, 2, 2), (5, 2, 2), (1, 2, 1)])
def test_a_budget_bounds_a_limit_and_raises_none(limit: int, budget: int, expected: int) -> None:
    """0 is no bound, so that any budget is less."""
    pool: Pool[object] = Pool(limit, 0, lambda connection: None)
    pool.lower_limit(budget)
    assert [pool.take_slot("a") for _ in range(expected + 1)] == [Grant.OPEN] * expected + [Grant.WAIT]


async def test_cancelled_while_nothing_can_be_opened_a_request_leaves_nothing_behind() -> None:
    """In any turn of connecting: idle connections that gave way are closed, slots are given back."""
    async with raw_server(echo) as one, raw_server(echo) as two:
        told = await run(
            """
            async def main():
                limit_files(64)
                one, two = sys.argv[1:]
                seen = set()
                for turns in range(12):
                    async with ClientSession() as session:
                        await get(session, one)
                        held = use_up_all_but(turns % 2)
                        task = asyncio.create_task(get(session, two))
                        for _ in range(turns):
                            await asyncio.sleep(0)
                        task.cancel()
                        await asyncio.wait([task])
                        seen.add(task.cancelled())
                        assert session.connector.open_count == session.connector.idle_count, session
                        for fd in held:
                            os.close(fd)
                        assert await get(session, two) == b"/x"
                        assert await get(session, one) == b"/x"
                print(seen, len(os.listdir("/proc/self/fd")))
            """,
            *(server.url("/x") for server in (one, two)),
        )
        assert told.startswith("{True}"), told
        assert int(told.split()[1]) < 16
