"""Arrays in one .npz file: ``x`` of shape (items, ...), ``y`` class numbers of shape (items,), if any."""

from __future__ import annotations

import threading
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from runner.dataset.array_table import ArrayTable
from runner.dataset.item import ONLY_INPUT, Item
from runner.dataset.preprocess import ArrayPreprocess
from runner.errors import DatasetError

# Datasets on one file, such as calibration and evaluation data, share what was read for as long as one of them lives.
_READ: WeakValueDictionary[tuple[str, int, int, str], NDArray[Any]] = WeakValueDictionary()
_READING = threading.Lock()


class NpzDataset:
    """Items of a .npz file.

    Args:
        path: the file; it holds ``x`` and, for labelled data, ``y``.
        inputs: for several model inputs, model input -> name of its array in the file, in place of ``x``.
        preprocess: from a stored array to model input.
        preprocess_inputs: the model inputs that ``preprocess`` is for; None for all.

    Raises:
        DatasetError: the file is missing or no .npz, or its arrays do not fit one another.
    """

    def __init__(
        self,
        path: str,
        preprocess: ArrayPreprocess | None = None,
        inputs: dict[str, str] | None = None,
        preprocess_inputs: list[str] | None = None,
    ) -> None:
        self.path = Path(path)
        self.preprocess = preprocess or ArrayPreprocess()
        arrays = inputs or {ONLY_INPUT: "x"}
        stored = _read(self.path, [*arrays.values(), "y"])
        self._table = ArrayTable(
            {name: stored[array] for name, array in arrays.items()},
            stored.get("y"),
            self.preprocess,
            titles={name: f"dataset.path: {self.path}: {array}" for name, array in arrays.items()}
            | {ArrayTable.LABELS: f"dataset.path: {self.path}: y"},
            preprocessed=preprocess_inputs,
        )

    def __len__(self) -> int:
        return len(self._table)

    def item(self, index: int) -> Item:
        """Return one item and its label; what is not scaled keeps its stored type."""
        return self._table.item(index)

    def label(self, index: int) -> int | None:
        """Return an item's class, or None without ``y``."""
        return self._table.label(index)

    def name(self, index: int) -> str:
        """Return ``<file>[<index>]``."""
        return f"{self.path.name}[{index}]"

    def fingerprint(self, index: int) -> str:
        """Return a digest of the stored arrays and the preprocessing."""
        return self._table.fingerprint(index)

    def describe(self) -> str:
        """Return the file's name without its suffix."""
        return self.path.stem


def _read(path: Path, wanted: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Return the wanted arrays of a file; ``y`` only where it is there.

    Raises:
        DatasetError: the file is missing or no .npz, or an array is missing.
    """
    if not path.is_file():
        raise DatasetError(f"dataset.path: {path} does not exist; expected a .npz file with the arrays x and y.")
    stat = path.stat()
    file = (str(path.resolve()), stat.st_mtime_ns, stat.st_size)
    try:
        with _READING, path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            missing = [name for name in wanted if name not in arrays.files and name != "y"]
            if missing:
                held = ", ".join(arrays.files) or "nothing"
                raise DatasetError(f"dataset.path: {path} has no array '{missing[0]}'; it holds {held}.")
            read: dict[str, NDArray[Any]] = {}
            for name in dict.fromkeys(wanted):
                if name in arrays.files:
                    kept = _READ.get((*file, name))
                    read[name] = arrays[name] if kept is None else kept
                    read[name].flags.writeable = False
                    _READ[(*file, name)] = read[name]
    except (ValueError, OSError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise DatasetError(f"dataset.path: {path} cannot be read as .npz: {error}.") from error
    return read
