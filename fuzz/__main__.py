"""``python -m fuzz heads --seconds 60 --seed 7``: run one target by hand, or all of them.

Exit status: 0 when nothing was found, 1 after a crash, whose input is printed as a Python literal.
"""

from __future__ import annotations

import argparse
import ast
import sys
import traceback

from .engine import Crash, run
from .targets import TARGETS


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__.partition("\n\n")[0])
    parser.add_argument("target", choices=[*TARGETS, "all"], help="parser to try")
    parser.add_argument("--seconds", type=float, help="for how long, each target (default 10)")
    parser.add_argument("--cases", type=int, help="how many cases, each target, in place of seconds")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same cases (default 1)")
    parser.add_argument("--input", help="try this one input, a Python literal as it was printed")
    given = parser.parse_args()
    if given.input is not None and given.target == "all":
        parser.error("--input needs one target")
    if given.cases is None and given.seconds is None:
        given.seconds = 10.0
    return given


def main() -> int:
    """Run what was asked for."""
    given = parse_arguments()
    if given.input is not None:
        accepted = TARGETS[given.target].check(ast.literal_eval(given.input))
        print("accepted" if accepted else "refused")
        return 0
    for name in TARGETS if given.target == "all" else (given.target,):
        try:
            print(f"{name}: {run(TARGETS[name], given.seed, cases=given.cases, seconds=given.seconds)}", flush=True)
        except Crash as crash:
            traceback.print_exception(crash.__cause__)
            print(crash)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
