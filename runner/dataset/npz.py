"""Arrays in one .npz file: ``x`` of shape (items, ...), and ``y`` class numbers of shape (items,) or true outputs, if any."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from runner.array_faults import UNREADABLE, in_words
from runner.dataset.array_table import ArrayTable, check_truth
from runner.dataset.item import ONLY_INPUT, Item, Truth
from runner.dataset.preprocess import ArrayPreprocess
from runner.errors import DatasetError
from runner.printable import no_file

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
        truth: model output -> name of the array of what is true of it, of shape (items, ...), in place of ``y``; NaN where
            that is not known.

    Raises:
        DatasetError: the file is missing or no .npz, or its arrays do not fit one another.
    """

    def __init__(
        self,
        path: str,
        preprocess: ArrayPreprocess | None = None,
        inputs: dict[str, str] | None = None,
        preprocess_inputs: list[str] | None = None,
        truth: dict[str, str] | None = None,
    ) -> None:
        self.path = Path(path)
        self.preprocess = preprocess or ArrayPreprocess()
        arrays = inputs or {ONLY_INPUT: "x"}
        true = truth or {}
        stored = _read(self.path, [*arrays.values(), *true.values(), "y"])
        self._table = ArrayTable(
            {name: stored[array] for name, array in arrays.items()},
            None if true else stored.get("y"),
            self.preprocess,
            titles={name: f"dataset.path: {self.path}: {array}" for name, array in arrays.items()}
            | {ArrayTable.LABELS: f"dataset.path: {self.path}: y"},
            preprocessed=preprocess_inputs,
        )
        self._truth = {output: stored[array] for output, array in true.items()}
        for output, array in true.items():
            check_truth(self._truth[output], len(self), f"dataset.path: {self.path}: {array}")

    def __len__(self) -> int:
        return len(self._table)

    def item(self, index: int) -> Item:
        """Return one item and its label; what is not scaled keeps its stored type."""
        return replace(self._table.item(index), label=self.label(index))

    def label(self, index: int) -> Truth:
        """Return an item's class, None without ``y``; or what is true of each output, by its name."""
        if self._truth:
            return {output: np.asarray(array[index]) for output, array in self._truth.items()}
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
        raise DatasetError(f"dataset.path: {no_file(path)}; expected a .npz file with the arrays x and y.")
    stat = path.stat()
    file = (str(path.resolve()), stat.st_mtime_ns, stat.st_size)
    try:
        with _READING, path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            missing = [name for name in wanted if name not in arrays.files and name != "y"]
            if missing:
                held = ", ".join(arrays.files) or "nothing"
                raise DatasetError(
                    f"dataset.path: {path} has no array '{missing[0]}'; it holds {held}. Store the items as 'x', or "
                    "name their array: dataset.inputs={MODEL_INPUT: ARRAY}."
                )
            read: dict[str, NDArray[Any]] = {}
            for name in dict.fromkeys(wanted):
                if name in arrays.files:
                    kept = _READ.get((*file, name))
                    read[name] = arrays[name] if kept is None else kept
                    if not isinstance(
                        read[name], np.ndarray
                    ):  # numpy gives a member that begins in no array's way as bytes
                        raise ValueError(f"its member {name} is no array")
                    read[name].flags.writeable = False
                    _READ[(*file, name)] = read[name]
    except UNREADABLE as error:
        raise DatasetError(f"dataset.path: {path} cannot be read as .npz: {in_words(error)}.") from error
    return read
