"""What numpy raises for a file of arrays that is damaged, or was made to look like one, and what it does not survive."""

from __future__ import annotations

import lzma
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Of the zip around .npy files; of a head, which is read as a Python expression; of what a head claims.
UNREADABLE: tuple[type[Exception], ...] = (
    *(OSError, EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError, RuntimeError),
    *(ValueError, TypeError, KeyError, IndexError, SyntaxError, tokenize.TokenError, struct.error, RecursionError),
    *(MemoryError, OverflowError),
)


def in_words(error: Exception) -> str:
    """Return what an error says in one line."""
    text = " ".join(str(error).split())
    if "allow_pickle" in text:
        # numpy takes whatever it does not know for a pickle, and says how to run the code in one.
        return "it is of another kind, or holds Python objects in place of numbers"
    return (
        text if text and not isinstance(error, SyntaxError | tokenize.TokenError | KeyError) else type(error).__name__
    )


def mapped(path: Path) -> NDArray[Any]:
    """Return the array of a .npy file without reading it; not ``np.load``, which would take a .npz or a pickle too.

    Raises:
        ValueError: it has elements of no bytes, at which numpy divides by zero and takes the process with it.
        Exception: one of ``UNREADABLE``.
    """
    with path.open("rb") as stream:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        _, _, dtype = read(stream)
    if dtype.itemsize == 0:
        raise ValueError(f"its elements are of the type {dtype}, which has no bytes")
    array: NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
    return array
