"""Names to addresses: literals, threads of our own, one look-up in the air for a name, and the cache."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchd.client.exceptions import SessionClosedError
from fetchd.client.resolver import (
    AddrInfo,
    CachingResolver,
    DaemonThreads,
    Resolver,
    ThreadedResolver,
    literal_address,
)

V4, V6, ANY = socket.AF_INET, socket.AF_INET6, socket.AF_UNSPEC


def v4(address: str, port: int) -> AddrInfo:
    return (V4, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))


def v6(address: str, port: int, scope_id: int = 0) -> AddrInfo:
    return (V6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, scope_id))


async def until(condition: Callable[[], bool]) -> None:
    """Let other threads run until *condition* holds; the timeout of the test bounds it."""
    while not condition():  # noqa: ASYNC110 - threads have no event that a loop could wait for
        await asyncio.sleep(0.001)


async def settle() -> None:
    """Let every callback that is due run."""
    for _ in range(5):
        await asyncio.sleep(0)


# Literals


@pytest.mark.parametrize(
    ("host", "info"),
    [
        ("127.0.0.1", v4("127.0.0.1", 80)),
        ("255.255.255.255", v4("255.255.255.255", 80)),
        ("::1", v6("::1", 80)),
        ("::", v6("::", 80)),
        ("2001:DB8:0:0:0:0:0:1", v6("2001:db8::1", 80)),
        ("::ffff:192.0.2.1", v6("::ffff:192.0.2.1", 80)),
        ("fe80::1%1", v6("fe80::1", 80, 1)),
        ("fe80::1%lo", v6("fe80::1", 80, socket.if_nametoindex("lo"))),
    ],
)
def test_addresses_are_read_as_they_stand(host: str, info: AddrInfo) -> None:
    assert literal_address(host, 80) == info
    assert literal_address(host, 80, info[0]) == info


@pytest.mark.parametrize(
    "host",
    [
        "",
        "localhost",
        "example.com",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "0177.0.0.01",
        "127.0.0.1.",
        "256.0.0.1",
        "1.2.3.4.5",
        "host1",
        "[::1]",
        "::1::",
        "fe80:::1%lo",
        ":",
        "a:b",
        "١٢٧.0.0.1",
        "::1\0",
        "\ud800:1",
    ],
)
def test_names_and_odd_forms_are_no_literals(host: str) -> None:
    """Short and numeric forms are getaddrinfo's to read."""
    assert literal_address(host, 80) is None


@pytest.mark.parametrize(
    ("host", "family"),
    [("127.0.0.1", V6), ("::1", V4), ("fe80::1%no-such-interface", ANY), ("fe80::1%", ANY)],
)
def test_a_literal_that_cannot_be_used_is_an_error(host: str, family: int) -> None:
    with pytest.raises(socket.gaierror):
        literal_address(host, 80, family)


@given(st.ip_addresses(), st.integers(1, 65535))
def test_literals_agree_with_getaddrinfo(address: object, port: int) -> None:
    numeric = socket.AI_NUMERICHOST
    expected = socket.getaddrinfo(str(address), port, 0, socket.SOCK_STREAM, socket.IPPROTO_TCP, numeric)
    assert [literal_address(str(address), port)] == expected


# Threads


class BlockedLookUp:
    """A getaddrinfo that answers when it is told to; keeps count of what runs."""

    def __init__(self, answer: list[AddrInfo] | Exception | None = None) -> None:
        self.answer = [v4("192.0.2.1", 80)] if answer is None else answer
        self.released = threading.Event()
        self.asked: list[tuple[bytes | str, int, int, int]] = []
        self.running = 0
        self.most_running = 0
        self._lock = threading.Lock()

    def __call__(self, name: bytes | str, port: int, family: int, flags: int) -> list[AddrInfo]:
        with self._lock:
            self.asked.append((name, port, family, flags))
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        self.released.wait()
        with self._lock:
            self.running -= 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def ready_look_up(answer: list[AddrInfo] | Exception | None = None) -> BlockedLookUp:
    look_up = BlockedLookUp(answer)
    look_up.released.set()
    return look_up


