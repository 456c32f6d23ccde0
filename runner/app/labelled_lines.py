"""The lines of a job that runs beside others, each behind the job's name and written in one go."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from typing import TextIO

_LONGEST = 32


class LabelledLines(io.TextIOBase):
    """A stream that passes whole lines on behind a label; to whoever asks it is no terminal."""

    def __init__(self, stream: TextIO, label: str) -> None:
        short = label if len(label) <= _LONGEST else f"{label[: _LONGEST - 1]}…"
        self._stream, self._label, self._begun = stream, f"[{short}] ", ""
        # Of each line, which is not there for what is printed.
        self.taken = len(self._label)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the stream behind."""
        return self._stream.encoding

    def writable(self) -> bool:
        """Text can be written."""
        return True

    def write(self, text: str) -> int:
        """Pass whole lines on, and keep the beginning of the next one."""
        *whole, self._begun = (self._begun + text).split("\n")
        if whole:
            self._stream.write("".join(f"{self._label if line else ''}{line}\n" for line in whole))
            self._stream.flush()
        return len(text)

    def finish(self) -> None:
        """Pass on a last line without an end."""
        if self._begun:
            self.write("\n")


@contextlib.contextmanager
def labelled_lines(label: str) -> Iterator[None]:
    """Put a label before each line of standard output and standard error meanwhile."""
    out, err = LabelledLines(sys.stdout, label), LabelledLines(sys.stderr, label)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            yield
    finally:
        out.finish()
        err.finish()
