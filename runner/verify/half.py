"""Float operators of a deploy file on float16 values, as ATC's default ``--precision_mode=force_fp16`` runs them on a chip.

What is simulated, of every operator that is no part of an int8 layer:

* its float constants are float16: weights, biases, factors, bounds;
* what it reads of the model's own inputs is float16;
* what it gives is float16.

Each is rounded once, half to even; what is beyond the largest float16 becomes that, 65504, as on chips that saturate (the
Atlas inference products). Within one operator the sums and steps are float32. So a matrix product is as on a chip whose
accumulators are float32, while a Softmax or a normalization, whose own steps a chip may round as well, can only be better here.

What is not: AscendQuant multiplies, adds and rounds in float32 whatever it reads; attributes (an epsilon) are float32; what
depends on constants and shapes alone is computed by the compiler, in float32, and rounded where an operator reads it; sizes
of a Resize are no values. A NaN, which a saturating chip makes 0, stays one, so that it is seen.
"""

from __future__ import annotations

from collections.abc import Container, Iterator

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.graph.builder import Builder
from runner.graph.constants import Names, constant, make_constant
from runner.graph.infer import infer_types

_FLOAT, _HALF = ir.DataType.FLOAT, ir.DataType.FLOAT16
# The largest float16.
_BOUNDS = {"min": -65504.0, "max": 65504.0}
# What they give is one of the values that they read, or its negative: nothing to round.
_CHOOSES = frozenset(
    (
        *(
            "Abs",
            "Clip",
            "Concat",
            "DepthToSpace",
            "Dropout",
            "Expand",
            "Flatten",
            "Gather",
            "GatherElements",
            "GatherND",
        ),
        *(
            "GlobalMaxPool",
            "Identity",
            "Max",
            "MaxPool",
            "Min",
            "Neg",
            "Pad",
            "ReduceMax",
            "ReduceMin",
            "Relu",
            "Reshape",
        ),
        *("Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "TopK", "Transpose", "Unsqueeze", "Where"),
    )
)
# Inputs that say how, not what: sizes, never values.
_NO_VALUES = {("Resize", 1), ("Resize", 2), ("Upsample", 1)}
_OF_SHAPES = ("Shape", "Size")
_RANDOM = frozenset(
    ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")
)


def to_half(array: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return float32 numbers rounded to float16, saturating."""
    low, high = _BOUNDS.values()
    bounded = np.clip(np.asarray(array, np.float32), low, high)
    return np.asarray(bounded.astype(np.float16), np.float32)


def rounded_to_half(build: Builder, value: ir.Value, name: str) -> ir.Value:
    """Return a computed float32 value rounded to float16, saturating, as float32."""
    low, high = (build.constant(f"{name}.{key}", np.asarray(bound, np.float32)) for key, bound in _BOUNDS.items())
    bounded = build.op("Clip", [value, low, high], f"{name}.bounded", _FLOAT)
    return build.cast(build.cast(bounded, _HALF, f"{name}.half"), _FLOAT, f"{name}.float32")


def compute_in_half(model: ir.Model, integers: Container[str]) -> None:
    """Let the float operators of a model compute on float16 values.

    Args:
        model: a deploy file's graph in float types, at opset 13 or later; changed.
        integers: names of the nodes that stand for integers, and are left as they are.
    """
    _Halving(model, integers).halve(model.graph)


class _Halving:
    """One pass over a graph and the bodies in it.

    A value is *known* where it depends on constants and shapes alone: the compiler computes it.
    """

    def __init__(self, model: ir.Model, integers: Container[str]) -> None:
        self._main = model.graph
        self._integers = integers
        self._fed = set(model.graph.inputs)
        self._known: set[ir.Value] = set()
        self._halves: dict[ir.Value, ir.Value] = {}
        self._floats = _float_values(model)
        self._names = Names.of(model.graph)

    def halve(self, graph: ir.Graph) -> None:
        self._known.update(value for value in graph.initializers.values() if value not in self._fed)
        for node in list(graph):
            if graph is self._main and (node.name or "") in self._integers:
                continue
            bodies = list(_bodies(node))
            if node.op_type in _OF_SHAPES or (not bodies and self._is_known(node)):
                self._known.update(node.outputs)
                continue
            for body in bodies:
                self.halve(body)
            for index, value in enumerate(node.inputs):
                if value is not None and (node.op_type, index) not in _NO_VALUES and self._is_wide(value):
                    node.replace_input_with(index, self._half(value))
            if node.op_type not in _CHOOSES:
                for output in node.outputs:
                    self._round_output(node, output)

    def _is_known(self, node: ir.Node) -> bool:
        inputs = [value for value in node.inputs if value is not None]
        return node.op_type not in _RANDOM and all(value in self._known for value in inputs)

    def _is_wide(self, value: ir.Value) -> bool:
        """Whether a float value was rounded by no operator before."""
        return value in self._floats and (value in self._fed or value in self._known)

    def _half(self, value: ir.Value) -> ir.Value:
        if value not in self._halves:
            self._halves[value] = self._make_half(value)
        return self._halves[value]

    def _make_half(self, value: ir.Value) -> ir.Value:
        held, producer = constant(value), value.producer()
        if held is not None:
            half = make_constant(self._names.new_value(f"{value.name}.half"), to_half(held))
            (value.graph or self._main).register_initializer(half)
            return half
        build = Builder()
        half = rounded_to_half(build, value, value.name or "input")
        build.register(self._main, self._names)
        if producer is None:
            self._main.insert_before(self._main[0], build.nodes)
        else:
            _graph_of(producer).insert_after(producer, build.nodes)
        return half

    def _round_output(self, node: ir.Node, output: ir.Value) -> None:
        if output not in self._floats:
            return
        graph, usages = _graph_of(node), list(output.uses())
        build = Builder()
        half = rounded_to_half(build, output, output.name or f"{node.name}.output")
        build.register(self._main, self._names)
        graph.insert_after(node, build.nodes)
        for usage in usages:
            usage.node.replace_input_with(usage.idx, half)
        for index, result in enumerate(graph.outputs):
            if result is output:
                graph.outputs[index] = half
                output.name, half.name = half.name, output.name


def _float_values(model: ir.Model) -> set[ir.Value]:
    """Return the values that are float32, as far as onnx can tell."""
    inferred = model.clone()
    infer_types(inferred, data_prop=False)
    pairs = [
        pair
        for ours, theirs in zip(model.graph.all_nodes(), inferred.graph.all_nodes(), strict=True)
        for pair in zip(ours.outputs, theirs.outputs, strict=True)
    ]
    graphs = [model.graph, *model.graph.subgraphs()]
    given = [value for graph in graphs for value in (*graph.inputs, *graph.initializers.values())]
    return {ours for ours, theirs in pairs if _is_float(ours) or _is_float(theirs)} | {
        value for value in given if _is_float(value)
    }


def _is_float(value: ir.Value) -> bool:
    # A sequence has the element type of its tensors.
    return isinstance(value.type, ir.TensorType) and value.dtype == _FLOAT


def _bodies(node: ir.Node) -> Iterator[ir.Graph]:
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            yield attribute.as_graph()
        elif attribute.type == ir.AttributeType.GRAPHS:
            yield from attribute.as_graphs()


def _graph_of(node: ir.Node) -> ir.Graph:
    graph = node.graph
    assert isinstance(graph, ir.Graph)  # it stands in one
    return graph