@pytest.mark.parametrize("family", [ANY, V4])
async def test_localhost_is_resolved_by_the_system(family: int) -> None:
    found = await ThreadedResolver().resolve("localhost", 8080, family)
    assert v4("127.0.0.1", 8080) in found
    assert {info[4][0] for info in found} <= {"127.0.0.1", "::1"}


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "fe80::1%lo"])
async def test_addresses_need_no_thread(host: str) -> None:
    threads, look_up = DaemonThreads(), ready_look_up()
    resolver = ThreadedResolver(threads=threads, look_up=look_up)
    assert await resolver.resolve(host, 80) == [literal_address(host, 80)]
    assert threads.count == 0
    assert not look_up.asked


async def test_threads_are_started_on_demand_and_never_more_than_the_limit() -> None:
    threads, look_up = DaemonThreads(limit=3), BlockedLookUp()
    resolver = ThreadedResolver(threads=threads, look_up=look_up)
    tasks = [asyncio.create_task(resolver.resolve(f"h{i}.example", 80)) for i in range(10)]
    await until(lambda: look_up.running == 3)
    assert threads.count == 3
    look_up.released.set()
    assert await asyncio.gather(*tasks) == [[v4("192.0.2.1", 80)]] * 10
    assert look_up.most_running == threads.count == 3
    assert sorted(look_up.asked) == [(f"h{i}.example".encode(), 80, ANY, socket.AI_ADDRCONFIG) for i in range(10)]


async def test_an_idle_thread_is_used_again() -> None:
    threads = DaemonThreads()
    resolver = ThreadedResolver(threads=threads, look_up=ready_look_up())
    for _ in range(5):
        await resolver.resolve("h.example", 80)
        await until(lambda: threads.idle == 1)
    assert threads.count == 1


async def test_threads_end_when_idle_and_start_again() -> None:
    threads = DaemonThreads(idle_s=0.001)
    resolver = ThreadedResolver(threads=threads, look_up=ready_look_up())
    for _ in range(3):
        assert await resolver.resolve("h.example", 80)
        await until(lambda: threads.count == 0)


async def test_threads_are_daemons_that_the_interpreter_does_not_wait_for() -> None:
    threads, look_up = DaemonThreads(), BlockedLookUp()
    task = asyncio.create_task(ThreadedResolver(threads=threads, look_up=look_up).resolve("h.example", 80))
    await until(lambda: look_up.running == 1)
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "fetchd-resolver")
    look_up.released.set()
    await task


def test_a_loop_ends_without_waiting_for_a_look_up_and_the_thread_serves_the_next_loop() -> None:
    """A dead name server must not hold up the end of a program."""
    threads, look_up = DaemonThreads(), BlockedLookUp()
    resolver = ThreadedResolver(threads=threads, look_up=look_up)

    async def give_up() -> None:
        task = asyncio.create_task(resolver.resolve("slow.example", 80))
        await until(lambda: look_up.running == 1)
        task.cancel()

    asyncio.run(give_up())
    assert look_up.running == 1
    look_up.released.set()
    assert asyncio.run(resolver.resolve("next.example", 80)) == [v4("192.0.2.1", 80)]
    assert threads.count <= 2


async def test_cancelling_returns_at_once_and_what_has_not_begun_never_does() -> None:
    threads, look_up = DaemonThreads(limit=1), BlockedLookUp()
    resolver = ThreadedResolver(threads=threads, look_up=look_up)
    begun = asyncio.create_task(resolver.resolve("begun.example", 80))
    await until(lambda: look_up.running == 1)
    waiting = asyncio.create_task(resolver.resolve("waiting.example", 80))
    last = asyncio.create_task(resolver.resolve("last.example", 80))
    await settle()
    for task in (begun, waiting):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    look_up.released.set()
    assert await last
    assert [asked[0] for asked in look_up.asked] == [b"begun.example", b"last.example"]


