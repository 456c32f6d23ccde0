"""Damages inputs of every kind by the thousand and tells how the program takes them.

python -m benchmarks.fuzz --count 10000                    every subject
python -m benchmarks.fuzz model --count 100 --seed 7       one; faults are printed
python -m benchmarks.fuzz model --show 4711                one input, with all that is said of it
"""

from __future__ import annotations

import argparse
import collections
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.fuzz.child import damaged
from benchmarks.fuzz.outcome import FAULTS, FINE, REFUSED
from benchmarks.fuzz.subjects import SUBJECTS
from benchmarks.fuzz.watch import outcomes


def main(arguments: Sequence[str]) -> int:
    """Run what the arguments ask for; 1 where an input ended in a fault."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.fuzz", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("subject", nargs="*", choices=[*SUBJECTS, []], help="what is damaged; default: everything")
    parser.add_argument("--count", type=int, default=1000, help="inputs a subject")
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, help="read one input and tell all; --keep writes it")
    parser.add_argument("--keep", type=Path, help="folder for the inputs that end in a fault")
    given = parser.parse_args(arguments)
    names = given.subject or list(SUBJECTS)
    numbers = range(given.first, given.first + given.count) if given.show is None else [given.show]
    print(f"{'subject':<12} {'inputs':>7} {FINE:>7} {REFUSED:>7} {' '.join(f'{kind:>9}' for kind in FAULTS)} {'s':>6}")
    faulty = False
    for name in names:
        faulty |= _subject(name, numbers, given)
    return int(faulty)


def _subject(name: str, numbers: Sequence[int], given: argparse.Namespace) -> bool:
    counts: collections.Counter[str] = collections.Counter()
    kinds: collections.Counter[str] = collections.Counter()
    begin = time.monotonic()
    for outcome in outcomes(name, numbers, given.seed):
        counts[outcome.kind] += 1
        if outcome.kind in FAULTS or given.show is not None:
            alike = f"{outcome.kind} {_without_numbers(outcome.message)}"
            kinds[alike] += 1
            # One fault is met by many inputs.
            if kinds[alike] <= 1:
                print(
                    f"  {name} --seed {given.seed} --show {outcome.number}: {outcome.kind}: {outcome.message}\n",
                    flush=True,
                )
            if given.keep is not None:
                _keep(name, outcome.number, given)
    for alike, count in kinds.most_common():
        print(f"  {count:>5} x {alike[:200]}")
    cells = " ".join(f"{counts[kind]:>9}" for kind in FAULTS)
    seconds = time.monotonic() - begin
    print(f"{name:<12} {len(numbers):>7} {counts[FINE]:>7} {counts[REFUSED]:>7} {cells} {seconds:>6.0f}", flush=True)
    return any(counts[kind] for kind in FAULTS)


def _without_numbers(message: str) -> str:
    last = (message.strip().splitlines() or [""])[-1]
    return re.sub(r"'[^']*'|[0-9]+|/\S+", "#", last)[:120]


def _keep(name: str, number: int, given: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        spot, data = damaged(name, SUBJECTS[name](Path(folder)), given.seed, number)
    given.keep.mkdir(parents=True, exist_ok=True)
    (given.keep / f"{name}_{given.seed}_{number}{spot.path.suffix}").write_bytes(data)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
