"""A command as its user gives it, in this process."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable, Sequence

from runner.errors import RunnerError

WRONG_INPUT = 2


def told(main: Callable[[Sequence[str]], int], arguments: Sequence[str], fine: Sequence[int]) -> None:
    """Run a command; what it prints goes on to standard error, but for its one message.

    Args:
        main: of the command.
        arguments: of the command line.
        fine: statuses that are no fault.

    Raises:
        RunnerError: it refuses its input.
        AssertionError: it ends with another status, or refuses in anything but one line.
    """
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(arguments)
    if status not in fine and status != WRONG_INPUT:
        raise AssertionError(f"exit status {status}: {err.getvalue()}")
    said = err.getvalue()
    if status == WRONG_INPUT:
        lines = said.splitlines()
        if len(lines) != 1 or not lines[0].startswith("error: "):
            raise AssertionError(f"a refusal of {len(lines)} lines: {said}")
        raise RunnerError(lines[0])
    sys.stderr.write(said)
