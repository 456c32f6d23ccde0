"""Errors that a user can act on.

    RunnerError                 what went wrong, where, what was expected, what was found, what to do
    ├── ModelError              the ONNX model: missing, unreadable, not quantizable, not finite
    ├── DownloadError           a file that has to be fetched and cannot be
    ├── DatasetError            images, labels or arrays: missing, malformed, not fitting the model
    ├── RecordError             a record, config, ranking or history file that does not follow its format
    ├── ConfigError             an option: unknown, of the wrong type, out of range, contradicting another
    │   └── CombinedError       several errors that have nothing to do with one another, told together
    ├── OutputError             a file or folder that cannot be written
    └── VerificationError       a written model that does not say what was measured (our fault, not the user's)
    InternalError               a graph of ours that onnxruntime refuses, or another broken promise of this program

A ``ValueError`` is for a caller's misuse of a value type; a ``RunnerError`` is for the user's world.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from runner.printable import message


class RunnerError(Exception):
    """Base of every error with a message meant for the user: one line, whatever the names in it hold."""

    def __init__(self, text: str) -> None:
        super().__init__(message(text))

    @property
    def each(self) -> tuple[RunnerError, ...]:
        """What is wrong, one error a thing."""
        return (self,)


class ModelError(RunnerError):
    """The ONNX model is missing, unreadable, not finite or holds nothing to quantize."""


class DownloadError(RunnerError):
    """A file is missing and cannot, or must not, be fetched."""


class DatasetError(RunnerError):
    """The data is missing, malformed or does not fit the model."""


class RecordError(RunnerError):
    """A record, config, ranking or history file does not follow its format."""


class ConfigError(RunnerError):
    """An option is unknown, of the wrong type, out of range or contradicts another."""


class CombinedError(ConfigError):
    """Several things are wrong, so that they can be mended at once."""

    def __init__(self, faults: Iterable[RunnerError]) -> None:
        self._each = tuple(one for fault in faults for one in fault.each)
        super().__init__(" ".join(map(str, self._each)))

    @property
    def each(self) -> tuple[RunnerError, ...]:
        """What is wrong, one error a thing, in the order in which it was found."""
        return self._each


class OutputError(RunnerError):
    """A file or folder cannot be written."""


class VerificationError(RunnerError):
    """A written model does not hold what was measured."""


class InternalError(Exception):
    """What this program built is wrong; no change to the input is asked for."""


def raise_all(faults: Sequence[RunnerError]) -> None:
    """Raise what is wrong, if anything is: one error as it is, several together."""
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise CombinedError(faults)


def near_names(name: str, known: Iterable[str]) -> str:
    """Return sentences for a message: the known name that was probably meant, if one is near, and all; begins with a space."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return f"{hint} It has {', '.join(names) or 'none'}."
