"""A trial's job: ``python -m runner`` that ends with the process that began it, also where that one is killed."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys

from filelock import FileLock, Timeout

_PR_SET_PDEATHSIG = 1
# Whoever looks whether it is locked holds it for an instant.
_WAIT_SECONDS = 5.0


def main() -> None:
    """Run the job that ``sys.argv`` tells, behind the number of the process that began it and the file to hold locked."""
    parent, lock = int(sys.argv.pop(1)), FileLock(sys.argv.pop(1), timeout=_WAIT_SECONDS)
    # Linux alone; elsewhere the job ends by itself.
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    with contextlib.suppress(OSError, NotImplementedError, Timeout):
        lock.acquire()
    if os.getppid() != parent:
        sys.exit(130)
    from runner.app.main import console

    console()


if __name__ == "__main__":
    main()
