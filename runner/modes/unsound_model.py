"""A fault that a broken model causes is told as the model's; to check it beforehand would cost every sound one as much."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

import onnx

from runner.errors import ModelError, RunnerError
from runner.session import Session, plain

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def told_of_unsound(path: str | Path) -> Iterator[None]:
    """On a fault of the program ask others whether the model is sound; where they refuse it, say so in its place.

    Args:
        path: of the ONNX file that a job is about.

    Raises:
        ModelError: onnxruntime or onnx.checker refuses the model. The fault goes to the log.
    """
    try:
        yield
    except RunnerError:
        raise
    except Exception as error:
        refusal = _refusal(path)
        if refusal is None:
            raise
        logger.exception("what the model led to")
        raise ModelError(f"model.path: {path} is no sound model: {refusal}. Export or copy it again.") from error


def _refusal(path: str | Path) -> str | None:
    """Return why a model is refused, in one line; None where nobody refuses it."""
    try:
        Session(path, plain("all"), given=True)
    except RunnerError as error:
        return str(error).removeprefix("model.path: ")
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except Exception as error:  # its C++ raises whatever it likes
        return f"onnx.checker: {' '.join(str(error).split())[:400]}"
    return None
