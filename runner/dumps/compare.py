"""``compare_dump``: a chip's dump held against the values that a job wrote, tensor by tensor in graph order.

A small error early on is a large one 50 layers later: chips that keep 19 bits of a scale, or compute in float16, are down to
12 dB in real networks, with nothing wrong. So what parts is told from what an operator read, wherever that can be:

* where the dump has what an operator of a layer in int8 read: sums, and what AscendDequant makes of them, have to be right for
  that altogether, codes but for a few (see ``own``), whatever came before;
* elsewhere, as behind float operators: the SQNR lies below a limit, and well below that of every tensor before it.

With ``exact`` any unequal value parts.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner.array_faults import UNREADABLE, in_words, mapped
from runner.dumps.difference import Difference, difference
from runner.dumps.files import DumpFile, DumpFiles
from runner.dumps.index import DumpIndex, IndexedTensor, Place, read_index
from runner.dumps.layout import in_layouts
from runner.dumps.own import deploy_sums, right_codes, right_values
from runner.engine import Engine
from runner.errors import ConfigError, DatasetError, RecordError
from runner.inside import file_inside

# What a float operator may cost on its own: a sum of what nearly cancels does.
_FALL = 10.0


@dataclass(frozen=True, slots=True)
class DumpTolerance:
    """What is no parting.

    Attributes:
        sqnr_db: of a tensor of which is not known whether its operator is right, at least.
        own: share of an AscendQuant's codes that are right for what it read, at least; one off by more than a step is none.
        exact: nothing may differ at all.
    """

    sqnr_db: float = 25.0
    own: float = 0.95
    exact: bool = False

    def __post_init__(self) -> None:
        if not math.isfinite(self.sqnr_db):
            raise ConfigError(f"sqnr: expected a finite number of dB, got {self.sqnr_db}.")
        if not 0 <= self.own <= 1:
            raise ConfigError(f"own: expected a share from 0 to 1, got {self.own}.")


@dataclass(frozen=True, slots=True)
class TensorDifference:
    """A tensor of the job and its dump.

    Attributes:
        layer: as in the index.
        op_type: as in the index.
        tensor: as in the index.
        node: of the deploy file, whose dump it is.
        dump: its file, relative to the folder of dumps.
        layout: that the dump is in; empty where it has the deploy file's shape.
        max_abs: the largest difference; of codes in steps.
        cosine: of the angle between both.
        sqnr_db: of the job's values; None where nothing differs, or a value is not finite.
        equal: share of equal values.
        own: share of values that are what the operator has to give for what the dump says that it read; None where the dump
            does not say that.
        parts: whether it lies outside the tolerance.
        reason: why it could not be compared; empty where it was.
    """

    layer: str
    op_type: str
    tensor: str
    node: str
    dump: str
    layout: str = ""
    max_abs: float | None = None
    cosine: float | None = None
    sqnr_db: float | None = None
    equal: float | None = None
    own: float | None = None
    parts: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class DumpComparison:
    """A dump against one item of a job.

    Attributes:
        item: its number in the folder.
        item_name: what the user calls it.
        tensors: those that the dump has, in graph order.
        missing: ``layer: tensor`` of those that it has not.
        unmatched: operators of the dump that the deploy file does not have.
        hint: what may be wrong with the comparison as a whole; empty where nothing seems to be.
    """

    item: int
    item_name: str
    tensors: tuple[TensorDifference, ...]
    missing: tuple[str, ...]
    unmatched: tuple[str, ...]
    hint: str = ""

    @property
    def first(self) -> TensorDifference | None:
        """The first tensor that parts, in graph order."""
        return next((tensor for tensor in self.tensors if tensor.parts), None)

    @property
    def first_unequal(self) -> TensorDifference | None:
        """The first tensor that is not the same in every value."""
        return next((tensor for tensor in self.tensors if tensor.equal is not None and tensor.equal < 1.0), None)


def compare_dump(
    folder: str | os.PathLike[str],
    dumps: str | os.PathLike[str],
    *,
    item: int = 0,
    tolerance: DumpTolerance | None = None,
) -> DumpComparison:
    """Hold a chip's dump of one run against what a job with ``keep_intermediates`` wrote.

    Args:
        folder: the job's ``amct_log/temp<timestamp>``.
        dumps: of ``.npy`` files that msaccucmp.py converted, at any depth below it.
        item: number of the item that the chip was given, of those in the folder.
        tolerance: what is no parting.

    Raises:
        RecordError: ``folder`` holds no index, or not the files that it lists.
        DatasetError: ``dumps`` holds none, those of several runs, or none of this model that can be compared.
        ConfigError: there is no such item, or the tolerance is out of range.
    """
    job, place = Path(folder), Path(dumps)
    index = read_index(job)
    if not 0 <= item < len(index.items):
        raise ConfigError(f"item: expected 0 to {len(index.items) - 1} (the items in {job}), got {item}.")
    files = DumpFiles(place, index.nodes)
    comparer = _Comparer(job, index, files, tolerance or DumpTolerance())
    found, missing = comparer.of(item)
    if not found:
        shown = ", ".join(files.unmatched[:3])
        raise DatasetError(
            f"{place}: none of its dumps is of a tensor in {job}, which is of {index.deploy_model}; its operators are "
            f"{shown or 'others'}. Dump the model that atc made of that file, with --quant_dumpable=1."
        )
    if all(tensor.reason for tensor in found):
        raise DatasetError(
            f"{place}: none of its {len(found)} dumps of this model can be compared; {found[0].dump}: {found[0].reason}."
        )
    return DumpComparison(
        item, index.items[item].name, tuple(found), tuple(missing), files.unmatched, comparer.hint(item, found)
    )


class _Comparer:
    def __init__(self, folder: Path, index: DumpIndex, files: DumpFiles, tolerance: DumpTolerance) -> None:
        self._folder, self._index, self._files, self._tolerance = folder, index, files, tolerance
        self._sums = deploy_sums(folder, index, Engine())
        self._placed: dict[tuple[int, Place], IndexedTensor] = {}
        for entry in index.tensors:
            for place in entry.places:
                self._placed.setdefault((entry.item, place), entry)

    def of(self, item: int) -> tuple[list[TensorDifference], list[str]]:
        """Return what the dump has of an item's tensors, and what it has not."""
        found: list[TensorDifference] = []
        missing, seen, lowest = [], set(), np.inf
        for entry in self._index.tensors:
            if entry.item != item or entry.file in seen:
                continue  # another layer's, told already
            seen.add(entry.file)
            dumped = self._files.of(entry.places)
            if dumped:
                found.append(self._difference(entry, dumped, lowest))
                lowest = min(lowest, np.inf if found[-1].sqnr_db is None else found[-1].sqnr_db)
            else:
                missing.append(f"{entry.layer}: {entry.tensor}")
        return found, missing

    def hint(self, item: int, found: Sequence[TensorDifference]) -> str:
        """Return that the chip seems to have been given something else, where the very first tensor parts."""
        if not found or not found[0].parts or found[0].tensor not in ("model_input", "input"):
            return ""
        for other in range(len(self._index.items)):
            if other != item:
                entry = next(e for e in self._index.tensors if e.item == other)
                dumped = self._files.of(entry.places)
                if dumped and not self._difference(entry, dumped).parts:
                    return f"the dump's input is that of item {other}, '{self._index.items[other].name}': try --item {other}"
        return (
            "the chip seems to have been given another input: feed it the model_input file of this item, without AIPP"
        )

    def _difference(
        self, entry: IndexedTensor, dumped: Sequence[tuple[Place, DumpFile]], lowest: float = np.inf
    ) -> TensorDifference:
        place, file = dumped[0]
        blank = TensorDifference(
            entry.layer, entry.op_type, entry.tensor, place.node, str(file.path.relative_to(self._files.folder))
        )
        expected = self._expected(entry)
        best = _closest(expected, file.path, entry)
        if isinstance(best, str):
            return replace(blank, reason=best)
        layout, array, between = best
        told = replace(
            blank,
            layout=layout,
            max_abs=between.max_abs,
            cosine=between.cosine,
            sqnr_db=between.sqnr_db,
            equal=between.equal,
            own=self._own(entry, array),
        )
        return replace(told, parts=self._parts(told, lowest))

    def _parts(self, told: TensorDifference, lowest: float) -> bool:
        """Return whether a tensor is outside the tolerance, behind others whose lowest SQNR is given."""
        limits = self._tolerance
        if told.equal == 1.0 or limits.exact:
            return told.equal != 1.0
        if told.own is not None:
            return told.own < (limits.own if told.tensor == "codes" else 1.0)
        return told.sqnr_db is None or told.sqnr_db < min(limits.sqnr_db, lowest - _FALL)

    def _own(self, entry: IndexedTensor, array: NDArray[Any]) -> float | None:
        """Return the share of a tensor's values that its operator has to give for what the dump says that it read."""
        maker = next((place.node for place in entry.places if place.side == "output"), None)
        if maker is None or not entry.int8 or entry.tensor not in ("codes", "sums", "output"):
            return None
        place = Place(maker, "input", 0)
        if entry.tensor == "codes":
            read = self._read(entry.item, place, entry.shape)
            return None if read is None else right_codes(read, array, entry)
        if entry.tensor == "sums":
            codes = self._placed.get((entry.item, place))
            read = None if codes is None else self._read(entry.item, place, codes.shape)
            return None if read is None or self._sums is None else self._sums.right(read, array, maker)
        sums = self._placed.get((entry.item, place))
        if sums is None or sums.tensor != "sums" or sums.op_type == "AveragePool":
            return None
        read = self._read(entry.item, place, entry.shape)
        return None if read is None else right_values(read, array, sums)

    def _read(self, item: int, place: Place, shape: tuple[int, ...]) -> NDArray[Any] | None:
        """Return what the dump says that an operator read, or what the operator before it gave."""
        entry = self._placed.get((item, place))
        for _, file in self._files.of([place, *(() if entry is None else entry.places)]):
            for _, reading in in_layouts(_loaded(file.path), shape):
                return reading
        return None

    def _expected(self, entry: IndexedTensor) -> NDArray[Any]:
        path = self._folder / entry.file
        try:
            path = file_inside(self._folder, entry.file)
            array = mapped(path) if entry.shape and 0 not in entry.shape else np.load(path)
        except UNREADABLE as error:
            raise RecordError(f"{path} cannot be read: {in_words(error)}. Run the job again.") from error
        if array.shape != entry.shape:
            raise RecordError(f"{path}: expected the shape {list(entry.shape)} of the index, got {list(array.shape)}.")
        return array


