"""Hand-offs of fetchd's pool alone: a slot goes from one host to the next while all others wait. No I/O."""

from __future__ import annotations

import argparse
import itertools

from fetchd.client.pool import Grant, Pool

from .loadgen import Meter

SLOTS = 8


class Connection:
    """Stands for an open one."""

    def __init__(self, key: int) -> None:
        self.key = key


class Waiter:
    """A request of one host: what it is granted goes to the end of the list of those that are busy."""

    def __init__(self, key: int, busy: list[Connection]) -> None:
        self.key = key
        self.busy = busy

    def grant(self, what: Connection | Grant) -> None:
        """See ``pool.Waiter``."""
        self.busy.append(what if isinstance(what, Connection) else Connection(self.key))


def main(hosts: int, count: int) -> str:
    """Let *hosts* wait, hand slots on *count* times, and return the report."""
    pool: Pool[Connection] = Pool(SLOTS, 0, lambda connection: None)
    busy = []
    for key in range(-SLOTS, 0):
        assert pool.take_slot(key) is Grant.OPEN
        busy.append(Connection(key))
    for key in range(hosts):
        pool.enqueue(key, Waiter(key, busy))
    meter = Meter()
    for _ in itertools.repeat(None, count):
        connection = busy.pop(0)
        pool.put_idle(connection.key, connection)  # nobody of its own host waits: the slot is the next one's
        pool.enqueue(connection.key, Waiter(connection.key, busy))
    return meter.report(count, 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    given = parser.parse_args()
    print(main(given.hosts, given.count))
