"""From a host name to addresses: getaddrinfo in threads of our own, and a cache with one look-up in the air.

Here: the ``Resolver`` seam, address literals, bounded daemon threads, the cache. Not here: which
address is connected to (``dial``), and how long it may take (``connectors``): cancel the call.

Why threads of our own: the loop's default executor has few threads, shares them with everything
else, and is waited for when the loop ends, which a resolver that does not answer delays by tens of
seconds. These threads are daemons that nobody waits for, and they end when there is nothing to do.
They are shared by the whole process: look-ups are bounded once, not once a session.
"""

from __future__ import annotations

import asyncio
import functools
import os
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Protocol, cast

from .exceptions import SessionClosedError

__all__ = [
    "AddrInfo",
    "CachingResolver",
    "DaemonThreads",
    "Resolver",
    "SockAddr",
    "ThreadedResolver",
    "literal_address",
]

SockAddr = tuple[str, int] | tuple[str, int, int, int]
AddrInfo = tuple[socket.AddressFamily, socket.SocketKind, int, str, SockAddr]
"""Family, type, protocol, canonical name, socket address: an item of ``socket.getaddrinfo``."""

# A crawl asks for many names at once and getaddrinfo spends its time waiting, 5 s and more for a
# name server that is down. A thread that waits costs about 100 KiB of memory.
MAX_THREADS = 64

# Long enough that a steady trickle of names does not start a thread each (about 100 us).
_IDLE_S = 10.0

# Look-ups that nobody waits for any more and that go on all the same; see ``CachingResolver``.
_MAX_ABANDONED = 64

# Errors that are an answer: there is no such name, or it has no such address. The others mean that
# the name server could not be asked, which may be over in a moment, and are not remembered.
_NEGATIVE_ANSWERS = frozenset({socket.EAI_NONAME, socket.EAI_NODATA, socket.EAI_ADDRFAMILY})


class Resolver(Protocol):
    """What turns a host into addresses."""

    async def resolve(self, host: str, port: int, family: int) -> list[AddrInfo]:
        """Return the addresses of *host*, the preferred first, with *port* filled in.

        Args:
            host: Name in its ASCII form, or an address; an IPv6 one without brackets.
            port: Port.
            family: AF_INET, AF_INET6, or AF_UNSPEC for both.

        Raises:
            OSError: The name did not resolve; mostly ``socket.gaierror``.
        """


def literal_address(host: str, port: int, family: int = socket.AF_UNSPEC) -> AddrInfo | None:
    """Return the address that *host* spells out, or None when it is a name. Asks nobody.

    Dotted IPv4 and IPv6, the latter with a scope (``fe80::1%eth0``, ``fe80::1%2``) as in RFC 4007
    section 11. Short and numeric forms (``127.1``, ``2130706433``) are left to getaddrinfo: who
    minds where a connection goes must look at the address, not at the text.

    Raises:
        socket.gaierror: The address is not of *family*, or its scope is no network interface.
    """
    found: AddrInfo
    try:
        if ":" in host:
            text, percent, zone = host.partition("%")
            address = socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, text))
            sockaddr = (address, port, 0, _scope_id(zone) if percent else 0)
            found = (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", sockaddr)
        elif host[-1:].isdigit():
            socket.inet_pton(socket.AF_INET, host)
            found = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))
        else:
            return None
    except socket.gaierror:
        raise
    except (OSError, ValueError):
        return None
    if family not in (socket.AF_UNSPEC, found[0]):
        raise socket.gaierror(socket.EAI_ADDRFAMILY, "address is not of the family asked for")
    return found


def _scope_id(zone: str) -> int:
    if zone.isdecimal() and len(zone) < 10:
        return int(zone)
    try:
        return socket.if_nametoindex(zone)
    except (OSError, ValueError):
        raise socket.gaierror(socket.EAI_NONAME, f"no network interface {zone!r}") from None