@pytest.mark.parametrize(
    ("host", "family", "flags"),
    [
        ("example.com", ANY, socket.AI_ADDRCONFIG),
        ("example.com.", ANY, socket.AI_ADDRCONFIG),
        ("example.com", V4, 0),
        ("example.com", V6, 0),
        ("localhost", ANY, 0),
        ("LOCALHOST.", ANY, 0),
        ("box", ANY, 0),
        ("a.Localhost", ANY, 0),
    ],
)
async def test_local_names_are_asked_for_on_a_machine_without_a_network_too(host: str, family: int, flags: int) -> None:
    """AI_ADDRCONFIG does not count loopback addresses, so it would make localhost unknown there."""
    look_up = ready_look_up()
    await ThreadedResolver(threads=DaemonThreads(), look_up=look_up).resolve(host, 80, family)
    assert look_up.asked == [(host.encode(), 80, family, flags)]


@pytest.mark.parametrize("host", ["", " ", "a b", "good.example\0evil", "a\nb", "a\tb", "lone\ud800"])
async def test_what_is_no_name_is_not_looked_up(host: str) -> None:
    look_up = ready_look_up()
    with pytest.raises(socket.gaierror) as caught:
        await ThreadedResolver(threads=DaemonThreads(), look_up=look_up).resolve(host, 80)
    assert caught.value.errno == socket.EAI_NONAME
    assert not look_up.asked


async def test_a_label_that_idna_refuses_is_a_name_that_does_not_resolve() -> None:
    with pytest.raises(socket.gaierror, match="not a host name"):
        await ThreadedResolver().resolve("ü" * 70, 80)


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (socket.gaierror(socket.EAI_NONAME, "unknown"), socket.gaierror(socket.EAI_NONAME, "unknown")),
        (socket.gaierror(socket.EAI_AGAIN, "later"), socket.gaierror(socket.EAI_AGAIN, "later")),
        (PermissionError(13, "denied"), PermissionError(13, "denied")),
        (UnicodeError("label too long"), socket.gaierror(socket.EAI_NONAME, "not a host name")),
        (ValueError("embedded null"), socket.gaierror(socket.EAI_NONAME, "not a host name")),
    ],
)
async def test_failures_are_os_errors(raised: Exception, expected: OSError) -> None:
    resolver = ThreadedResolver(threads=DaemonThreads(), look_up=ready_look_up(raised))
    with pytest.raises(OSError, match=str(expected.strerror)) as caught:
        await resolver.resolve("h.example", 80)
    assert type(caught.value) is type(expected)
    assert caught.value.errno == expected.errno


@pytest.mark.parametrize("cached", [False, True])
async def test_a_failure_is_held_by_no_cycle(cached: bool) -> None:
    resolver: Resolver = ThreadedResolver(
        threads=DaemonThreads(), look_up=ready_look_up(socket.gaierror(socket.EAI_NONAME, "unknown"))
    )
    if cached:
        resolver = CachingResolver(resolver)

    async def failure() -> weakref.ref[OSError]:
        try:
            await resolver.resolve("h.example", 80, ANY)
        except OSError as exc:
            return weakref.ref(exc)
        raise AssertionError("resolved")

    error = await failure()
    await settle()
    assert error() is None


async def test_a_look_up_that_breaks_off_tells_its_waiter_and_costs_no_thread_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    complaints: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", complaints.append)
    threads = DaemonThreads(limit=1)
    broken = ThreadedResolver(threads=threads, look_up=ready_look_up(LookupError("a defect")))
    with pytest.raises(OSError, match="broke off"):
        await broken.resolve("h.example", 80)
    await until(lambda: threads.count == 0)
    assert [complaint.exc_type for complaint in complaints] == [LookupError]
    assert await ThreadedResolver(threads=threads, look_up=ready_look_up()).resolve("h.example", 80)


async def test_when_no_thread_can_be_started_that_is_an_os_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    threads, look_up = DaemonThreads(), BlockedLookUp()
    resolver = ThreadedResolver(threads=threads, look_up=look_up)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(OSError, match="cannot start a thread"):
            await resolver.resolve("h.example", 80)
    first = asyncio.create_task(resolver.resolve("first.example", 80))
    await until(lambda: look_up.running == 1)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        second = asyncio.create_task(resolver.resolve("second.example", 80))
        await settle()
    look_up.released.set()
    assert await first == await second
    assert threads.count == 1


