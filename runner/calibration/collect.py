"""One look at the float model: the range of every tensor that is quantized. It holds for every plan, so it is taken once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner.calibration.observer import Observer, TensorStatistic
from runner.dataset.binding import bind
from runner.dataset.finite import not_finite
from runner.dataset.item import Dataset
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.graph.layers import LayeredModel
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

    What holds no value for any item (rows that a detector picks, and picks none) is in ``input_shapes`` alone.

    Attributes:
        ranges: the observer's choice.
        samples: evenly spaced values of the first item that has any, shape (n,), n at most 4096.
        input_shapes: of the same item, with batch axis.
        extremes: the smallest and the largest value.
    """

    ranges: dict[str, Range]
    samples: dict[str, NDArray[np.float32]]
    input_shapes: dict[str, tuple[int, ...]]
    extremes: dict[str, Range]


def collect(
    model: LayeredModel,
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
        model: the prepared float model at a runnable opset, with its layers and inputs of other nodes that are quantized too.
        dataset: calibration data.
        indices: which items of it.
        observer: how ranges are chosen.
        observers: layer name or tensor's key -> observer, of those that have one of their own.
        engine: runs the model.
        progress: told the number of items done, over all passes.

    Raises:
        ModelError: an activation holds a value that is not finite.
        DatasetError: it does because an item holds one.
    """
    sources = {layer.name: layer.input for layer in model.layers} | {
        tensor.key: tensor.source for tensor in model.tensors
    }
    keys: dict[str, _Key] = {}
    statistics: dict[_Key, TensorStatistic] = {}
    for name, source in sources.items():
        chosen = (observers or {}).get(name, observer)
        # Nodes that read one tensor share its statistic, unless different observers look at it.
        keys[name] = key = (source, id(chosen))
        if key not in statistics:
            statistics[key] = chosen.start(len(indices))
    session = Session(with_outputs(model.graph, _tensors(statistics)))
    extremes: dict[str, Range] = {}
    samples: dict[str, NDArray[np.float32]] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    firsts: dict[str, int] = {}  # of the items that have a value
    remedies = {
        source: _remedy(
            [layer.name for layer in model.layers if layer.input == source],
            [tensor.key for tensor in model.tensors if tensor.source == source],
        )
        for source in _tensors(statistics)
    }
    unfinished = list(statistics)
    done = 0
    while unfinished:
        wanted, tensors = unfinished, _tensors(unfinished)

        def reduce(
            index: int, arrays: list[NDArray[Any]], wanted: list[_Key] = wanted, tensors: list[str] = tensors
        ) -> tuple[list[Range | None], list[Any]]:
            values = dict(zip(tensors, arrays, strict=True))
            if index == indices[0] and not samples:
                for name, array in values.items():
                    samples[name], shapes[name] = _sample(array), array.shape
            ends = [_ends(array, name, dataset, index, remedies[name]) for name, array in values.items()]
            return ends, [
                statistics[key].reduce(np.asarray(values[key[0]], np.float32)) if values[key[0]].size else None
                for key in wanted
            ]

        for index, (ends, partials) in zip(
            indices, engine.map(session, Subset(dataset, indices), reduce, outputs=tensors), strict=True
        ):
            _widen(extremes, firsts, index, dict(zip(tensors, ends, strict=True)))
            for key, partial in zip(wanted, partials, strict=True):
                if partial is not None:
                    statistics[key].merge(partial)
            done += 1
            progress(done)
        unfinished = [key for key in wanted if key[0] in firsts and statistics[key].end_pass()]
    later = {name: index for name, index in firsts.items() if not samples[name].size}
    for name, array in _values_of(session, dataset, later).items():
        samples[name], shapes[name] = _sample(array), array.shape
    ranges = {key: statistic.result() for key, statistic in statistics.items() if key[0] in firsts}
    seen = {name: source for name, source in sources.items() if source in firsts}
    return Calibration(
        {name: ranges[keys[name]] for name in seen},
        {name: samples[source] for name, source in seen.items()},
        {name: shapes[source] for name, source in sources.items()},
        {name: extremes[source] for name, source in seen.items()},
    )


def check_finite(array: NDArray[Any], name: str, dataset: Dataset, index: int, readers: Sequence[str]) -> None:
    """Raise an error when the activation called ``name`` holds a value that is not finite for an item of a dataset.

    Args:
        array: the activation.
        name: its name.
        dataset: of the item.
        index: which of its items.
        readers: names of the layers that are to read it in int8.

    Raises:
        ModelError: the item is finite itself.
        DatasetError: it is not.
    """
    _ends(array, name, dataset, index, _remedy(readers))


def _tensors(keys: Iterable[_Key]) -> list[str]:
    return list(dict.fromkeys(name for name, _ in keys))


def _ends(array: NDArray[Any], name: str, dataset: Dataset, index: int, remedy: str) -> Range | None:
    if not array.size:
        return None
    low, high = array.min(), array.max()
    if not (np.isfinite(low) and np.isfinite(high)):  # both pass NaN on
        raise not_finite(dataset, index, name, what="the activation", remedy=remedy)
    return Range(float(low), float(high))


def _remedy(layers: Sequence[str], tensors: Sequence[str] = ()) -> str:
    """Return what may be done about an activation that layers, or inputs of other nodes, are to have in int8."""
    ways = []
    if layers:
        ways.append(f"leave float what reads it: skip_layers=[{','.join(layers)}]")
    if tensors:
        ways.append(f"do not round {', '.join(tensors)} (take it out of tensor_quantize)")
    return f"Mend the model, or {', and '.join(ways)}."


def _widen(extremes: dict[str, Range], firsts: dict[str, int], index: int, ends: Mapping[str, Range | None]) -> None:
    """Add the ends of an item's tensors to what was seen, and the item as the first one of those that had no value yet."""
    for name, range_ in ends.items():
        if range_ is not None:
            firsts.setdefault(name, index)
            before = extremes.get(name, range_)
            extremes[name] = Range(min(before.low, range_.low), max(before.high, range_.high))


def _values_of(session: Session, dataset: Dataset, items: Mapping[str, int]) -> dict[str, NDArray[Any]]:
    """Return some tensors, each for an item of its own."""
    values: dict[str, NDArray[Any]] = {}
    for index in dict.fromkeys(items.values()):
        names = [name for name, item in items.items() if item == index]
        feeds = bind(dataset.item(index), session.inputs, name=dataset.name(index))
        values |= zip(names, session.run(feeds, names), strict=True)
    return values


def _sample(array: NDArray[Any]) -> NDArray[np.float32]:
    flat = array.reshape(-1)
    step = max(1, flat.size // _SAMPLE)
    return np.array(flat[::step][:_SAMPLE], np.float32)