class DaemonThreads:
    """Runs functions in daemon threads: started on demand, ended when idle, waited for by nobody.

    Args:
        limit: Threads at most; further work waits its turn.
        idle_s: Seconds without work after which a thread ends.
    """

    def __init__(self, limit: int = MAX_THREADS, idle_s: float = _IDLE_S) -> None:
        self._limit = limit
        self._idle_s = idle_s
        self._reset()

    def _reset(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._waiting: dict[Hashable, Callable[[], None]] = {}  # in the order in which it came
        self._count = 0  # threads
        self._idle = 0  # of these, waiting for work; one that was woken counts until it runs

    @property
    def count(self) -> int:
        """Threads there are."""
        return self._count

    @property
    def idle(self) -> int:
        """Threads that wait for work."""
        return self._idle

    def submit(self, key: Hashable, work: Callable[[], None]) -> None:
        """Run *work*, which must not raise, as soon as a thread is free. Safe to call from any thread.

        Args:
            key: Names the work for ``withdraw``.
            work: What to run.

        Raises:
            OSError: There is no thread and none can be started.
        """
        with self._changed:
            self._waiting[key] = work
            is_short = self._idle < len(self._waiting) and self._count < self._limit
            if not (is_short and self._start_thread(key)):
                self._changed.notify()

    def withdraw(self, key: Hashable) -> None:
        """Forget work that has not begun; work that has begun runs on."""
        with self._changed:
            self._waiting.pop(key, None)

    def _start_thread(self, key: Hashable) -> bool:
        """Whether one more could be started; an error when none has been and there is none."""
        self._count += 1
        try:
            threading.Thread(target=self._work, name="fetchd-resolver", daemon=True).start()
        except RuntimeError as exc:
            self._count -= 1
            if self._count:
                return False
            del self._waiting[key]
            raise OSError("cannot start a thread to resolve names in") from exc
        return True

    def _work(self) -> None:
        while (work := self._next_work()) is not None:
            try:
                work()
            except BaseException:
                with self._changed:
                    self._count -= 1
                raise

    def _next_work(self) -> Callable[[], None] | None:
        with self._changed:
            while not self._waiting:
                self._idle += 1
                was_woken = self._changed.wait(self._idle_s)
                self._idle -= 1
                if not was_woken and not self._waiting:
                    self._count -= 1
                    return None
            return self._waiting.pop(next(iter(self._waiting)))


_shared_threads = DaemonThreads()
# A forked child has none of the threads, and perhaps a lock that was held by one.
os.register_at_fork(after_in_child=_shared_threads._reset)


LookUp = Callable[[bytes | str, int, int, int], list[AddrInfo]]


def _getaddrinfo(name: bytes | str, port: int, family: int, flags: int) -> list[AddrInfo]:
    found = socket.getaddrinfo(name, port, family, socket.SOCK_STREAM, socket.IPPROTO_TCP, flags)
    # Typed with a third form of address besides, that of a Python without IPv6.
    return cast("list[AddrInfo]", found)


class ThreadedResolver:
    """Resolves by the system's getaddrinfo: hosts file, name servers, whatever else it is set up to ask.

    Cancelling ``resolve`` returns at once; a look-up that has begun goes on in its thread. May be
    used on several event loops.

    Args:
        threads: Where look-ups run; None: the 64 threads that the process shares.
        look_up: What runs there: name, port, family, flags -> addresses.
    """

    def __init__(self, *, threads: DaemonThreads | None = None, look_up: LookUp = _getaddrinfo) -> None:
        self._threads = threads or _shared_threads
        self._look_up = look_up

    async def resolve(self, host: str, port: int, family: int = socket.AF_UNSPEC) -> list[AddrInfo]:
        """See ``Resolver.resolve``. An address comes back at once, without a thread."""
        literal = literal_address(host, port, family)
        if literal is not None:
            return [literal]
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[AddrInfo] | OSError] = loop.create_future()
        arguments = (_checked_name(host), port, family, _flags(host, family))
        self._threads.submit(future, lambda: _run_look_up(self._look_up, arguments, loop, future))
        try:
            outcome = await future
        except asyncio.CancelledError:
            self._threads.withdraw(future)
            raise
        if isinstance(outcome, OSError):
            raise _fresh(outcome)
        return outcome