@pytest.mark.slow
def test_a_forked_child_has_threads_of_its_own() -> None:
    """The shared threads are not there in a child, and it must not wait for them."""
    script = """
import asyncio, os
from fetchd.client.resolver import ThreadedResolver

def resolve():
    return asyncio.run(ThreadedResolver().resolve("localhost", 80))

before = resolve()
child = os.fork()
if child == 0:
    os._exit(0 if resolve() == before else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-c", script], timeout=15, check=False).returncode == 0


# The cache


class SlowResolver:
    """A resolver that answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, int]] = []
        self.cancelled: list[str] = []
        self._answers: dict[tuple[str, int], asyncio.Future[list[AddrInfo]]] = {}

    async def resolve(self, host: str, port: int, family: int) -> list[AddrInfo]:
        self.asked.append((host, port, family))
        future: asyncio.Future[list[AddrInfo]] = asyncio.get_running_loop().create_future()
        self._answers[host, family] = future
        try:
            return await future
        except asyncio.CancelledError:
            self.cancelled.append(host)
            raise

    def answer(self, host: str, answer: list[AddrInfo] | BaseException, family: int = ANY) -> None:
        future = self._answers.pop((host, family))
        if isinstance(answer, BaseException):
            future.set_exception(answer)
        else:
            future.set_result(answer)


class FixedResolver:
    """A resolver that knows what it is given, at once."""

    def __init__(self, answers: dict[str, list[AddrInfo] | Exception] | None = None) -> None:
        self.answers = answers or {}
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int, family: int) -> list[AddrInfo]:
        self.asked.append(host)
        answer = self.answers.get(host, [v4("192.0.2.1", port), v6("2001:db8::1", port, 3)])
        if isinstance(answer, Exception):
            raise answer
        return answer


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def complaints() -> list[str]:
    """What the loop complained about; see ``quiet``."""
    return []


@pytest.fixture
async def slow(complaints: list[str]) -> SlowResolver:
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["message"]))
    return SlowResolver()


async def cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def ask(resolver: Resolver, host: str = "h.example", port: int = 80, family: int = ANY) -> asyncio.Task[list[AddrInfo]]:
    call: Coroutine[Any, Any, list[AddrInfo]] = resolver.resolve(host, port, family)
    return asyncio.create_task(call)


async def test_many_who_ask_at_once_share_one_look_up_and_get_their_own_port(slow: SlowResolver) -> None:
    resolver = CachingResolver(slow)
    tasks = [ask(resolver, host, port) for port in range(1, 6) for host in ("h.example", "H.Example")]
    await settle()
    assert len(slow.asked) == 1
    assert repr(resolver) == "<CachingResolver 0 names, 1 look-ups in the air>"
    slow.answer("h.example", [v4("192.0.2.1", 1), v6("fe80::1", 1, 3)])
    found = await asyncio.gather(*tasks)
    assert found == [[v4("192.0.2.1", port), v6("fe80::1", port, 3)] for port in range(1, 6) for _ in "hH"]
    assert repr(resolver) == "<CachingResolver 1 names, 0 look-ups in the air>"


async def test_families_are_different_questions(slow: SlowResolver) -> None:
    resolver = CachingResolver(slow)
    tasks = [ask(resolver, family=family) for family in (ANY, V4, V6)]
    await settle()
    assert [family for _, _, family in slow.asked] == [ANY, V4, V6]
    for family, answer in ((ANY, v4("192.0.2.9", 80)), (V4, v4("192.0.2.4", 80)), (V6, v6("::6", 80))):
        slow.answer("h.example", [answer], family)
    assert await asyncio.gather(*tasks) == [[v4("192.0.2.9", 80)], [v4("192.0.2.4", 80)], [v6("::6", 80)]]


async def test_an_answer_is_good_for_its_time() -> None:
    clock, inner = Clock(), FixedResolver()
    resolver = CachingResolver(inner, ttl=60, clock=clock)
    for seconds, asked in ((0, 1), (59.9, 1), (0.1, 2), (59, 2)):
        clock.now += seconds
        assert await resolver.resolve("h.example", 80) == [v4("192.0.2.1", 80), v6("2001:db8::1", 80, 3)]
        assert len(inner.asked) == asked


