"""How every command ends: with an exit status, one sentence where something went wrong, and its streams whole."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from runner.app.streams import lasting_streams, not_written
from runner.app.telling import fault, tell, tell_traceback

INTERNAL_FAULT, WRONG_INPUT, INTERRUPTED = 1, 2, 130


def leave(command: Callable[[], int], *, result_is_printed: bool = False) -> None:
    """Run a command and leave with its exit status.

    Args:
        command: gives the status.
        result_is_printed: whether what it prints is all that it gives, so that nothing is done where that is lost.
    """
    lasting_streams()
    status = _status(command)
    reason = not_written()
    if reason is not None:
        tell(f"standard output cannot be written: {reason}.", "error" if result_is_printed else "warning")
        if result_is_printed and status == 0:
            status = WRONG_INPUT
    if status == INTERRUPTED and "ray" not in sys.modules:  # which ends its processes on the way out
        # All files are closed, and whoever interrupts does not want to wait until threads and sessions are taken apart.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def _status(command: Callable[[], int]) -> int:
    try:
        os.getcwd()
    except OSError as error:
        tell(f"the directory of the command cannot be used ({error.strerror}). Change to one that exists.")
        return WRONG_INPUT
    try:
        return command()
    except KeyboardInterrupt:
        tell("interrupted")
        return INTERRUPTED
    except SystemExit as error:
        if isinstance(error.code, int) or error.code is None:
            return error.code or 0
        tell(str(error.code))
        return INTERNAL_FAULT
    except Exception as error:  # the edge
        message = fault(error)
        if message is not None:
            tell(message)
            return WRONG_INPUT
        tell(f"internal fault: {type(error).__name__}: {error}")
        tell_traceback()
        return INTERNAL_FAULT
