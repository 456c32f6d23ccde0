"""Ctrl-C also where the main thread is in a run of onnxruntime, to whose end Python would wait: a model may loop for ever.

Python's own handler comes after the run. The number of the signal comes at once, through the file descriptor that Python writes
it to, and a thread that waits for it ends the run.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import threading
from collections.abc import Iterator

_ENDING = frozenset({signal.SIGINT, signal.SIGTERM})


@contextlib.contextmanager
def runs_stopped_by_signals() -> Iterator[None]:
    """Have SIGINT and SIGTERM end a run of the main thread meanwhile; to be entered there."""
    ours, pythons = socket.socketpair()
    with ours, pythons:
        pythons.setblocking(False)
        before = signal.set_wakeup_fd(pythons.fileno(), warn_on_full_buffer=False)
        watcher = threading.Thread(target=_watch, args=(ours,), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            pythons.shutdown(socket.SHUT_RDWR)
            watcher.join()


def _watch(numbers: socket.socket) -> None:
    while told := numbers.recv(64):
        # Where no job has loaded onnxruntime there is no run.
        session = sys.modules.get("runner.session")
        if session is not None and _ENDING.intersection(told):
            session.stop_main_run()
