"""What an item costs beside its transfer: in the ledger, in the output folder, in the manifest. No network.

    .venv/bin/python benchmarks/ledger_cost.py [--items 200000] [--rounds 3] [--folder /dev/shm]

One line a shape of manifest. `new` is the look-up of items that are not known, `write` the commit of
batches of finishing items with the marks of the batch before, `known` the look-up of all of them by the same
manifest, `mixed` that by a shuffled one; microseconds of CPU an item, the least of the rounds. `octets` is
the file's size an item, and `beside the URL` what of it is not the URL. A promise is judged at the end of
its line.

Then the parts: slots of paths, a small file written, published and looked at, recorded with and without syncing (which
says something only where `--folder` is on the medium that is meant), a line of a manifest read.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fetchd.jobs.ledger import Entry, Ledger, Row, State
from fetchd.jobs.ledger_schema import Slots
from fetchd.jobs.manifests import plain_lines
from fetchd.jobs.recorder import Entry as RecorderEntry
from fetchd.jobs.recorder import Recorder
from fetchd.jobs.sinks import Folder

BATCH = 256
MOST_MICROSECONDS = 10.0  # new + write: an item of a first run
MOST_OCTETS = 120.0  # an item whose URL has 70 octets
URL_OCTETS = 70
FIRST_ROW = 2_100_000  # row numbers of four octets, as all but the first two million have

Shape = Callable[[int], str]


class ScatteredSlots(Slots):
    """Slots that are nothing but hashes: what the ledger would cost without neighbourhood."""

    def of(self, paths: Sequence[str]) -> list[int]:
        """Return 47 bits of a hash for each path."""
        return [int.from_bytes(hashlib.blake2b(path.encode(), digest_size=6).digest(), "big") >> 1 for path in paths]


def numbered(n: int) -> str:
    """A series in folders of a thousand."""
    return f"https://files.example.org/archive/{n // 1000:06d}/photograph-{n:08d}.large.jpg"


def one_folder(n: int) -> str:
    """The same series in one folder."""
    return f"https://files.example.org/photos/of-the-2020s/photo-{n:08d}-large.jpg"


def hashed(n: int) -> str:
    """Names that follow no order, in folders of a hundred, the manifest sorted by folder."""
    name = hashlib.md5(str(n).encode()).hexdigest()[:24]
    return f"https://files.example.org/data/{n // 100:06d}/{name}.json.gz"


def derive(url: str) -> str:
    """A name template: the URL without its scheme."""
    return url.partition("://")[2]


@contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """A folder of our own, removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="fetchd-ledger-cost-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def ledger_round(urls: list[str], folder: Path, *, scattered: bool) -> tuple[float, float, float, float, float]:
    """Record *urls* in a new ledger; return CPU seconds of new, write, known and mixed, and the file's octets."""
    paths = [derive(url) for url in urls]
    now = time.time()
    new = write = 0.0
    with Ledger.open(folder, template="{host}/{path}", derive=derive) as ledger:
        ledger.begin_run("list.txt", now)
        ledger._next = FIRST_ROW
        if scattered:
            ledger._slots = ScatteredSlots(b"")
        marks: list[int] = []
        for start in range(0, len(urls), BATCH):
            batch = list(zip(urls[start : start + BATCH], paths[start : start + BATCH], strict=True))
            wanted = [(url, path, True) for url, path in batch]
            begun = time.process_time()
            ledger.lookup(wanted)
            looked = time.process_time()
            rows = [
                Row(url, path, State.FINISHING, size=100_000, status=200, started=now + 500, seconds=0.3)
                for url, path in batch
            ]
            ledger.commit(rows, done=marks)
            marks = [row.row for row in rows]
            write += time.process_time() - looked
            new += looked - begun
        ledger.commit((), done=marks)
        known = _look_up_known(ledger, urls)
        mixed = _look_up_known(ledger, random.Random(2).sample(urls, len(urls)))
    return new, write, known, mixed, float(ledger.path.stat().st_size)


def _look_up_known(ledger: Ledger, urls: list[str]) -> float:
    """Look up what is done; return CPU seconds."""
    paths = [derive(url) for url in urls]
    begun = time.process_time()
    for start in range(0, len(urls), BATCH):
        stop = start + BATCH
        wanted = [(url, path, True) for url, path in zip(urls[start:stop], paths[start:stop], strict=True)]
        assert all(isinstance(entry, Entry) for entry in ledger.lookup(wanted))
    return time.process_time() - begun


