"""Reads damaged inputs one after the other in a process of its own and tells how each ended, a JSON line each.

python -m benchmarks.fuzz.child SUBJECT FOLDER SEED     then the numbers of the inputs, a line each, on standard input
"""

from __future__ import annotations

import json
import logging
import os
import random
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from benchmarks.fuzz.outcome import CONTROL, FINE, LONGEST, NOISE, REFUSED, TRACEBACK, UNCLEAR, Outcome
from benchmarks.fuzz.spot import Spot
from benchmarks.fuzz.subjects import SUBJECTS


def damaged(subject: str, spots: Sequence[Spot], seed: int, number: int) -> tuple[Spot, bytes]:
    """Return the input of a number: where it goes and what it holds; the same numbers give the same."""
    rng = random.Random(f"{subject} {seed} {number}")
    spot = rng.choice(spots)
    return spot, rng.choice(spot.damages)(rng, spot.path.read_bytes())


def outcome_of(spot: Spot, data: bytes, number: int, said: IO[bytes]) -> Outcome:
    """Read one input and tell how that ended; the sound file is put back.

    Args:
        spot: where it goes.
        data: what it holds.
        number: its number.
        said: holds what the process writes to its standard streams.
    """
    from runner.errors import RunnerError

    sound = spot.path.read_bytes()
    spot.path.write_bytes(data)
    said.seek(0)
    said.truncate()
    kind, message = FINE, ""
    try:
        spot.use()
    except RunnerError as error:
        kind, message = REFUSED, str(error)
    except BaseException as error:  # whatever it is, a user would see it
        where = "".join(traceback.format_exception(error)[-3:])
        kind, message = TRACEBACK, f"{where}\n{type(error).__name__}: {error}"
    finally:
        spot.path.write_bytes(sound)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    said.seek(0)
    noise = said.read().decode("utf-8", "replace")
    if kind == REFUSED and (not message.strip() or len(message) > LONGEST or CONTROL.search(message)):
        kind = UNCLEAR
    elif kind in (FINE, REFUSED) and noise:
        kind, message = NOISE, noise
    return Outcome(number, kind, message[-4000:])


def main(arguments: Sequence[str]) -> int:
    """Read the inputs whose numbers come on standard input."""
    subject, folder, seed = arguments[0], Path(arguments[1]), int(arguments[2])
    # As a job does, whose log takes what libraries say.
    logging.getLogger().addHandler(logging.NullHandler())
    logging.captureWarnings(True)
    answers, errors = (os.fdopen(os.dup(number), "w", encoding="utf-8") for number in (1, 2))
    sys.excepthook = lambda *error: traceback.print_exception(*error, file=errors)
    spots = SUBJECTS[subject](folder)
    said: IO[bytes]
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
        for spot in spots:
            spot.use()  # what is not damaged is not refused
        for line in sys.stdin:
            spot, data = damaged(subject, spots, seed, int(line))
            outcome = outcome_of(spot, data, int(line), said)
            answers.write(json.dumps(outcome.to_json()) + "\n")
            answers.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
