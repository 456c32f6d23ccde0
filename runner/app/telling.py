"""What a command says on standard error: one line a message, whatever the names in it hold."""

from __future__ import annotations

import errno
import sys
import traceback

from runner.app.json_lines import say
from runner.credentials import without_credentials
from runner.errors import RunnerError
from runner.printable import printable, printable_lines

_ELSEWHERE = "Free some, or set paths.output to a folder elsewhere."
_FULL = (errno.ENOSPC, errno.EDQUOT)
_MANY = (errno.EMFILE, errno.ENFILE)
# What onnxruntime, numpy and pyarrow say of it, each in an error of its own.
_NO_MEMORY = ("bad_alloc", "bad allocation", "Failed to allocate memory", "Unable to allocate", "malloc of size")


def tell(message: str, kind: str = "error") -> None:
    """Print one message, without passwords of addresses; a program that reads lines of JSON gets one too."""
    tell_people(message, kind)
    say({"event": "Told", "kind": kind, "message": message})


def tell_people(message: str, kind: str = "error") -> None:
    """Print one message on standard error alone: of something that an event tells as well."""
    print(printable(without_credentials(f"{kind}: {message}")), file=sys.stderr)


def tell_traceback() -> None:
    """Print where the error that is being handled came from."""
    sys.stderr.write(printable_lines(without_credentials(traceback.format_exc())))


def fault(error: BaseException) -> str | None:
    """Return what to say of an error that is the input's or the machine's; None of one that is the program's."""
    if isinstance(error, RunnerError):
        return str(error)
    if isinstance(error, MemoryError) or any(said in str(error) for said in _NO_MEMORY):
        return (
            "not enough memory: the machine, or a limit (ulimit -v, a container), gives no more. Give it more, or set "
            f"engine.callers=1 and evaluation.count. What failed: {str(error) or type(error).__name__}"
        )
    if isinstance(error, UnicodeEncodeError):
        shown = error.object[error.start : error.end]
        return (
            f"the system's locale has no {shown}, which a file's name holds. Set LC_ALL=C.UTF-8 or PYTHONUTF8=1 before the "
            "command."
        )
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return "no thread could be started: a limit (ulimit -u, ulimit -v, a container) is reached. Raise it."
    return _of_system(error) if isinstance(error, OSError) else None


def _of_system(error: OSError) -> str:
    where = "" if error.filename is None else f"{error.filename}: "
    said = error.strerror or str(error) or type(error).__name__
    if error.errno in _FULL:
        return f"{where}{said}: the disk is full. {_ELSEWHERE}"
    if error.errno in _MANY:
        return f"{where}{said}: a limit of files that one process may have open is reached. Raise it: ulimit -n 1024."
    if error.errno == errno.EROFS:
        return f"{where}{said}. Set paths.output to a folder that can be written."
    return f"{where}{said}."