def ledger_line(name: str, urls: list[str], options: argparse.Namespace, *, scattered: bool = False) -> str:
    """Measure one shape and return its line."""
    rounds = []
    for _ in range(options.rounds):
        with scratch(options.folder) as folder:
            rounds.append(ledger_round(urls, folder, scattered=scattered))
    new, write, known, mixed = (min(r[part] for r in rounds) / len(urls) * 1e6 for part in range(4))
    octets = rounds[0][4] / len(urls)
    kept = "" if scattered else f"   {judge(new + write <= MOST_MICROSECONDS and octets <= MOST_OCTETS)}"
    return (
        f"{name:34} {new:6.2f} {write:6.2f} {new + write:6.2f} {known:6.2f} {mixed:6.2f}"
        f" {octets:8.1f} {octets - URL_OCTETS:8.1f}{kept}"
    )


def judge(is_kept: bool) -> str:
    """Say whether a promise is kept."""
    return "kept" if is_kept else "NOT KEPT"


def timed(count: int, rounds: int, work: Callable[[], object]) -> float:
    """Return the least microseconds of wall time that one of *count* pieces of *work* took."""
    least = float("inf")
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        least = min(least, time.perf_counter() - begun)
    return least / count * 1e6


def print_parts(urls: list[str], options: argparse.Namespace) -> None:
    """Measure what is not the ledger."""
    paths = [derive(url) for url in urls]
    slots = Slots(os.urandom(16))
    print(f"{'slot of a path':34} {timed(len(paths), options.rounds, lambda: slots.of(paths)):6.2f}")
    some = paths[:20_000]
    body = os.urandom(1024)
    with scratch(options.folder) as parent, Folder(parent) as folder:
        steps: list[tuple[str, Callable[[str], object]]] = [
            ("file of 1 KiB: write .part", lambda path: folder.write_part(path, body)),
            ("file of 1 KiB: publish", folder.publish),
            ("file of 1 KiB: look at its size", folder.size),
        ]
        for name, step in steps:
            each = timed(len(some), 1, lambda step=step: [step(path) for path in some])  # type: ignore[misc]
            print(f"{name:34} {each:6.2f}")
    for power in (False, True):
        name = f"recorded, --durability {'power' if power else 'process'}"
        with scratch(options.folder) as parent:
            each = timed(options.synced, 1, lambda p=parent, s=power: asyncio.run(record(p, urls[: options.synced], s)))  # type: ignore[misc]
        print(f"{name:34} {each:6.2f}   of {options.synced} files of 1 KiB, wall time")
    for name, end in (("line of a manifest, ASCII", ""), ("line of a manifest, UTF-8", "é")):
        text = "".join(f"{url}{end}\n" for url in urls).encode()
        chunks = [text[start : start + 262_144] for start in range(0, len(text), 262_144)]
        each = timed(len(urls), options.rounds, lambda chunks=chunks: sum(map(len, plain_lines(chunks))))  # type: ignore[misc]
        print(f"{name:34} {each:6.2f}")


async def record(root: Path, urls: list[str], survives_power_loss: bool) -> None:
    """Have a recorder put files of 1 KiB into *root*, as a run does."""
    body = os.urandom(1024)
    with (
        Folder(root) as folder,
        Ledger.open(root, template="{host}/{path}", derive=derive, survives_power_loss=survives_power_loss) as ledger,
    ):
        ledger.begin_run("list.txt", time.time())
        recorder = Recorder(ledger, folder, lambda: None, survives_power_loss=survives_power_loss)
        recording = asyncio.create_task(recorder.run())
        for url in urls:
            await recorder.wait_for_room()
            row = Row(url, derive(url), State.FINISHING, size=len(body), status=200, started=time.time())
            recorder.put(RecorderEntry(row, body, None, lambda _: None))
        recorder.close()
        await recording


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=200_000, help="items a round; default 200000")
    parser.add_argument("--synced", type=int, default=2_000, help="files that --durability is measured with; 2000")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, of which the least counts; default 3")
    default = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path(tempfile.gettempdir())
    parser.add_argument("--folder", type=Path, default=default, help=f"where files go; default {default}")
    options = parser.parse_args()
    shapes: list[tuple[str, Shape]] = [
        ("numbered, folders of 1,000", numbered),
        ("numbered, one folder", one_folder),
        ("unordered names, folders of 100", hashed),
    ]
    print(f"{options.items} items of {URL_OCTETS} octets, batches of {BATCH}, microseconds and octets an item")
    print(f"{'':34} {'new':>6} {'write':>6} {'both':>6} {'known':>6} {'mixed':>6} {'octets':>8} {'beside the URL':>8}")
    for name, shape in shapes:
        urls = [shape(n) for n in range(options.items)]
        assert {len(url) for url in urls} == {URL_OCTETS}, name
        print(ledger_line(name, urls, options), flush=True)
    urls = [numbered(n) for n in range(options.items)]
    print(ledger_line("numbered, slots plain hashes", urls, options, scattered=True), flush=True)
    random.Random(1).shuffle(urls)
    print(ledger_line("numbered, shuffled", urls, options), flush=True)
    urls.sort()
    print_parts(urls, options)


if __name__ == "__main__":
    main()
