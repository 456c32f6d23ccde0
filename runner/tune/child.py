"""A trial's job: ``python -m runner`` that ends with the process that began it, also where that one is killed."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Run the job that ``sys.argv`` tells, behind the number of the process that began it."""
    parent = int(sys.argv.pop(1))
    # Linux alone; elsewhere the job ends by itself.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(130)
    from runner.app.main import console

    console()


if __name__ == "__main__":
    main()