def _closest(expected: NDArray[Any], path: Path, entry: IndexedTensor) -> tuple[str, NDArray[Any], Difference] | str:
    """Return the reading of a dump that is closest to what was expected, or why there is none."""
    array = _loaded(path)
    if array.dtype.kind not in "fiub":
        return f"its type is {array.dtype}, expected numbers"
    if entry.tensor == "sums" and array.dtype.kind == "f" and not _whole(array):
        return "it holds real values, not sums: the chip dequantized in the same operator"
    readings = []
    for layout, reading in in_layouts(array, entry.shape):
        between = difference(_real(expected, entry), _real(reading, entry))
        readings.append((layout, reading, between))
    if not readings:
        return f"its shape is {list(array.shape)}, expected {list(entry.shape)}; convert it with -f NCHW"
    return max(readings, key=lambda found: found[2].equal if found[2].sqnr_db is None else found[2].sqnr_db / 1000)


def _real(array: NDArray[Any], entry: IndexedTensor) -> NDArray[Any]:
    """Return codes counted from their zero point, anything else as it is."""
    if entry.tensor != "codes":
        return np.asarray(array)
    return np.asarray(array, np.float32) - np.float32(entry.zero_point or 0)


def _whole(array: NDArray[Any]) -> bool:
    return bool(np.all(array == np.rint(array)))


def _loaded(path: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except UNREADABLE as error:
        raise DatasetError(f"{path} cannot be read as .npy: {in_words(error)}. Convert the dump again.") from error
    return array
