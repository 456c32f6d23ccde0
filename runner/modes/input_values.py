"""What values reach the model: range and mean of each input over some items, to be held against what it was trained with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.dataset.binding import bind, repeats
from runner.dataset.item import evenly_spaced
from runner.dataset.subset import Subset
from runner.session import InputSpec, input_specs
from runner.store.stage import Codec, Stage
from runner.store.store import Entry, Store

# Enough to tell bytes from numbers around zero; evaluation reads them all.
_ITEMS = 32


@dataclass(frozen=True, slots=True)
class InputValues:
    """The finite values of one input over some items."""

    low: float
    high: float
    mean: float


@dataclass(frozen=True, slots=True)
class InputsSeen:
    """What reaches the model.

    Attributes:
        values: of each input of numbers that were finite, by name.
        items: how many were looked at.
        batch: how often each is repeated to fill a batch that the model fixes.
    """

    values: Mapping[str, InputValues]
    items: int
    batch: int = 1


@dataclass(frozen=True, slots=True)
class InputsSeenInputs:
    """What the values that reach the model depend on."""

    model_inputs: tuple[InputSpec, ...]
    some_items: str


INPUTS_SEEN = Stage(
    "values of the inputs",
    InputsSeenInputs,
    Codec(
        lambda seen: Entry(
            [seen.items, seen.batch, [[name, v.low, v.high, v.mean] for name, v in seen.values.items()]],
        ),
        lambda entry: InputsSeen(
            {str(name): InputValues(*map(float, figures)) for name, *figures in entry.values[2]},
            int(entry.values[0]),
            int(entry.values[1]),
        ),
    ),
    profile=None,
)


def cached_inputs_seen(model: ir.Model, evaluation: Subset, store: Store | None) -> InputsSeen:
    """Return what reaches a model's inputs, of some of the evaluation items; see ``inputs_seen``."""
    some = seen_subset(evaluation)
    inputs = InputsSeenInputs(input_specs(model), some.content)
    return INPUTS_SEEN.cached(store, inputs, lambda: inputs_seen(model, some))


def seen_subset(part: Subset) -> Subset:
    """Return the items that are looked at."""
    count = len(part.indices)
    return Subset(part.dataset, [part.indices[at] for at in evenly_spaced(min(_ITEMS, count), count)])


def inputs_seen(model: ir.Model, part: Subset) -> InputsSeen:
    """Return what reaches a model's inputs.

    Args:
        model: any with the job's inputs.
        part: the items to look at.

    Raises:
        DatasetError: an item does not fit the inputs.
    """
    specs = input_specs(model)
    parts: dict[str, list[tuple[float, float, float, int]]] = {spec.name: [] for spec in specs}
    batch = 1
    for index in part.indices:
        item = part.dataset.item(index)
        batch = max(batch, repeats(item, specs))
        for name, array in bind(item, specs, name=part.dataset.name(index)).items():
            parts[name] += _figures(array)
    return InputsSeen(_summed(specs, parts), len(part.indices), batch)


def _figures(array: NDArray[np.generic]) -> list[tuple[float, float, float, int]]:
    """Return (least, greatest, sum, count) of an array's finite numbers; nothing where it has none."""
    if array.dtype.kind not in "iuf":
        return []
    finite = array if array.dtype.kind != "f" else array[np.isfinite(array)]
    if finite.size == 0:
        return []
    return [(float(finite.min()), float(finite.max()), float(finite.sum(dtype=np.float64)), finite.size)]


def _summed(
    specs: tuple[InputSpec, ...], parts: Mapping[str, list[tuple[float, float, float, int]]]
) -> dict[str, InputValues]:
    values = {}
    for spec in specs:
        if parts[spec.name]:
            lows, highs, sums, counts = zip(*parts[spec.name], strict=True)
            values[spec.name] = InputValues(min(lows), max(highs), sum(sums) / sum(counts))
    return values
