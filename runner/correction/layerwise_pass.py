"""The float model and its quantized form side by side, one layer after the other, over all items.

What a layer reads depends on how the layers before it are quantized, so the layers are finished in graph order: each sees the
float model's tensors beside those that the layers finished so far make of them. Every node runs once an item and once more
where quantization has changed what it reads. Only tensors that a later node needs are kept.

Large tensors stand at the front of a network, where one item alone shows thousands of positions; small ones at its end. As
many items take part as fit the memory; the others join when the tensors have become small enough, in one run over what is
finished by then.

A layer's output is that with its bias: of a MatMul whose bias is added by a node behind it, that node's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

import onnx_ir as ir
from numpy.typing import NDArray

from runner.convert.fake_quant import fake_quant_model
from runner.correction.calibrated import Calibrated
from runner.correction.parallel import each_of
from runner.dataset.binding import bind
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.graph.added_bias import biased
from runner.graph.constants import constant
from runner.graph.layers import Layer
from runner.record import QuantizedLayer, QuantizedLayers, TensorRecord
from runner.session import SHORT_LIVED, Session, input_specs

Tensors = dict[str, NDArray[Any]]
T = TypeVar("T")

# Bytes that the tensors of all items may take. Items beyond it join later.
_BUDGET = 400 << 20
# One of so many items is held back.
_HELD_BACK = 4


class LayerwisePass:
    """Goes through a model from layer to layer.

    Args:
        start: the model, nodes in topological order, the layers to come to, and what is rounded on its way into other nodes.
        items: calibration data.
        engine: runs parts of the model; how many threads work.
        quantized_upstream: whether a layer sees what quantization made of its input; otherwise the float model's.
        finished: forms of the first layers, which are not come to.

    Attributes:
        engine: as given.
        quantized_upstream: as given.
    """

    def __init__(
        self,
        start: Calibrated,
        items: Subset,
        *,
        engine: Engine,
        quantized_upstream: bool,
        finished: Mapping[str, QuantizedLayer] = MappingProxyType({}),
    ) -> None:
        self.engine, self.quantized_upstream = engine, quantized_upstream
        self._layered, self._model = start.model, start.model.graph
        graph = self._model.graph
        self._order = [layer for layer in start.model.layers if layer.name in start.form.layers]
        self._items = items
        self._callers = engine.callers
        self._tensors = start.form.tensors if quantized_upstream else {}
        self._nodes = {node.name or "": node for node in graph}
        self._producers = {value.name or "": node for node in graph for value in node.outputs}
        self._reads = {name: _reads(node) for name, node in self._nodes.items()}
        self._inputs = [value.name or "" for value in graph.inputs]
        self._shapes = start.seen.input_shapes
        self._alone = self._model  # the part of it that is the current layer
        self._finished = dict(finished)
        self._done = self._computed(finished)
        self._float: list[Tensors] = []
        self._quantized: list[Tensors] = []
        self._specs = input_specs(self._model)

    @property
    def items(self) -> int:
        """How many items take part now."""
        return len(self._float)

    @property
    def held_back(self) -> list[int]:
        """The items that corrections do not look at: they tell whether these help. The only item, where there is one."""
        return list(range(1, self.items, _HELD_BACK)) or [0]

    @property
    def fitted(self) -> list[int]:
        """The items that corrections look at."""
        return [item for item in range(self.items) if item % _HELD_BACK != 1]

    def node(self, layer: Layer) -> ir.Node:
        """Return the layer's node."""
        return self._nodes[layer.name]

    def layers(self) -> Iterator[Layer]:
        """Yield each layer in turn, with its input ready; ``finish`` has to be called before the next."""
        for place, layer in enumerate(self._order):
            if layer.name in self._finished:
                continue
            self._admit(self._fitting(place))
            self._advance(layer.input)
            self._alone = self._part([layer.input], [self._output(layer)], [self._float[0]])
            yield layer
            assert layer.name in self._done  # finish was called

    def float_input(self, layer: Layer, item: int) -> NDArray[Any]:
        """Return what the float model's layer reads."""
        return self._float[item][layer.input]

    def input(self, layer: Layer, item: int) -> NDArray[Any]:
        """Return what the quantized layer reads."""
        return (self._quantized if self.quantized_upstream else self._float)[item][layer.input]

    def float_session(self) -> Session:
        """Return a session of the current layer, float; its input has the name ``layer.input``."""
        return self.engine.session(self._alone, SHORT_LIVED)

    def quantized_session(self, layer: Layer, quantized: QuantizedLayer) -> Session:
        """Return a session of the current layer, quantized."""
        return self._simulation(self._alone, {layer.name: quantized})

    def each(self, work: Callable[[int], T]) -> list[T]:
        """Return ``work(item)`` of every item that takes part, in order; the first ones of them lie spread over the data."""
        return each_of(work, range(self.items), self._callers)

    def finish(
        self,
        layer: Layer,
        quantized: QuantizedLayer,
        float_outputs: Sequence[NDArray[Any]],
        quantized_outputs: Sequence[NDArray[Any]] | None,
    ) -> None:
        """Take the current layer as done, so that what it gives can be read.

        Args:
            layer: the current one.
            quantized: its form.
            float_outputs: the float layer's, an entry an item.
            quantized_outputs: the quantized layer's; None where only the float model is followed.
        """
        name = self._output(layer)
        for item in range(self.items):
            self._float[item][name] = float_outputs[item]
            self._quantized[item][name] = (quantized_outputs or float_outputs)[item]
        self._finished[layer.name] = quantized
        self._done |= {layer.name, biased(self._nodes[layer.name]).name or ""}

    def _output(self, layer: Layer) -> str:
        return biased(self._nodes[layer.name]).outputs[0].name or ""

    def _fitting(self, place: int) -> int:
        """How many items may take part from here to the end.

        Layers that stay float count, so that which items a layer sees does not depend on what is done to those behind it.
        """
        names = [layer.name for layer in self._layered.layers]
        sizes = [
            math.prod(self._shapes[name])
            for name in names[names.index(self._order[place].name) :]
            if name in self._shapes
        ]
        # Input and output, float and quantized, and the output of another form of the layer, 4 bytes each; a residual tensor is
        # smaller than these. One item is held back, where there are two.
        return min(len(self._items), max(2, _BUDGET // (max(sizes) * 20)))

    def _admit(self, count: int) -> None:
        """Let more items join, up to ``count``: evenly spaced, brought to the current layer."""
        joining = self._items.at(spread(len(self._items), count)[self.items :])
        if not len(joining):
            return
        feeds = each_of(self._feeds, joining.indices, self._callers)
        live = self._live(self._done)
        here = [name for name in (self._float[0] if self._float else self._ready()) if name in live]
        frontier = [name for name in here if name not in self._inputs]
        if not frontier:
            self._float += [dict(feed) for feed in feeds]
            self._quantized += [dict(feed) for feed in feeds]
            return
        prefix = self._part(self._inputs, frontier, [feeds[0]])
        sessions = [self.engine.session(prefix, SHORT_LIVED)]
        if self.quantized_upstream:
            inside = {node.name for node in prefix.graph}
            finished = {name: layer for name, layer in self._finished.items() if name in inside}
            sessions.append(self._simulation(prefix, finished))
        kept = [name for name in here if name in self._inputs]

        def arrive(feed: Tensors) -> list[Tensors]:
            rest = {name: feed[name] for name in kept}
            return [rest | dict(zip(frontier, session.run(feed, frontier), strict=True)) for session in sessions]

        for tensors in each_of(arrive, feeds, self._callers):
            self._float.append(tensors[0])
            self._quantized.append(dict(tensors[-1]))

    def _advance(self, target: str) -> None:
        """Compute what is missing to ``target`` in both domains."""
        nodes = self._missing(target)
        done = self._done | set(nodes)
        live = self._live(done) | {target}
        if not nodes:
            self.each(lambda item: self._drop(item, live))
            return
        outputs = [v.name or "" for n in nodes for v in self._nodes[n].outputs if v.name in live]
        inputs = list(dict.fromkeys(name for n in nodes for name in self._reads[n] if name in self._float[0]))
        part = self._part(inputs, outputs, [self._float[0]])
        session = rounding = self.engine.session(part, SHORT_LIVED)
        tensors = self._rounded_in(part)
        if tensors:
            rounding = self._simulation(part, {})

        def step(item: int) -> None:
            real, quantized = self._float[item], self._quantized[item]
            results = session.run({name: real[name] for name in inputs}, outputs)
            same = not tensors and all(quantized[name] is real[name] for name in inputs)
            real.update(zip(outputs, results, strict=True))
            if not same:
                results = rounding.run({name: quantized[name] for name in inputs}, outputs)
            quantized.update(zip(outputs, results, strict=True))
            # At once, so that the next item's results lie where these were.
            self._drop(item, live)

        self.each(step)
        self._done = done

    def _computed(self, finished: Collection[str]) -> set[str]:
        """Return the names of the nodes that some layers and what they read were computed by."""
        done = set[str]()
        nodes = [biased(self._nodes[name]) for name in finished]
        while nodes:
            node = nodes.pop()
            if node.name not in done:
                done.add(node.name or "")
                nodes += [self._producers[name] for name in self._reads[node.name or ""] if name in self._producers]
        return done

    def _ready(self) -> list[str]:
        """Return the names of the tensors that are there once what is done is computed."""
        return [
            *self._inputs,
            *(value.name or "" for name in self._nodes if name in self._done for value in self._nodes[name].outputs),
        ]

    def _feeds(self, index: int) -> Tensors:
        dataset = self._items.dataset
        return dict(bind(dataset.item(index), self._specs, name=dataset.name(index)))

    def _simulation(self, part: ir.Model, layers: Mapping[str, QuantizedLayer]) -> Session:
        """Return a session of a part of the model with some of its layers quantized, and what is rounded in it."""
        form = QuantizedLayers(layers, self._rounded_in(part))
        return self.engine.session(fake_quant_model(self._layered.on(part), form, multiply=True), SHORT_LIVED)

    def _rounded_in(self, part: ir.Model) -> dict[str, TensorRecord]:
        """Return the tensors that are rounded on their way into nodes of a part of the model."""
        inside = {node.name for node in part.graph}
        return {key: tensor for key, tensor in self._tensors.items() if key.rpartition(":")[0] in inside}

    def _missing(self, target: str) -> list[str]:
        """Return the names of the nodes that ``target`` still needs, in order."""
        have, seen = self._float[0], set[str]()
        open_values = [target]
        while open_values:
            value = open_values.pop()
            node = self._producers.get(value)
            if value in have or node is None or node.name in seen:
                continue
            seen.add(node.name or "")
            open_values += self._reads[node.name or ""]
        return [name for name in self._nodes if name in seen]

    def _live(self, done: set[str]) -> set[str]:
        """Return the tensors that a node which has not run yet reads."""
        return {value for name, reads in self._reads.items() if name not in done for value in reads}

    def _drop(self, item: int, live: set[str]) -> None:
        """Forget an item's tensors that no node will read."""
        for tensors in (self._float[item], self._quantized[item]):
            for name in [name for name in tensors if name not in live]:
                del tensors[name]

    def _part(self, inputs: Sequence[str], outputs: Sequence[str], seen: Sequence[Tensors]) -> ir.Model:
        """Return the nodes between some tensors as a model; ``seen`` holds examples of its inputs."""
        graph = ir.convenience.extract(self._model.graph, list(inputs), list(outputs))
        examples = {name: array for tensors in reversed(seen) for name, array in tensors.items()}
        for value in graph.inputs:
            example = examples[value.name or ""]
            if isinstance(example, list):  # tensors of a sequence
                value.type, value.shape = ir.SequenceType(_type_of(example[0])), None
            else:
                value.type, value.shape = _type_of(example), ir.Shape([None] * example.ndim)
        for value in graph.outputs:
            value.shape = None  # and where no type is known onnxruntime finds it
        return ir.Model(graph, ir_version=self._model.ir_version)


def _type_of(array: NDArray[Any]) -> ir.TensorType:
    return ir.TensorType(ir.DataType.from_numpy(array.dtype))


def spread(total: int, count: int) -> list[int]:
    """Return ``count`` of the places 0 .. total - 1, such that a larger count only adds places at the end of the list."""
    order: list[int] = []
    step = 1
    while step < total:
        step *= 2
    taken: set[int] = set()
    while step:
        order += [place for place in range(0, total, step) if place not in taken]
        taken.update(order)
        step //= 2
    return order[:count]


def held_back(items: Subset) -> Subset:
    """Return those of the items that no correction looks at, however many take part; the only one, where there is one."""
    return items.at(spread(len(items), len(items))[1::_HELD_BACK] or range(len(items)))


def _reads(node: ir.Node) -> list[str]:
    """Return the names of the computed values that a node reads, those read inside its bodies included."""
    values = [*node.inputs, *(value for inner in _inner_nodes(node) for value in inner.inputs)]
    names = [value.name or "" for value in values if value is not None and constant(value) is None]
    return list(dict.fromkeys(names))


def _inner_nodes(node: ir.Node) -> Iterator[ir.Node]:
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            yield from attribute.as_graph().all_nodes()
