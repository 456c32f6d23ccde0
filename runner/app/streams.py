"""Standard output and error that last as long as the command, whatever becomes of who reads them."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from typing import Any

# Whoever reads has read enough, as ``| head -1``, or is gone with the terminal.
_LEFT = (errno.EPIPE, errno.EIO, errno.EBADF, errno.EINVAL)


class Lasting(io.FileIO):
    """Bytes to a file descriptor; those that it does not take any longer are dropped, and the reason is kept."""

    reason: OSError | None = None

    def write(self, data: Any) -> int:  # noqa: ANN401 - any buffer
        """Write bytes; one that cannot be written does not end what the command is about."""
        size = memoryview(data).nbytes
        if self.reason is not None:
            return size
        try:
            written = super().write(data)
        except OSError as error:
            self.reason = error
            return size
        if written is None:  # the descriptor does not wait, which its other users may have set
            select.select([], [self.fileno()], [])
            return 0
        return written


def open_closed() -> None:
    """Open descriptors 0, 1 and 2 where they are closed (``>&-``): a file would get their number, and all that is said."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - as long as the process
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def lasting_streams() -> None:
    """Have standard output and error take whatever is said, in any encoding, and drop what nobody reads."""
    open_closed()
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not getattr(sys, f"__{name}__") or not isinstance(stream, io.TextIOWrapper):
            continue  # somebody else's, who catches what is said
        stream.flush()
        raw = Lasting(stream.fileno(), "w", closefd=False)
        lasting = io.TextIOWrapper(
            io.BufferedWriter(raw),
            encoding=stream.encoding,
            # A name in a script that the terminal lacks costs its characters, not the result.
            errors="backslashreplace",
            line_buffering=name == "stderr" or stream.line_buffering,
        )
        setattr(sys, name, lasting)


def not_written() -> str | None:
    """Return why standard output did not take all that was said; None where it did, or where its reader left."""
    stream = sys.stdout
    try:
        stream.flush()
    except (OSError, ValueError):
        return None
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    reason = raw.reason if isinstance(raw, Lasting) else None
    return None if reason is None or reason.errno in _LEFT else reason.strerror
