"""Arrays in .npy files, read from disk item by item: data may be larger than memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from runner.array_faults import UNREADABLE, in_words, mapped
from runner.dataset.array_table import ArrayTable
from runner.dataset.item import ONLY_INPUT, Item
from runner.dataset.preprocess import ArrayPreprocess
from runner.errors import ConfigError, DatasetError
from runner.printable import no_file


class NpyDataset:
    """Items of .npy files, items first.

    Args:
        path: the file of a model's only input; None where ``inputs`` names several.
        labels: file with class numbers of shape (items,), or None.
        inputs: model input -> file, in place of ``path``.
        preprocess: from a stored array to model input.
        preprocess_inputs: the model inputs that ``preprocess`` is for; None for all.

    Raises:
        DatasetError: a file is missing or no .npy, or the arrays do not fit one another.
        ConfigError: neither or both of ``path`` and ``inputs`` are given.
    """

    def __init__(
        self,
        path: str | None = None,
        labels: str | None = None,
        inputs: dict[str, str] | None = None,
        preprocess: ArrayPreprocess | None = None,
        preprocess_inputs: list[str] | None = None,
    ) -> None:
        if (path is None) == (not inputs):
            raise ConfigError(
                "dataset.path: expected a .npy file, or dataset.inputs with one a model input; got "
                f"{'neither' if path is None else 'both'}."
            )
        files = {name: Path(file) for name, file in (inputs or {ONLY_INPUT: path or ""}).items()}
        keys = {name: "dataset.path" if name == ONLY_INPUT else f"dataset.inputs.{name}" for name in files}
        self.path = next(iter(files.values()))
        self.preprocess = preprocess or ArrayPreprocess()
        titles = {name: f"{keys[name]}: {file}: the array" for name, file in files.items()}
        self._table = ArrayTable(
            {name: _mapped(file, keys[name]) for name, file in files.items()},
            None if labels is None else _mapped(Path(labels), "dataset.labels"),
            self.preprocess,
            titles=titles | {ArrayTable.LABELS: f"dataset.labels: {labels}: the array"},
            preprocessed=preprocess_inputs,
        )

    def __len__(self) -> int:
        return len(self._table)

    def item(self, index: int) -> Item:
        """Return one item and its label; what is not scaled keeps its stored type."""
        return self._table.item(index)

    def label(self, index: int) -> int | None:
        """Return an item's class, or None without labels."""
        return self._table.label(index)

    def name(self, index: int) -> str:
        """Return ``<file>[<index>]``."""
        return f"{self.path.name}[{index}]"

    def fingerprint(self, index: int) -> str:
        """Return a digest of the stored arrays and the preprocessing."""
        return self._table.fingerprint(index)

    def describe(self) -> str:
        """Return the first file's name without its suffix."""
        return self.path.stem


def _mapped(path: Path, key: str) -> NDArray[Any]:
    if not path.is_file():
        raise DatasetError(f"{key}: {no_file(path)}; expected a .npy file, as numpy.save writes it.")
    try:
        return mapped(path)
    except UNREADABLE as error:
        raise DatasetError(f"{key}: {path} cannot be read as .npy: {in_words(error)}.") from error
