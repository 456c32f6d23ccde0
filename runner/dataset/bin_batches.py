"""Raw ``.bin`` batches, described as AMCT's command line does: ``--input_shape``, ``--data_dir``, ``--data_types``."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner.dataset.item import Item, digest
from runner.dataset.names import is_system_name, listed
from runner.errors import ConfigError, DatasetError, near_names
from runner.printable import shown

# amct.md 1.2
_TYPES = (
    "float64",
    "float32",
    "float16",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "bool",
)


@dataclass(frozen=True, slots=True)
class _Input:
    """One model input and the files of its batches; without an axis to split each file is whole, for all of its items."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    files: tuple[Path, ...]
    axis: int | None

    def part(self, batch: int, row: int) -> NDArray[Any]:
        """Return an item's array: one row along the axis, without it, or all of the file."""
        if self.axis == 0:
            count = prod(self.shape[1:])
            values = np.fromfile(self.files[batch], self.dtype, count, offset=row * count * self.dtype.itemsize)
            return values.reshape(self.shape[1:])
        whole = np.fromfile(self.files[batch], self.dtype, prod(self.shape)).reshape(self.shape)
        return whole if self.axis is None else np.asarray(whole.take(row, axis=self.axis), order="C")


class BinBatches:
    """Items of raw batches, one file a batch and input, in the order of the files' names. They have no labels.

    Args:
        data_dir: a folder per input, ``d1;d2``.
        input_shape: names and shapes of a file, ``name:n,c,h,w;name2:…``, of a scalar ``name:``. A name may hold colons.
        data_types: a numpy type per input, ``float32;int32``; None for float32.
        batch_num: batches to use; None for all.
        batch_axis: input -> the axis along which a file is split into items; None where it is whole, for all items of its
            batch. Of inputs that are not named it is the first axis, unless their first axes (scalars aside) have different
            sizes and so are no batch: a file is an item then.

    Raises:
        ConfigError: shapes, types or folders are malformed or not as many.
        DatasetError: a folder is missing, there are too few files, or a file has another size than its batch.
    """

    def __init__(
        self,
        data_dir: str,
        input_shape: str,
        data_types: str | None = None,
        batch_num: int | None = None,
        batch_axis: dict[str, int | None] | None = None,
    ) -> None:
        shapes = _parse_shapes(input_shape)
        axes = _split_axes(shapes, batch_axis or {})
        self._said = {name: axis for name, axis in (batch_axis or {}).items() if name in shapes}
        folders = [Path(part) for part in _parts(data_dir, "data_dir", len(shapes))]
        types = ["float32"] * len(shapes) if data_types is None else _parts(data_types, "data_types", len(shapes))
        for name in types:
            if name not in _TYPES:
                raise ConfigError(f"dataset.data_types: expected {', '.join(_TYPES)}, got '{name}'.")
        if batch_num is not None and batch_num < 1:
            raise ConfigError(f"dataset.batch_num: expected 1 or more, or null for all, got {batch_num}.")
        files = [_files(folder) for folder in folders]
        if batch_num is None and len({len(found) for found in files}) > 1:
            counts = ", ".join(f"{folder} holds {len(found)}" for folder, found in zip(folders, files, strict=True))
            raise DatasetError(f"dataset.data_dir: expected as many .bin files for every input, but {counts}.")
        batches = len(files[0]) if batch_num is None else batch_num
        for folder, found in zip(folders, files, strict=True):
            if len(found) < batches:
                raise DatasetError(
                    f"dataset.data_dir: {folder} holds {len(found)} .bin files; expected {batches}, one a batch "
                    "(dataset.batch_num)."
                )
        self._folder = folders[0]
        self._inputs = [
            _Input(name, shape, np.dtype(kind), tuple(found[:batches]), axes[name])
            for (name, shape), kind, found in zip(shapes.items(), types, files, strict=True)
        ]
        for one in self._inputs:
            _check_sizes(one)
        self._rows = next((one.shape[one.axis] for one in self._inputs if one.axis is not None), 1)

    def __len__(self) -> int:
        return len(self._inputs[0].files) * self._rows

    def item(self, index: int) -> Item:
        """Return one item of a batch, its arrays under their inputs' names and in their stored types."""
        return Item({one.name: self._part(one, index) for one in self._inputs}, None, self._said)

    def label(self, index: int) -> None:
        """Return None: batches have no labels."""

    def name(self, index: int) -> str:
        """Return ``<file>[<position in the batch>]``."""
        batch, row = divmod(index, self._rows)
        return f"{shown(self._inputs[0].files[batch].name)}[{row}]"

    def fingerprint(self, index: int) -> str:
        """Return a digest of the item's bytes, their types and shapes."""
        parts: list[Any] = []
        for one in self._inputs:
            part = self._part(one, index)
            parts += [one.name, part.tobytes(), [str(one.dtype), *part.shape]]
        return digest(*parts, *([sorted(self._said.items())] if self._said else []))

    def describe(self) -> str:
        """Return the first folder's name."""
        return self._folder.name

    def _part(self, one: _Input, index: int) -> NDArray[Any]:
        return one.part(*divmod(index, self._rows))