def _checked_name(host: str) -> bytes | str:
    """*host* as getaddrinfo takes it; octets spare a pass through the IDNA codec.

    Raises:
        socket.gaierror: It is no host name: empty (which getaddrinfo takes for this machine), or
            with blanks or control octets (it would look up what stands before a NUL).
    """
    if not host or not host.isprintable() or " " in host:
        raise socket.gaierror(socket.EAI_NONAME, "not a host name")
    return host.encode("ascii") if host.isascii() else host


def _flags(host: str, family: int) -> int:
    """AI_ADDRCONFIG where it helps and does no harm.

    It spares a machine without IPv6 the question for IPv6 addresses. But it does not count the
    loopback as an address, so that on a machine which has nothing else it makes ``localhost``
    unknown: names that are this machine's own business are asked for without. Nor is there
    anything to spare when the caller named the family.
    """
    name = host.lower().rstrip(".")
    is_local = "." not in name or name.endswith(".localhost")
    return 0 if is_local or family != socket.AF_UNSPEC else socket.AI_ADDRCONFIG


def _run_look_up(
    look_up: LookUp,
    arguments: tuple[bytes | str, int, int, int],
    loop: asyncio.AbstractEventLoop,
    future: asyncio.Future[list[AddrInfo] | OSError],
) -> None:
    """Runs in a thread. Whatever happens, the one who waits is told."""
    outcome: list[AddrInfo] | OSError = OSError("the look-up broke off")
    try:
        outcome = look_up(*arguments)
    except OSError as exc:
        outcome = _fresh(exc)
    except ValueError:  # UnicodeError is one: a label that is empty or too long
        outcome = socket.gaierror(socket.EAI_NONAME, "not a host name")
    finally:
        try:
            loop.call_soon_threadsafe(_settle, future, outcome)
        except RuntimeError:
            pass  # the loop has ended, and with it the one who waited


def _fresh(error: OSError) -> OSError:
    """A copy to raise: what a frame, or a future in it, holds becomes a cycle by its traceback."""
    return socket.gaierror(*error.args) if isinstance(error, socket.gaierror) else OSError(*error.args)


def _settle(future: asyncio.Future[list[AddrInfo] | OSError], outcome: list[AddrInfo] | OSError) -> None:
    # An error is a result here: an exception set on a future whose waiter was cancelled a moment
    # ago is complained about as never retrieved.
    if not future.done():
        future.set_result(outcome)


_Key = tuple[str, int]
_Answer = tuple[AddrInfo, ...] | BaseException


class _Flight:
    """A look-up in the air and those who wait for it."""

    __slots__ = ("task", "waiters")

    def __init__(self, task: asyncio.Task[list[AddrInfo]]) -> None:
        self.task = task
        self.waiters: set[asyncio.Future[_Answer]] = set()


