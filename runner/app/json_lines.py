"""``json=true``: all that a command says, an object a line on standard output, and nothing else there.

Standard output is the process's, and so is what is known of it here.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TextIO

from runner.credentials import values_without_credentials
from runner.events import Event, StageAdvanced, to_json
from runner.printable import escaped_json

# The last line of a command.
ENDED = "Ended"


@dataclass(slots=True)
class _Output:
    """Where lines go, what job they are of, and whether the last one is written; nowhere unless they are asked for."""

    stream: TextIO | None = None
    job: str = ""
    ended: bool = False


_output = _Output()


def line(values: Mapping[str, Any]) -> str:
    """Return values as a line, after the time; passwords of addresses are left out."""
    timed = {"time": round(time.time(), 3), **values_without_credentials(values)}
    return escaped_json(json.dumps(timed, ensure_ascii=False, default=str)) + "\n"


def say(values: Mapping[str, Any]) -> None:
    """Write a line, where lines are asked for."""
    if _output.stream is not None:
        job = {"job": _output.job} if _output.job else {}
        # In one go, so that no other process's line comes between.
        _output.stream.write(line({**job, **values}))
        _output.stream.flush()


def hear(event: Event) -> None:
    """Write what a job says; progress within a stage is left out, as in ``events.jsonl``."""
    if not isinstance(event, StageAdvanced):
        say(to_json(event))


def say_end(exit_status: int, **more: Any) -> None:  # noqa: ANN401 - JSON
    """Write the last line of the command, once."""
    if _output.stream is not None and not _output.ended:
        say({"event": ENDED, "exit_status": exit_status, **more})
        _output.ended = True


def are_asked_for() -> bool:
    """Return whether lines are written."""
    return _output.stream is not None


@contextlib.contextmanager
def json_lines(asked: bool) -> Iterator[None]:
    """Write lines on standard output meanwhile, where that is asked for; what others print there goes to standard error."""
    if not asked or _output.stream is not None:
        yield
        return
    with kept_clean() as output:
        _output.stream, _output.job, _output.ended = output, "", False
        try:
            yield
        finally:
            _output.stream = None


@contextlib.contextmanager
def kept_clean() -> Iterator[TextIO]:
    """Give standard output to write to; what others print there meanwhile goes to standard error."""
    output = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        yield output


@contextlib.contextmanager
def of_job(name: str) -> Iterator[None]:
    """Have each line name its job meanwhile."""
    before, _output.job = _output.job, name
    try:
        yield
    finally:
        _output.job = before