async def test_no_such_name_is_remembered_for_a_shorter_time() -> None:
    clock = Clock()
    inner = FixedResolver({"no.example": socket.gaierror(socket.EAI_NONAME, "unknown")})
    resolver = CachingResolver(inner, negative_ttl=5, clock=clock)
    for seconds, asked in ((0, 1), (4.9, 1), (0.1, 2)):
        clock.now += seconds
        with pytest.raises(socket.gaierror, match="unknown") as caught:
            await resolver.resolve("no.example", 80)
        assert caught.value.errno == socket.EAI_NONAME
        assert len(inner.asked) == asked


async def test_a_name_without_addresses_is_remembered_for_a_shorter_time() -> None:
    clock, inner = Clock(), FixedResolver({"no.example": []})
    resolver = CachingResolver(inner, negative_ttl=5, clock=clock)
    for seconds, asked in ((0, 1), (4.9, 1), (0.1, 2)):
        clock.now += seconds
        assert await resolver.resolve("no.example", 80) == []
        assert len(inner.asked) == asked


@pytest.mark.parametrize(
    "error",
    [
        socket.gaierror(socket.EAI_AGAIN, "later"),
        socket.gaierror(socket.EAI_FAIL, "broken"),
        OSError(5, "io"),
    ],
)
async def test_errors_of_the_name_server_are_not_remembered(error: OSError) -> None:
    inner = FixedResolver({"h.example": error})
    resolver = CachingResolver(inner)
    with pytest.raises(OSError, match=str(error.strerror)):
        await resolver.resolve("h.example", 80)
    del inner.answers["h.example"]
    assert await resolver.resolve("h.example", 80)
    assert len(inner.asked) == 2


async def test_each_who_asks_gets_an_error_of_its_own(slow: SlowResolver) -> None:
    """One exception raised many times would collect everyone's traceback, and keep it in the cache."""
    resolver = CachingResolver(slow)
    tasks = [ask(resolver) for _ in range(3)]
    await settle()
    slow.answer("h.example", socket.gaierror(socket.EAI_NONAME, "unknown"))
    errors = await asyncio.gather(*tasks, ask(resolver), return_exceptions=True)
    assert len({id(error) for error in errors}) == 4
    assert {str(error) for error in errors} == {"[Errno -2] unknown"}


async def test_an_error_that_is_a_defect_reaches_everyone_who_waits(slow: SlowResolver) -> None:
    resolver = CachingResolver(slow)
    tasks = [ask(resolver), ask(resolver)]
    await settle()
    slow.answer("h.example", LookupError("a defect"))
    assert [type(error) for error in await asyncio.gather(*tasks, return_exceptions=True)] == [LookupError] * 2


async def test_cancelling_one_who_waits_disturbs_nobody(slow: SlowResolver, complaints: list[str]) -> None:
    resolver = CachingResolver(slow)
    first, second, third = (ask(resolver) for _ in range(3))
    await settle()
    await cancel(first)
    await cancel(third)
    slow.answer("h.example", [v4("192.0.2.1", 80)])
    assert await second == [v4("192.0.2.1", 80)]
    assert not slow.cancelled
    assert not complaints


async def test_a_look_up_that_nobody_waits_for_is_heard_in_the_end(slow: SlowResolver) -> None:
    """A name server slower than the caller's patience: the next attempt gains by the last one."""
    resolver = CachingResolver(slow)
    task = ask(resolver)
    await settle()
    await cancel(task)
    again = ask(resolver, port=81)
    await settle()
    assert len(slow.asked) == 1
    await cancel(again)
    slow.answer("h.example", [v4("192.0.2.1", 80)])
    await settle()
    assert await resolver.resolve("h.example", 82) == [v4("192.0.2.1", 82)]
    assert len(slow.asked) == 1


async def test_a_failure_that_nobody_waits_for_is_not_complained_about(
    slow: SlowResolver, complaints: list[str]
) -> None:
    resolver = CachingResolver(slow)
    task = ask(resolver)
    await settle()
    await cancel(task)
    slow.answer("h.example", socket.gaierror(socket.EAI_AGAIN, "later"))
    await settle()
    assert not complaints
    assert repr(resolver) == "<CachingResolver 0 names, 0 look-ups in the air>"


