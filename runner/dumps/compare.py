"""``compare_dump``: a chip's dump held against the values that a job wrote, tensor by tensor in graph order.

What parts is told in two ways, since a small error early on is a large one 50 layers later:

* how far a tensor is from the job's: largest difference, cosine, SQNR, share of equal values. It parts where the SQNR is below
  a limit. Chips that keep 19 bits of a scale, or compute in float16, stay above 30 dB over the shipped model's 26 layers.
* where the dump has what an AscendQuant or AscendDequant read, whether it gave what it has to give for that, whatever came
  before: ``sat(round_half_even(fl32(fl32(x * r) + offset)))``, or ``acc * scale``. It parts where a share of its values does
  not: codes are wrong, or more than a few off by one; real values are off by more than 19 bits of scale and float16 explain.

With ``exact`` any unequal value parts.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner.arithmetic import reciprocal
from runner.dumps.difference import Difference, difference
from runner.dumps.files import DumpFile, DumpFiles
from runner.dumps.index import DumpIndex, Place, TensorEntry, read_index
from runner.dumps.layout import in_layouts
from runner.errors import ConfigError, DatasetError, RecordError

# 2^-10 of a truncated scale and 2^-11 of a rounded half are below it.
_RELATIVE = 2.0**-9


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What is no parting.

    Attributes:
        sqnr_db: of a tensor, at least.
        own: share of an AscendQuant's or AscendDequant's values that are what they have to be for what it read, at least.
        exact: nothing may differ at all.
    """

    sqnr_db: float = 25.0
    own: float = 0.95
    exact: bool = False

    def __post_init__(self) -> None:
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
    tolerance: Tolerance | None = None,
) -> DumpComparison:
    """Hold a chip's dump of one run against what a job with ``keep_intermediates`` wrote.

    Args:
        folder: ``amct_log/temp<timestamp>`` of the job.
        dumps: of ``.npy`` files that msaccucmp.py converted, at any depth below it.
        item: number of the item that the chip was given, of those in the folder.
        tolerance: what is no parting.

    Raises:
        RecordError: ``folder`` holds no index, or not the files that it lists.
        DatasetError: ``dumps`` holds none, those of several runs, or none of this model.
        ConfigError: there is no such item, or the tolerance is out of range.
    """
    job, place = Path(folder), Path(dumps)
    index = read_index(job)
    if not 0 <= item < len(index.items):
        raise ConfigError(f"item: expected 0 to {len(index.items) - 1} (the items in {job}), got {item}.")
    files = DumpFiles(place, index.nodes)
    comparison = _Comparison(job, index, files, tolerance or Tolerance())
    found, missing = comparison.of(item)
    if not found:
        shown = ", ".join(files.unmatched[:3])
        raise DatasetError(
            f"{place}: none of its dumps is of a tensor in {job}, which is of {index.deploy_model}; its operators are "
            f"{shown or 'others'}. Dump the model that atc made of that file, with --quant_dumpable=1."
        )
    return DumpComparison(
        item, index.items[item].name, tuple(found), tuple(missing), files.unmatched, comparison.hint(item, found)
    )


