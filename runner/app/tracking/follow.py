"""The process beside a job that logs it: ``python -m runner.app.tracking.follow``.

It reads the job's ``events.jsonl`` and nothing else of the job, so it takes nothing from it but a share of the processor, and
whatever a server does to it, the job can leave it behind. Orders come as lines of JSON on standard input, ``{"follow": …}`` and
``{"end": true}``; what it is at, and how it ended, goes to standard output in the same way.

A job whose process is gone is logged to the end as well; then, and after a while in any case, this process ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import select
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from runner.app.journal import NAME
from runner.app.tracking.entries import Event, first
from runner.app.tracking.options import TrackingOptions
from runner.app.tracking.place import place
from runner.app.tracking.run import Run
from runner.app.tracking.store import limit_requests, load_mlflow, open_store
from runner.credentials import without_credentials
from runner.events import from_line

# What the process is at: work of its own, waiting for an answer, or nothing.
BUSY, ASKING, IDLE = "busy", "asking", "idle"
_POLL_SECONDS = 0.25
_PAUSE_SECONDS = 3.0
_LONGEST_REASON = 300

Say = Callable[[Mapping[str, Any]], None]


class Orders:
    """What the job says, and whether it is still there; one that is gone has said ``end``."""

    def __init__(self, parent: int) -> None:
        self._parent = parent
        self._lines: queue.Queue[Mapping[str, Any]] = queue.Queue()
        # How long this process goes on without the job.
        self.alone = 60.0
        threading.Thread(target=self._read, daemon=True).start()

    def next(self, seconds: float | None = None) -> Mapping[str, Any] | None:
        """Return the next order, or None where none comes in so many seconds."""
        try:
            return self._lines.get(timeout=seconds)
        except queue.Empty:
            return None

    def _read(self) -> None:
        kept = b""
        while os.getppid() == self._parent:
            # Elsewhere only sockets can be waited for; the end of the pipe tells of the job's there.
            if os.name == "posix" and not select.select([0], [], [], 1.0)[0]:
                continue
            data = os.read(0, 65536)
            if not data:
                break
            *lines, kept = (kept + data).split(b"\n")
            for line in lines:
                self._lines.put(json.loads(line))
        self._lines.put({"end": True})
        self._lines.put({"gone": True})
        time.sleep(self.alone)
        os._exit(1)  # a server that never answers holds the other thread


class Tail:
    """The events of a job that is still writing them."""

    def __init__(self, folder: Path) -> None:
        self.events: list[Event] = []
        self._path = folder / NAME
        self._read = 0

    def more(self) -> bool:
        """Read the lines that are whole by now; return whether there were any."""
        before = len(self.events)
        with contextlib.suppress(FileNotFoundError), self._path.open("rb") as stream:
            stream.seek(self._read)
            *whole, _ = stream.read().split(b"\n")
            for line in whole:
                event = from_line(line)
                if event is None:  # it ends here: nothing after it counts
                    break
                self.events.append(event)
                self._read += len(line) + 1
        return len(self.events) > before


def main() -> None:
    """Serve the process that started this one until it is gone."""
    orders = Orders(os.getppid())
    # Whatever prints: standard output is for what is said here.
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)

    load_mlflow()

    def say(line: Mapping[str, Any]) -> None:
        with contextlib.suppress(OSError):  # nobody listens any longer
            channel.write(json.dumps(line) + "\n")

    while (order := orders.next()) is not None and "gone" not in order:
        if "follow" in order:
            say(_followed(order["follow"], orders, say))
    os._exit(0)  # MLflow's threads are not waited for


def _followed(order: Mapping[str, Any], orders: Orders, say: Say) -> Mapping[str, Any]:
    """Follow a job to its end and return how that went."""
    options = TrackingOptions(**order["options"])
    orders.alone = options.timeout + 5
    folder, where = Path(order["folder"]), place(Path(order["root"]), options, os.environ)
    limit_requests(options.timeout)
    say({"state": IDLE})

    @contextlib.contextmanager
    def making() -> Iterator[None]:
        say({"state": BUSY})
        yield
        say({"state": ASKING})

    tail, run, not_before, ended = Tail(folder), None, 0.0, False
    while True:
        ended = ended or "end" in (orders.next(_POLL_SECONDS) or {})
        changed = tail.more() or run is None
        if not ended and (not changed or time.monotonic() < not_before or first(tail.events, "JobStarted") is None):
            continue
        say({"state": ASKING})
        try:
            if run is None:
                run = Run(open_store(where, making), folder, lambda: say({"state": ASKING}))
            if ended:
                run.finish(tail.events, models=options.log_models)
                return {"done": {"run": run.run_id, "experiment": run.experiment_id, "uri": run.uri}}
            run.follow(tail.events)
        except Exception as error:  # MLflow, SQLAlchemy and the network raise what they like
            if ended:
                return {"failed": f"{where.shown}: {_reason(error)}"}
            # What was not sent is sent with what comes next.
            not_before = time.monotonic() + _PAUSE_SECONDS
        say({"state": IDLE})


def _reason(error: BaseException) -> str:
    """Return what is behind an error in a few words: the system's, if it comes from there."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        if isinstance(cause, ModuleNotFoundError) and cause.name in ("psycopg", "psycopg2"):
            return (
                f"{cause}; pip install 'onnx-quant-runner[postgres]', and write the address as postgresql+psycopg2://…"
            )
        cause = cause.__cause__ or cause.__context__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # What SQLAlchemy was at comes before what the database said.
    # MLflow names the address that it asked, as it was given.
    text = without_credentials(
        next((line for line in lines if not line.startswith("(raised as")), type(error).__name__)
    )
    return text if len(text) <= _LONGEST_REASON else text[: _LONGEST_REASON - 1] + "…"


if __name__ == "__main__":
    main()