async def test_a_waiter_cancelled_in_the_moment_of_the_answer_is_not_complained_about(
    slow: SlowResolver, complaints: list[str]
) -> None:
    resolver = CachingResolver(slow)
    task = ask(resolver)
    await settle()
    slow.answer("h.example", socket.gaierror(socket.EAI_NONAME, "unknown"))
    await asyncio.sleep(0)
    await cancel(task)
    await settle()
    assert not complaints


async def test_look_ups_that_nobody_waits_for_are_bounded(slow: SlowResolver, complaints: list[str]) -> None:
    resolver = CachingResolver(slow)
    tasks = [ask(resolver, f"h{i}.example") for i in range(70)]
    await settle()
    for task in tasks:
        await cancel(task)
    await settle()
    assert slow.cancelled == [f"h{i}.example" for i in range(64, 70)]
    assert repr(resolver) == "<CachingResolver 0 names, 64 look-ups in the air>"
    again = [ask(resolver, "h0.example"), ask(resolver, "h69.example")]
    await settle()
    assert len(slow.asked) == 71
    for host in ("h0.example", "h69.example"):
        slow.answer(host, [v4("192.0.2.1", 80)])
    assert await asyncio.gather(*again) == [[v4("192.0.2.1", 80)]] * 2
    resolver.close()
    await settle()
    assert not complaints


async def test_one_who_asks_while_a_look_up_is_being_cancelled_starts_another(slow: SlowResolver) -> None:
    resolver = CachingResolver(slow)
    tasks = [ask(resolver, f"h{i}.example") for i in range(65)]
    await settle()
    for task in tasks:
        task.cancel()
    again: list[asyncio.Task[list[AddrInfo]]] = []
    tasks[64].add_done_callback(lambda _: again.append(ask(resolver, "h64.example")))
    await settle()
    slow.answer("h64.example", [v4("192.0.2.1", 80)])
    assert await again[0] == [v4("192.0.2.1", 80)]
    assert slow.cancelled == ["h64.example"]
    resolver.close()


async def test_the_names_not_asked_for_longest_are_forgotten() -> None:
    inner = FixedResolver()
    resolver = CachingResolver(inner, max_entries=3)
    for host in ("a", "b", "c", "a", "d"):
        await resolver.resolve(host, 80)
    assert repr(resolver) == "<CachingResolver 3 names, 0 look-ups in the air>"
    inner.asked.clear()
    for host in ("a", "c", "d", "b"):
        await resolver.resolve(host, 80)
    assert inner.asked == ["b"]


async def test_answers_can_be_forgotten_by_name_or_all() -> None:
    inner = FixedResolver()
    resolver = CachingResolver(inner)
    for host in ("a", "b", "c"):
        await resolver.resolve(host, 80)
        await resolver.resolve(host, 80, V4)
    resolver.clear("B")
    assert repr(resolver) == "<CachingResolver 4 names, 0 look-ups in the air>"
    resolver.clear()
    assert repr(resolver) == "<CachingResolver 0 names, 0 look-ups in the air>"


async def test_closing_cancels_what_is_in_the_air_and_says_so(slow: SlowResolver, complaints: list[str]) -> None:
    resolver = CachingResolver(slow)
    waiting, left = ask(resolver), ask(resolver, "left.example")
    await settle()
    await cancel(left)
    resolver.close()
    with pytest.raises(SessionClosedError, match="cancelled"):
        await waiting
    assert sorted(slow.cancelled) == ["h.example", "left.example"]
    assert not complaints


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "fe80::1%lo"])
async def test_addresses_are_not_asked_for_and_not_remembered(host: str) -> None:
    inner = FixedResolver()
    resolver = CachingResolver(inner)
    assert await resolver.resolve(host, 80) == [literal_address(host, 80)]
    assert not inner.asked
    assert repr(resolver) == "<CachingResolver 0 names, 0 look-ups in the air>"


async def test_localhost_through_cache_and_threads() -> None:
    resolver = CachingResolver(ThreadedResolver())
    first = await resolver.resolve("localhost", 8080)
    assert v4("127.0.0.1", 8080) in first
    start = time.process_time()
    for _ in range(1000):
        assert await resolver.resolve("LocalHost", 8080) == first
    assert time.process_time() - start < 1
