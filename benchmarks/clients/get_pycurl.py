"""GET by pycurl: libcurl's multi interface told by epoll which socket is ready, easy handles used again.

``socket_action`` and not ``perform``: the latter walks all handles at every turn and costs twice as
much at 64 connections.
"""

from __future__ import annotations

import select
from collections.abc import Iterator

import pycurl  # type: ignore[import-untyped]  # it comes without py.typed

from .loadgen import WARM_UP_REQUESTS, Load, Meter, parse_load


class Transfer:
    """One easy handle and the body it receives."""

    def __init__(self) -> None:
        self.body: list[bytes] = []
        self.handle = pycurl.Curl()
        self.handle.setopt(pycurl.WRITEFUNCTION, self.body.append)
        self.handle.setopt(pycurl.NOSIGNAL, 1)

    def start(self, url: str, multi: pycurl.CurlMulti) -> None:
        """Set the handle going."""
        self.body.clear()
        self.handle.setopt(pycurl.URL, url)
        multi.add_handle(self.handle)


class Driver:
    """One multi handle on one epoll."""

    def __init__(self, connections: int) -> None:
        self.epoll = select.epoll()
        self.watched: set[int] = set()
        self.timeout = -1.0
        self.multi = pycurl.CurlMulti()
        self.multi.setopt(pycurl.M_MAXCONNECTS, connections)
        self.multi.setopt(pycurl.M_SOCKETFUNCTION, self.watch)
        self.multi.setopt(pycurl.M_TIMERFUNCTION, self.set_timeout)
        self.transfers = [Transfer() for _ in range(connections)]
        self.owner = {transfer.handle: transfer for transfer in self.transfers}

    def watch(self, what: int, descriptor: int, multi: object, data: object) -> None:
        """Do what libcurl asks for one socket."""
        if what == pycurl.POLL_REMOVE:
            self.watched.discard(descriptor)
            self.epoll.unregister(descriptor)
            return
        events = (select.EPOLLIN if what & pycurl.POLL_IN else 0) | (select.EPOLLOUT if what & pycurl.POLL_OUT else 0)
        if descriptor in self.watched:
            self.epoll.modify(descriptor, events)
        else:
            self.watched.add(descriptor)
            self.epoll.register(descriptor, events)

    def set_timeout(self, milliseconds: int) -> None:
        """Remember when libcurl wants to be called without an event; -1 for never."""
        self.timeout = milliseconds / 1000 if milliseconds >= 0 else -1.0

    def drive(self, urls: Iterator[str]) -> tuple[int, int]:
        """Keep every transfer busy until *urls* ends; return (requests, octets)."""
        requests = octets = running = 0
        for transfer, url in zip(self.transfers, urls, strict=False):
            transfer.start(url, self.multi)
            running += 1
        while running:
            self.turn()
            for handle in self.finished():
                transfer = self.owner[handle]
                octets += len(b"".join(transfer.body))
                requests += 1
                self.multi.remove_handle(handle)
                if (url := next(urls, "")) != "":
                    transfer.start(url, self.multi)
                else:
                    running -= 1
        return requests, octets

    def turn(self) -> None:
        """Wait for sockets or the timer, and tell libcurl."""
        ready = self.epoll.poll(self.timeout)
        for descriptor, events in ready:
            flags = (pycurl.CSELECT_IN if events & ~select.EPOLLOUT else 0) | (
                pycurl.CSELECT_OUT if events & select.EPOLLOUT else 0
            )
            self.multi.socket_action(descriptor, flags)
        if not ready or self.timeout == 0:
            self.timeout = -1.0
            self.multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)

    def finished(self) -> list[pycurl.Curl]:
        """Return the handles that are done; a failed transfer ends the run."""
        finished: list[pycurl.Curl] = []
        left = 1
        while left:
            left, good, bad = self.multi.info_read()
            if bad:
                raise SystemExit(f"transfer failed: {bad[0][1:]}")
            finished += good
        return finished


def main(load: Load) -> str:
    """Warm up, measure, and return the report."""
    driver = Driver(load.connections)
    driver.drive(load.turns(WARM_UP_REQUESTS))
    meter = Meter()
    return meter.report(*driver.drive(load.turns(load.count)))


if __name__ == "__main__":
    print(main(parse_load()))