class _Comparison:
    def __init__(self, folder: Path, index: DumpIndex, files: DumpFiles, tolerance: Tolerance) -> None:
        self._folder, self._index, self._files, self._tolerance = folder, index, files, tolerance

    def of(self, item: int) -> tuple[list[TensorDifference], list[str]]:
        """Return what the dump has of an item's tensors, and what it has not."""
        found, missing, seen = [], [], set()
        entries = [entry for entry in self._index.tensors if entry.item == item]
        outputs = {entry.layer: entry for entry in entries if entry.tensor == "sums"}
        for entry in entries:
            if entry.file in seen:
                continue  # another layer's, told already
            seen.add(entry.file)
            dumped = self._files.of(entry.places)
            if dumped:
                found.append(self._difference(entry, dumped, outputs.get(entry.layer)))
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
                if dumped and not self._difference(entry, dumped, None).parts:
                    return f"the dump's input is that of item {other}, '{self._index.items[other].name}': try --item {other}"
        return (
            "the chip seems to have been given another input: feed it the model_input file of this item, without AIPP"
        )

    def _difference(
        self, entry: TensorEntry, dumped: Sequence[tuple[Place, DumpFile]], sums: TensorEntry | None
    ) -> TensorDifference:
        place, file = dumped[0]
        blank = TensorDifference(
            entry.layer, entry.op_type, entry.tensor, place.node, str(file.path.relative_to(self._files.folder))
        )
        expected = self._expected(entry)
        best = _closest(expected, file.path, entry)
        if isinstance(best, str):
            return replace(blank, parts=self._tolerance.exact, reason=best)
        layout, array, between = best
        told = replace(
            blank,
            layout=layout,
            max_abs=between.max_abs,
            cosine=between.cosine,
            sqnr_db=between.sqnr_db,
            equal=between.equal,
            own=self._own(entry, array, sums),
        )
        return replace(told, parts=self._parts(told))

    def _parts(self, told: TensorDifference) -> bool:
        limits = self._tolerance
        if told.equal == 1.0:
            return False
        if limits.exact or told.sqnr_db is None:
            return True
        return told.sqnr_db < limits.sqnr_db or (told.own is not None and told.own < limits.own)

    def _own(self, entry: TensorEntry, array: NDArray[Any], sums: TensorEntry | None) -> float | None:
        """Return the share of a tensor's values that its operator has to give for what the dump says that it read."""
        maker = next((place.node for place in entry.places if place.side == "output"), None)
        if maker is None:
            return None
        if entry.tensor == "codes":
            read = self._read(Place(maker, "input", 0), array.shape)
            return None if read is None else _right_codes(read, array, entry)
        if entry.tensor != "output" or sums is None or entry.op_type == "AveragePool":
            return None
        read = self._read(Place(maker, "input", 0), array.shape)
        return None if read is None else _right_values(read, array, sums)

    def _read(self, place: Place, shape: tuple[int, ...]) -> NDArray[Any] | None:
        """Return what the dump says that an operator read, or what the operator before it gave."""
        places = [entry.places for entry in self._index.tensors if place in entry.places]
        for _, file in self._files.of([place, *(places[0] if places else ())]):
            readings = list(in_layouts(_loaded(file.path), shape))
            if readings:
                return readings[0][1]
        return None

    def _expected(self, entry: TensorEntry) -> NDArray[Any]:
        path = self._folder / entry.file
        try:
            array: NDArray[Any] = np.load(path, mmap_mode="r" if entry.shape and 0 not in entry.shape else None)
        except (OSError, ValueError) as error:
            raise RecordError(f"{path} cannot be read: {error}. Run the job again.") from error
        if array.shape != entry.shape:
            raise RecordError(f"{path}: expected the shape {list(entry.shape)} of the index, got {list(array.shape)}.")
        return array


def _closest(expected: NDArray[Any], path: Path, entry: TensorEntry) -> tuple[str, NDArray[Any], Difference] | str:
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


def _real(array: NDArray[Any], entry: TensorEntry) -> NDArray[Any]:
    """Return codes counted from their zero point, anything else as it is."""
    if entry.tensor != "codes":
        return np.asarray(array)
    return np.asarray(array, np.float32) - np.float32(entry.zero_point or 0)


def _right_codes(read: NDArray[Any], codes: NDArray[Any], entry: TensorEntry) -> float:
    """Return the share of codes that AscendQuant gives for what it read; 0 where one is off by more than a step."""
    if codes.size == 0:
        return 1.0
    r = np.float32(reciprocal(entry.scale[0]))
    with np.errstate(over="ignore", invalid="ignore"):
        shifted = np.asarray(read, np.float32) * r + np.float32(entry.zero_point or 0)
    right = np.clip(np.rint(shifted), -128, 127)
    steps = np.abs(np.asarray(codes, np.float32) - right)
    return 0.0 if not np.all(steps <= 1) else float(np.mean(steps == 0))


def _right_values(read: NDArray[Any], values: NDArray[Any], sums: TensorEntry) -> float:
    """Return the share of values that are the sums read, times the layer's scales, to a chip's precision."""
    if values.size == 0:
        return 1.0
    scale = np.asarray(sums.scale, np.float32)
    if scale.size > 1:
        axis = values.ndim - 1 if sums.op_type in ("Gemm", "MatMul") else 1
        scale = scale.reshape(-1, *[1] * (values.ndim - 1 - axis))
    right = np.asarray(read, np.float64) * scale
    return float(np.mean(np.abs(values - right) <= _RELATIVE * np.abs(right)))


def _whole(array: NDArray[Any]) -> bool:
    return bool(np.all(array == np.rint(array)))


def _loaded(path: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DatasetError(f"{path} cannot be read as .npy: {error}. Convert the dump again.") from error
    return array
