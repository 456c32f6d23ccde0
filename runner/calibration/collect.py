"""One look at the float model: the range of every tensor that is quantized. It holds for every plan, so it is taken once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner.calibration.observer import Observer, SamplingStatistic, TensorStatistic
from runner.dataset.finite import not_finite
from runner.dataset.item import Dataset
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.graph.layers import LayeredModel
from runner.graph.probe import with_outputs
from runner.ranges import Range

# The version of this stage's meaning: raise it when the same inputs would give other ranges.
VERSION = 5
_SAMPLE = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """What was seen of each layer's input, by layer name, and of each input of another node, by its key.

    What holds no value for any item (rows that a detector picks, and picks none) is in ``input_shapes`` alone.

    Attributes:
        ranges: the observers' choice.
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
    items: Subset,
    *,
    observers: Mapping[str, Observer],
    engine: Engine,
    progress: Callable[[int], None] = lambda done: None,
) -> Calibration:
    """Return the ranges of what is quantized over the items, in as many passes as the observers need.

    Args:
        model: the prepared float model at a runnable opset, with its layers and the inputs of other nodes to quantize too.
        items: calibration data.
        observers: layer name or tensor's key -> how its range is chosen.
        engine: runs the model.
        progress: told the number of items done, over all passes.

    Raises:
        ModelError: an activation holds a value that is not finite.
        DatasetError: it does because an item holds one.
    """
    sources = {layer.name: layer.input for layer in model.layers} | {
        tensor.key: tensor.source for tensor in model.tensors
    }
    watched = {source: _WatchedTensor(source, _remedy_for(model, source)) for source in sources.values()}
    for name, source in sources.items():
        watched[source].watch(observers[name], len(items))
    session = engine.session(with_outputs(model.graph, list(watched)))
    unfinished, done = list(watched.values()), 0
    places = {index: place for place, index in enumerate(items.indices)}
    while unfinished:

        def reduce(
            index: int, arrays: list[NDArray[Any]], unfinished: list[_WatchedTensor] = unfinished
        ) -> list[_ItemSeen]:
            pairs = zip(unfinished, arrays, strict=True)
            return [tensor.reduce(array, items.dataset, index, places[index]) for tensor, array in pairs]

        for seen in engine.map(session, items, reduce, outputs=[tensor.name for tensor in unfinished]):
            for tensor, partial in zip(unfinished, seen, strict=True):
                tensor.merge(partial)
            done += 1
            progress(done)
        unfinished = [tensor for tensor in unfinished if tensor.end_pass()]
    known = {name: watched[source] for name, source in sources.items() if watched[source].extremes is not None}
    ranges = {tensor.name: tensor.results() for tensor in known.values()}
    return Calibration(
        {name: ranges[tensor.name][id(observers[name])] for name, tensor in known.items()},
        {name: tensor.sample for name, tensor in known.items()},
        {name: watched[source].shape for name, source in sources.items()},
        {name: tensor.extremes for name, tensor in known.items() if tensor.extremes is not None},
    )


@dataclass(frozen=True, slots=True, eq=False)
class _ItemSeen:
    """What an item showed of a tensor: nothing but its shape, where that holds no value.

    Attributes:
        shape: with batch axis.
        ends: smallest and largest value.
        sample: evenly spaced values, of one of the first items that have any.
        partials: of the statistics that are not finished, in order.
    """

    shape: tuple[int, ...]
    ends: Range | None = None
    sample: NDArray[np.float32] | None = None
    partials: Sequence[Any] = ()


class _WatchedTensor:
    """A tensor while the items go by. Nodes that read it share a statistic, unless different observers look at it.

    Args:
        name: of the tensor.
        remedy: what may be done where it holds a value that is not finite.

    Attributes:
        extremes: of all items; None as long as none has a value.
        sample: evenly spaced values of the first item that has any.
        shape: of the same item, or of the first one of all.
    """

    def __init__(self, name: str, remedy: str) -> None:
        self.name, self._remedy = name, remedy
        self.extremes: Range | None = None
        self.sample = np.zeros(0, np.float32)
        self.shape: tuple[int, ...] = ()
        # By the observer's identity: an observer of a user's own need not be hashable.
        self._statistics: dict[int, TensorStatistic] = {}
        self._unfinished: list[TensorStatistic] = []
        self._is_new = True

    def watch(self, observer: Observer, items: int) -> None:
        """Have an observer look at the tensor."""
        if id(observer) not in self._statistics:
            self._statistics[id(observer)] = observer.start(items)
            self._unfinished.append(self._statistics[id(observer)])

    def reduce(self, array: NDArray[Any], dataset: Dataset, index: int, place: int) -> _ItemSeen:
        """Return what is needed of an item, which has an index in its dataset and a place among the items; changes nothing."""
        ends = _ends(array, self.name, dataset, index, self._remedy)
        if ends is None:
            return _ItemSeen(array.shape)
        # Items are merged in order, so the first one that has a value comes here before any other is merged.
        sample = _sample(array) if self.extremes is None else None
        values = np.asarray(array, np.float32)
        partials = [
            statistic.reduce_some(values, ends, place)
            if isinstance(statistic, SamplingStatistic)
            else statistic.reduce(values)
            for statistic in self._unfinished
        ]
        return _ItemSeen(array.shape, ends, sample, partials)

    def merge(self, item: _ItemSeen) -> None:
        """Add an item, in the items' order."""
        if self._is_new:
            self._is_new, self.shape = False, item.shape
        if item.ends is None:
            return
        if self.extremes is None:
            assert item.sample is not None  # no item before this one has a value
            self.extremes, self.sample, self.shape = item.ends, item.sample, item.shape
        low, high = min(self.extremes.low, item.ends.low), max(self.extremes.high, item.ends.high)
        self.extremes = Range(low, high)
        for statistic, partial in zip(self._unfinished, item.partials, strict=True):
            statistic.merge(partial)

    def end_pass(self) -> bool:
        """Close a pass over all items; return whether another is needed."""
        known = self.extremes is not None
        self._unfinished = [statistic for statistic in self._unfinished if known and statistic.end_pass()]
        return bool(self._unfinished)

    def results(self) -> dict[int, Range]:
        """Return each observer's range, by its identity."""
        return {observer: statistic.result() for observer, statistic in self._statistics.items()}


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


def _remedy_for(found: LayeredModel, source: str) -> str:
    return _remedy(
        [layer.name for layer in found.layers if layer.input == source],
        [tensor.key for tensor in found.tensors if tensor.source == source],
    )


def _sample(array: NDArray[Any]) -> NDArray[np.float32]:
    flat = array.reshape(-1)
    step = max(1, flat.size // _SAMPLE)
    return np.array(flat[::step][:_SAMPLE], np.float32)
