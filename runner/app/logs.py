"""``amct_log/amct_onnx.log``, in AMCT's line format."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from runner.credentials import without_credentials
from runner.errors import OutputError
from runner.inside import writable_place
from runner.printable import printable

LOG = Path("amct_log") / "amct_onnx.log"
_FORMAT = "%(asctime)s - %(levelname)s - [AMCT]:[%(room)s]: %(message)s"


class _Line(logging.Formatter):
    """A line a record, whatever the names in it hold, without passwords; where an error came from stands below it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and what stands below it."""
        return without_credentials(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the line."""
        record.message = printable(record.message)
        return super().formatMessage(record)


class _File(logging.FileHandler):
    """A log that ends where it cannot be written; the job's own files say why."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Say nothing: what logging would print is no message to a user."""


class _Room(logging.Filter):
    """Names the part of the runner that speaks; what is saved is announced by AMCT's [Utils]."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.room = "Utils" if record.name.endswith("model_files") else record.name.rpartition(".")[2]
        return True


@contextlib.contextmanager
def job_log(folder: Path) -> Iterator[None]:
    """Write the runner's log lines, and what libraries warn of, into a job's log file while the job runs.

    Raises:
        OutputError: the file cannot be opened.
    """
    path = folder / LOG
    try:
        handler = _File(writable_place(folder, LOG), mode="w", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise OutputError(
            f"paths.output: {path} cannot be written: {error.strerror}. Set paths.output to a folder that can."
        ) from error
    handler.setFormatter(_Line(_FORMAT))
    handler.addFilter(_Room())
    logger = logging.getLogger("runner")
    previous, propagated = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    # Else Python would print them.
    root = logging.getLogger()
    root.addHandler(handler)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.removeHandler(handler)
        logger.removeHandler(handler)
        with contextlib.suppress(OSError):
            handler.close()
        logger.setLevel(previous)
        logger.propagate = propagated