class CachingResolver:
    """Remembers what another resolver answered, and asks it one question at a time for each name.

    Those who ask for a name that is being looked up wait for that look-up. Cancelling one of them
    disturbs neither it nor the others. A look-up that nobody waits for any more goes on, so that a
    name server slower than the caller's patience is heard in the end; at most 64 do, further ones
    are cancelled.

    One event loop for each instance.

    Args:
        resolver: Whom to ask.
        ttl: Seconds that an answer is good for. getaddrinfo does not tell the one of the DNS; 60 s
            is what curl takes.
        negative_ttl: Seconds that "no such name" is good for. Errors of the name server are not kept.
        max_entries: Names remembered; beyond it, those not asked for longest are forgotten.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        resolver: Resolver,
        *,
        ttl: float = 60.0,
        negative_ttl: float = 5.0,
        max_entries: int = 4096,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._resolver = resolver
        self._ttl = ttl
        self._negative_ttl = negative_ttl
        self._max_entries = max_entries
        self._clock = clock
        self._entries: OrderedDict[_Key, tuple[_Answer, float]] = OrderedDict()  # answer, good until
        self._flights: dict[_Key, _Flight] = {}
        self._abandoned: set[_Key] = set()  # flights without waiters

    def __repr__(self) -> str:
        return f"<CachingResolver {len(self._entries)} names, {len(self._flights)} look-ups in the air>"

    async def resolve(self, host: str, port: int, family: int = socket.AF_UNSPEC) -> list[AddrInfo]:
        """See ``Resolver.resolve``. An address comes back at once, without asking anybody.

        Raises:
            OSError: The name did not resolve, now or a moment ago.
            SessionClosedError: ``close`` was called meanwhile.
        """
        literal = literal_address(host, port, family)
        if literal is not None:
            return [literal]
        key = (host.lower(), family)
        answer = self._recall(key)
        if answer is None:
            answer = await self._wait_for_flight(key, host, port)
        if isinstance(answer, tuple):
            return [_with_port(info, port) for info in answer]
        # Each gets an exception of its own: a shared one would collect everyone's traceback.
        raise _fresh(answer) if type(answer) is socket.gaierror else answer

    def knows(self, host: str, family: int = socket.AF_UNSPEC) -> bool:
        """Whether ``resolve`` would answer for the name *host* at once."""
        return self._recall((host.lower(), family)) is not None

    def clear(self, host: str | None = None) -> None:
        """Forget the answers for *host*, say because none of its addresses works; None: for all."""
        for key in list(self._entries):
            if host is None or key[0] == host.lower():
                del self._entries[key]

    def close(self) -> None:
        """Cancel what is in the air; those who wait get a SessionClosedError."""
        for flight in self._flights.values():
            flight.task.cancel()

    def _recall(self, key: _Key) -> _Answer | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        answer, good_until = entry
        if good_until <= self._clock():
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return answer

    def _remember(self, key: _Key, answer: _Answer) -> None:
        if isinstance(answer, tuple):
            ttl = self._ttl if answer else self._negative_ttl
        elif isinstance(answer, socket.gaierror) and answer.errno in _NEGATIVE_ANSWERS:
            ttl = self._negative_ttl
            answer = _fresh(answer)
        else:
            return
        self._entries[key] = (answer, self._clock() + ttl)
        self._entries.move_to_end(key)
        while len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)

    async def _wait_for_flight(self, key: _Key, host: str, port: int) -> _Answer:
        flight = self._flights.get(key) or self._start_flight(key, host, port)
        waiter: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()
        flight.waiters.add(waiter)
        self._abandoned.discard(key)
        try:
            return await waiter
        finally:
            flight.waiters.discard(waiter)
            if not flight.waiters and self._flights.get(key) is flight:
                self._abandon(key, flight)

    def _start_flight(self, key: _Key, host: str, port: int) -> _Flight:
        task = asyncio.get_running_loop().create_task(self._resolver.resolve(host, port, key[1]))
        flight = self._flights[key] = _Flight(task)
        task.add_done_callback(functools.partial(self._land, key, flight))
        return flight

    def _abandon(self, key: _Key, flight: _Flight) -> None:
        if len(self._abandoned) < _MAX_ABANDONED:
            self._abandoned.add(key)
        else:
            del self._flights[key]  # at once, so that nobody joins a look-up that is being cancelled
            flight.task.cancel()

    def _land(self, key: _Key, flight: _Flight, task: asyncio.Task[list[AddrInfo]]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
            self._abandoned.discard(key)
        answer: _Answer
        if task.cancelled():
            answer = SessionClosedError("the look-up was cancelled")
        else:
            answer = task.exception() or tuple(task.result())
            self._remember(key, answer)
        for waiter in flight.waiters:
            if not waiter.done():
                waiter.set_result(answer)


def _with_port(info: AddrInfo, port: int) -> AddrInfo:
    family, kind, protocol, name, address = info
    if len(address) == 2:
        return family, kind, protocol, name, (address[0], port)
    return family, kind, protocol, name, (address[0], port, address[2], address[3])
