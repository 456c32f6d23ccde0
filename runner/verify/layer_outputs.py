"""The outputs of int8 layers of several models beside each other, a portion of the layers at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from runner.engine import Engine
from runner.graph.probe import only_outputs, only_shapes, with_outputs
from runner.session import Feeds, InputSpec
from runner.verify.reference import reference_session

Arrays = list[NDArray[Any]]
_FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """A model that computes the layers.

    Attributes:
        model: the graph.
        outputs: layer -> name of its output there.
        more: layer -> name of another tensor of it that is wanted; a layer may have none.
    """

    model: ir.Model
    outputs: Mapping[str, str]
    more: Mapping[str, str]


class LayerOutputs:
    """What a way gives for some layers of an item.

    Attributes:
        layers: their outputs, in order.
        more: what else was wanted of them.
        own: the model's outputs, by name, where these are the last layers; else nothing.
    """

    __slots__ = ("layers", "more", "own")

    def __init__(self, arrays: Mapping[str, NDArray[Any]], names: _Names) -> None:
        self.layers = [arrays[name] for name in names.layers]
        self.more = [arrays[name] for name in names.more]
        self.own = {name: arrays[name] for name in names.own}


class Ways:
    """Several ways to the same layers, each with a session that gives them.

    Args:
        ways: the models.
        layers: the portion at hand.
        last: whether no layer comes behind: then the models' own outputs are given too.
        engine: makes the sessions.
    """

    def __init__(self, ways: Sequence[Way], layers: Sequence[str], engine: Engine, *, last: bool) -> None:
        self._probes = [_Probe(way, layers, engine, last=last) for way in ways]

    @property
    def inputs(self) -> tuple[InputSpec, ...]:
        """What each of them takes."""
        return self._probes[0].session.inputs

    def run(self, feeds: Feeds, outputs: Sequence[str] | None = None) -> Arrays:
        """Return the outputs of all ways, one behind the other."""
        return [array for each in self.each(feeds) for array in (*each.layers, *each.more, *each.own.values())]

    def each(self, feeds: Feeds) -> Iterator[LayerOutputs]:
        """Yield what each way gives, which is computed when it is asked for: all at once would be much."""
        for probe in self._probes:
            yield LayerOutputs(
                dict(zip(probe.fetched, probe.session.run(feeds, probe.fetched), strict=True)), probe.names
            )

    def stop(self) -> None:
        """Stop all of them."""
        for probe in self._probes:
            probe.session.stop()


def layer_bytes(way: Way, feeds: Feeds, engine: Engine) -> dict[str, int]:
    """Return how many bytes each layer gives for an item, in order: its output and what else is wanted of it."""
    wanted = [(layer, name) for layer in way.outputs for name in (way.outputs[layer], way.more.get(layer)) if name]
    if not wanted:
        return {}
    session = reference_session(only_shapes(way.model, [name for _, name in wanted]), engine)
    sizes = dict.fromkeys(way.outputs, 0)
    for (layer, _), shape in zip(wanted, session.run(feeds), strict=True):
        sizes[layer] += _FLOAT_BYTES * math.prod(shape.tolist())
    return sizes


@dataclass(frozen=True, slots=True)
class _Names:
    layers: Sequence[str]
    more: Sequence[str]
    own: Sequence[str]


class _Probe:
    """A session of one way that gives the layers' outputs."""

    def __init__(self, way: Way, layers: Sequence[str], engine: Engine, *, last: bool) -> None:
        outputs = [way.outputs[layer] for layer in layers]
        more = [way.more[layer] for layer in layers if layer in way.more]
        wanted = list(dict.fromkeys([*outputs, *more]))
        # What lies behind the layers need not run; behind the last ones it gives the model's own outputs.
        model = with_outputs(way.model, wanted) if last else only_outputs(way.model, wanted)
        self.session = reference_session(model, engine, own_memory=False)
        if not last:
            # Its outputs stand in the order asked for, under names of their own.
            probed = dict(zip(wanted, self.session.output_names, strict=True))
            outputs, more = [probed[name] for name in outputs], [probed[name] for name in more]
        given = {value.name for value in way.model.graph.outputs}
        own = [name for name in self.session.output_names if name in given] if last else []
        self.names = _Names(outputs, more, own)
        self.fetched = list(dict.fromkeys([*outputs, *more, *own]))
