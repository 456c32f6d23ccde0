"""One look at the float model: the range of every tensor that is quantized. It holds for every plan, so it is taken once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.calibration.observer import Observer, TensorStatistic
from runner.dataset.item import Dataset
from runner.engine import Engine
from runner.errors import ModelError
from runner.graph.layers import FoundLayers
from runner.graph.probe import with_outputs
from runner.ranges import Range
from runner.session import Session

# The version of this stage's meaning: raise it when the same inputs would give other ranges.
VERSION = 4
_SAMPLE = 4096

# A tensor's name and the identity of the observer that looks at it: an observer of a user's own need not be hashable.
_Key = tuple[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """What was seen of each layer's input, by layer name, and of each input of another node, by its key.

    Attributes:
        ranges: the observer's choice.
        samples: evenly spaced values of the first item, shape (n,), n at most 4096.
        input_shapes: of the first item, with batch axis.
        extremes: the smallest and the largest value.
    """

    ranges: dict[str, Range]
    samples: dict[str, NDArray[np.float32]]
    input_shapes: dict[str, tuple[int, ...]]
    extremes: dict[str, Range]


def collect(
    model: ir.Model,
    found: FoundLayers,
    dataset: Dataset,
    indices: Sequence[int],
    *,
    observer: Observer,
    observers: Mapping[str, Observer] | None = None,
    engine: Engine,
    progress: Callable[[int], None] = lambda done: None,
) -> Calibration:
    """Return the ranges of what is quantized over the items, in as many passes as the observer needs.

    Args:
        model: the prepared float model at a runnable opset.
        found: its layers, and inputs of other nodes that are quantized too.
        dataset: calibration data.
        indices: which items of it.
        observer: how ranges are chosen.
        observers: layer name or tensor's key -> observer, of those that have one of their own.
        engine: runs the model.
        progress: told the number of items done, over all passes.

    Raises:
        ModelError: an activation holds a value that is not finite.
    """
    sources = {layer.name: layer.input for layer in found.layers} | {
        tensor.key: tensor.source for tensor in found.tensors
    }
    keys: dict[str, _Key] = {}
    statistics: dict[_Key, TensorStatistic] = {}
    for name, source in sources.items():
        chosen = (observers or {}).get(name, observer)
        # Nodes that read one tensor share its statistic, unless different observers look at it.
        keys[name] = key = (source, id(chosen))
        if key not in statistics:
            statistics[key] = chosen.start(len(indices))
    session = Session(with_outputs(model, _tensors(statistics)))
    extremes: dict[str, Range] = {}
    samples: dict[str, NDArray[np.float32]] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    unfinished = list(statistics)
    done = 0
    while unfinished:
        wanted, tensors = unfinished, _tensors(unfinished)

        def reduce(
            index: int, arrays: list[NDArray[Any]], wanted: list[_Key] = wanted, tensors: list[str] = tensors
        ) -> tuple[list[Range], list[Any]]:
            values = dict(zip(tensors, arrays, strict=True))
            if index == indices[0] and not samples:
                for name, array in values.items():
                    samples[name], shapes[name] = _sample(array), array.shape
            ends = [_ends(array, name) for name, array in values.items()]
            return ends, [statistics[key].reduce(np.asarray(values[key[0]], np.float32)) for key in wanted]

        for ends, partials in engine.map(session, dataset, indices, reduce, outputs=tensors):
            for name, range_ in zip(tensors, ends, strict=True):
                before = extremes.get(name, range_)
                extremes[name] = Range(min(before.low, range_.low), max(before.high, range_.high))
            for key, partial in zip(wanted, partials, strict=True):
                statistics[key].merge(partial)
            done += 1
            progress(done)
        unfinished = [key for key in wanted if statistics[key].end_pass()]
    ranges = {key: statistic.result() for key, statistic in statistics.items()}
    return Calibration(
        {name: ranges[key] for name, key in keys.items()},
        {name: samples[source] for name, source in sources.items()},
        {name: shapes[source] for name, source in sources.items()},
        {name: extremes[source] for name, source in sources.items()},
    )


def check_finite(array: NDArray[Any], name: str) -> None:
    """Raise a ModelError when the activation called ``name`` holds a value that is not finite."""
    # Both pass NaN on.
    if not (np.isfinite(array.min()) and np.isfinite(array.max())):
        raise ModelError(f"calibration: the activation '{name}' holds NaN or infinity; expected finite values.")


def _tensors(keys: Iterable[_Key]) -> list[str]:
    return list(dict.fromkeys(name for name, _ in keys))


def _ends(array: NDArray[Any], name: str) -> Range:
    low, high = array.min(), array.max()
    check_finite(np.array([low, high]), name)  # both pass NaN on
    return Range(float(low), float(high))


def _sample(array: NDArray[Any]) -> NDArray[np.float32]:
    flat = array.reshape(-1)
    step = max(1, flat.size // _SAMPLE)
    return np.array(flat[::step][:_SAMPLE], np.float32)
