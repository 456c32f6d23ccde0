"""Arrays in one .npz file: ``x`` of shape (items, ...), ``y`` class numbers of shape (items,), if any."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner.dataset.item import ONLY_INPUT, Item, digest
from runner.dataset.preprocess import ArrayPreprocess
from runner.errors import DatasetError


class NpzDataset:
    """Items of a .npz file.

    Args:
        path: the file; it holds ``x`` and, for labelled data, ``y``.
        preprocess: from a stored array to model input.

    Raises:
        DatasetError: the file is missing or no .npz, or ``x`` and ``y`` do not fit each other.
    """

    def __init__(self, path: str, preprocess: ArrayPreprocess | None = None) -> None:
        self.path = Path(path)
        self.preprocess = preprocess or ArrayPreprocess()
        if not self.path.is_file():
            raise DatasetError(
                f"dataset.path: {self.path} does not exist; expected a .npz file with the arrays x and y."
            )
        try:
            with self.path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
                stored = {key: arrays[key] for key in ("x", "y") if key in arrays.files}
                names = arrays.files
        except (ValueError, OSError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
            raise DatasetError(f"dataset.path: {self.path} cannot be read as .npz: {error}.") from error
        if "x" not in stored:
            raise DatasetError(f"dataset.path: {self.path} has no array 'x'; it holds {', '.join(names) or 'nothing'}.")
        self._x: NDArray[Any] = stored["x"]
        self._y: NDArray[Any] | None = stored.get("y")
        self._check()

    def __len__(self) -> int:
        return len(self._x)

    def item(self, index: int) -> Item:
        """Return one item as float32 and its label."""
        return Item({ONLY_INPUT: self.preprocess(self._x[index])}, self.label(index))

    def label(self, index: int) -> int | None:
        """Return an item's class, or None without ``y``."""
        return None if self._y is None else int(self._y[index])

    def name(self, index: int) -> str:
        """Return ``<file>[<index>]``."""
        return f"{self.path.name}[{index}]"

    def fingerprint(self, index: int) -> str:
        """Return a digest of the stored array, its label and the preprocessing."""
        x = np.ascontiguousarray(self._x[index])
        return digest(x.tobytes(), [str(x.dtype), *x.shape], self.label(index), self.preprocess.settings())

    def describe(self) -> str:
        """Return the file's name without its suffix."""
        return self.path.stem

    def _check(self) -> None:
        if self._x.ndim == 0 or len(self._x) == 0:
            raise DatasetError(
                f"dataset.path: {self.path}: x has shape {list(self._x.shape)}; expected at least one item."
            )
        if self._x.dtype.kind not in "fiub":
            raise DatasetError(f"dataset.path: {self.path}: x is {self._x.dtype}; expected numbers.")
        if self._y is None:
            return
        if self._y.shape != (len(self._x),) or self._y.dtype.kind not in "iu":
            raise DatasetError(
                f"dataset.path: {self.path}: y is {self._y.dtype} of shape {list(self._y.shape)}; "
                f"expected {len(self._x)} class numbers, one an item of x."
            )
        if self._y.min() < 0:
            first = int(np.argmax(self._y < 0))
            raise DatasetError(f"dataset.path: {self.path}: y[{first}] is {self._y[first]}; expected 0 or more.")
