"""What numpy raises for a file of arrays that is damaged, or was made to look like one."""

from __future__ import annotations

import lzma
import struct
import tokenize
import zipfile
import zlib

# Of the zip around .npy files; of a head, which is read as a Python expression; of what a head claims.
UNREADABLE: tuple[type[Exception], ...] = (
    *(OSError, EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError, RuntimeError),
    *(ValueError, TypeError, KeyError, IndexError, SyntaxError, tokenize.TokenError, struct.error, RecursionError),
    *(MemoryError, OverflowError),
)


def in_words(error: Exception) -> str:
    """Return what an error says in one line."""
    text = " ".join(str(error).split())
    return (
        text if text and not isinstance(error, SyntaxError | tokenize.TokenError | KeyError) else type(error).__name__
    )