def _split_axes(shapes: dict[str, tuple[int, ...]], said: dict[str, int | None]) -> dict[str, int | None]:
    """Return the axis along which each input's files are split; None for those that are whole."""
    for name, axis in said.items():
        if name not in shapes:
            raise ConfigError(
                f"dataset.batch_axis: dataset.input_shape has no input '{name}'.{near_names(name, shapes)}"
            )
        if axis is not None and not 0 <= axis < len(shapes[name]):
            raise ConfigError(
                f"dataset.batch_axis.{name}: expected null or an axis of {list(shapes[name])}, got {axis}."
            )
    rest = [name for name, shape in shapes.items() if name not in said and shape]
    shared = len({shapes[name][0] for name in rest}) == 1
    axes = {name: said.get(name, 0 if shared and name in rest else None) for name in shapes}
    sizes = {name: shapes[name][axis] for name, axis in axes.items() if axis is not None}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"'{name}' {size} along axis {axes[name]}" for name, size in sizes.items())
        raise ConfigError(f"dataset.batch_axis: expected the same batch for every input that is split, got {listed}.")
    return axes


def _parts(text: str, key: str, wanted: int) -> list[str]:
    parts = [part.strip() for part in text.strip().rstrip(";").split(";")]
    if len(parts) != wanted or not all(parts):
        raise ConfigError(
            f"dataset.{key}: expected {wanted} parts separated by ';', one an input of dataset.input_shape, got '{text}'."
        )
    return parts


def _parse_shapes(text: str) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for part in text.strip().rstrip(";").split(";"):
        name, _, dims = part.strip().rpartition(":")
        # ATC writes a scalar as "name:".
        sizes = [dim.strip() for dim in dims.split(",")] if dims.strip() else []
        if not name or not all(size.isascii() and size.isdigit() and int(size) > 0 for size in sizes):
            raise ConfigError(
                f"dataset.input_shape: expected 'name:n,c,h,w', several separated by ';', got '{part.strip()}'."
            )
        if name in shapes:
            raise ConfigError(f"dataset.input_shape: '{name}' is named twice.")
        shapes[name] = tuple(int(size) for size in sizes)
    return shapes


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DatasetError(f"dataset.data_dir: {folder} is no folder; expected one with a .bin file a batch.")
    found = [p for p in listed(folder, "dataset.data_dir") if p.suffix.lower() == ".bin" and p.is_file()]
    found = [path for path in found if not is_system_name(path.name)]
    if not found:
        raise DatasetError(f"dataset.data_dir: {folder} holds no .bin file; expected one a batch.")
    return found


def _check_sizes(one: _Input) -> None:
    expected = prod(one.shape) * one.dtype.itemsize
    for path in one.files:
        size = path.stat().st_size
        if size != expected:
            shape = "x".join(map(str, one.shape))
            raise DatasetError(
                f"dataset.data_dir: {path} has {size} bytes; expected {expected}, a batch of {one.dtype} {shape} for the "
                f"input '{one.name}' (dataset.input_shape, dataset.data_types)."
            )
