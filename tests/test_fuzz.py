"""The parsers hold for any octets: a short run of every target of ``fuzz``, and the long one for ``make soak``."""

from __future__ import annotations

import ast
import io
import random
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

from fuzz.engine import Crash, Target, case, corpus, pieces, run
from fuzz.mutation import MAX_OCTETS, mutate
from fuzz.targets import TARGETS

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "fuzz"

each_target = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())


@pytest.mark.slow
@each_target
def test_any_octets_are_accepted_or_refused_as_documented(target: Target) -> None:
    """The same cases in every run; both ends are reached, or the target would try nothing."""
    report = run(target, seed=20, cases=400, seconds=10)
    assert 0 < report.accepted < report.cases, report


@each_target
def test_the_corpus_holds(target: Target) -> None:
    """Every input that is kept, as it is; small, so that it can be read."""
    assert len(corpus(target.name)) >= 5
    for data in corpus(target.name):
        assert len(data) <= MAX_OCTETS
        target.check(data)


@pytest.mark.soak
@each_target
def test_half_a_minute_of_octets_is_accepted_or_refused_as_documented(target: Target) -> None:
    """Another seed in each run; a crash prints it."""
    run(target, seed=random.SystemRandom().randrange(1 << 32), seconds=30)


def test_every_target_says_what_must_hold_and_is_listed() -> None:
    """The first comment of its file; its folder of inputs; its row in the README."""
    files = sorted(path for path in (FOLDER / "targets").glob("*.py") if path.name != "__init__.py")
    assert [path.stem for path in files] == sorted(TARGETS)
    for path in files:
        first = next(tokenize.generate_tokens(io.StringIO(path.read_text()).readline))
        assert first.string.startswith("# Invariant: "), path
    assert sorted(path.name for path in (FOLDER / "corpus").iterdir()) == sorted(TARGETS)
    rows = re.findall(r"^\| `(\w+)` \|", (FOLDER / "README.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(TARGETS)


def test_the_same_seed_gives_the_same_cases() -> None:
    target = TARGETS["heads"]
    cases = [case(target, 7, number) for number in range(50)]
    assert cases == [case(target, 7, number) for number in range(50)]
    assert len(set(cases)) > 40
    assert case(target, 8, 0) != cases[0]


def test_pieces_are_cut_alike_each_time_and_lose_nothing() -> None:
    data = random.Random(1).randbytes(500)
    cuts = list(pieces(data))
    assert cuts == list(pieces(data))
    assert [b"".join(parts) for parts in cuts] == [data] * len(cuts)
    assert cuts[0] == [data]
    assert {len(part) for part in cuts[1]} == {1}


def test_mutations_change_most_and_lengthen_nothing_beyond_the_bound() -> None:
    rng = random.Random(1)
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    mutants = [mutate(rng, data, (b"\r\n",)) for _ in range(300)]
    assert sum(mutant == data for mutant in mutants) < 120
    assert len(mutate(rng, bytes(MAX_OCTETS), (b"x",) * 3)) <= MAX_OCTETS
    assert max(map(len, mutants)) <= MAX_OCTETS
    assert all(isinstance(mutate(rng, b"", (b"\n",)), bytes) for _ in range(100))


def refuses_a_z(data: bytes) -> bool:
    """Break down at a z, as a parser with a defect would."""
    assert b"z" not in data, "a z"
    return True


def test_a_crash_tells_seed_number_and_input() -> None:
    """What is printed is enough to have it again."""
    target = Target("heads", lambda rng: rng.choice((b"a", b"zzzzzzzz")), refuses_a_z, (b"a",))
    with pytest.raises(Crash) as caught:
        run(target, 3, cases=1000)
    crash = caught.value
    assert isinstance(crash.__cause__, AssertionError)
    assert case(target, 3, crash.number) == crash.data
    assert f"seed 3, case {crash.number}" in str(crash)
    literal = re.search(r"^input: (.*)$", str(crash), re.MULTILINE)
    assert literal
    assert ast.literal_eval(literal[1]) == crash.data


def test_a_run_has_a_bound() -> None:
    with pytest.raises(ValueError, match="cases or of seconds"):
        run(TARGETS["urls"], 1)
    assert run(TARGETS["urls"], 1, seconds=0).cases == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["urls", "--cases", "20", "--seed", "7"], 0, "urls: 20 cases, "),
        (["urls", "--input", "b'http://h/'"], 0, "accepted\n"),
        (["urls", "--input", "b'h'"], 0, "refused\n"),
        (["all", "--input", "b'h'"], 2, "--input needs one target"),
        (["none"], 2, "invalid choice"),
    ],
)
def test_a_target_is_run_by_hand(arguments: list[str], status: int, told: str) -> None:
    done = subprocess.run([sys.executable, "-m", "fuzz", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    assert told in done.stdout + done.stderr
