"""SIGTERM as what it means for a job: the same as Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from runner.app.stopped_runs import runs_stopped_by_signals


@contextlib.contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Have SIGTERM raise KeyboardInterrupt in this process's main thread meanwhile."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals belong to the main thread
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        with runs_stopped_by_signals():
            yield
    except SystemExit as error:
        # A library that sets a handler of its own leaves in this way: Ray does, while it starts.
        if error.code != signal.SIGTERM:
            raise
        raise KeyboardInterrupt from error
    finally:
        signal.signal(signal.SIGTERM, before)
