"""The isolated-layer pass: every layer's float and quantized output on the same float input, in one graph, in one pass.

Beside each layer of the float model stands its quantized copy, reading the layer's own float input; what leaves the graph is
a few numbers, so no feature map is kept. Which sums is up to the caller.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.convert.simulate import Simulator
from runner.dataset.binding import bind
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.graph.builder import Builder
from runner.graph.constants import Names
from runner.graph.layers import Layer, LayeredModel
from runner.record import QuantizedLayers
from runner.session import Session
from runner.similarity import PairSums

# The version of this stage's meaning: raise it when the same form would give other sums.
VERSION = 3


@dataclass(frozen=True, slots=True)
class Reduction:
    """What is left of a tensor: f (float output), q (quantized output) or d = f - q.

    Attributes:
        name: of the result.
        tensor: ``f``, ``q`` or ``d``.
        squared: the sum of all squares; otherwise the mean of each channel.
    """

    name: str
    tensor: str
    squared: bool = True


FF, QQ, DD = Reduction("ff", "f"), Reduction("qq", "q"), Reduction("dd", "d")
PAIR_SUMS = (FF, QQ, DD)
MEAN_ERROR = Reduction("mean_d", "d", squared=False)

# How many values a layer's output has.
COUNT = "count"
# A sum outside this may have left float32, or have lost digits at its lower end.
_LEAST, _MOST = 1e-30, 1e36
# Of an output that is not finite.
_LOST = 1e250

# Of one item: layer -> reduction or ``COUNT`` -> float64 of shape () for a sum and (channels,) for means, of AveragePool one
# for each channel of its input.
LayerSums = Mapping[str, Mapping[str, NDArray[np.float64]]]


def layer_by_layer(
    model: LayeredModel,
    form: QuantizedLayers,
    items: Subset,
    *,
    engine: Engine,
    reductions: Sequence[Reduction] = PAIR_SUMS,
    progress: Callable[[int], None] = lambda done: None,
) -> Iterator[LayerSums]:
    """Yield the sums of every quantized layer for each item, in the items' order; none is kept.

    Args:
        model: the prepared float model at opset 13 or later.
        form: their quantized form.
        items: calibration data.
        engine: runs the model.
        reductions: what to sum.
        progress: told the number of items done.
    """
    layers = [model.layer(name) for name in form.layers]
    session = engine.session(layer_by_layer_model(model.graph, layers, form, reductions))
    names = [reduction.name for reduction in reductions] + [COUNT]
    keys = [(layer.name, name) for layer in layers for name in names]
    squared = [reduction.name for reduction in reductions if reduction.squared]

    def by_layer(arrays: list[NDArray[Any]]) -> dict[str, dict[str, NDArray[np.float64]]]:
        sums: dict[str, dict[str, NDArray[np.float64]]] = {}
        for (layer, reduction), array in zip(keys, arrays, strict=True):
            sums.setdefault(layer, {})[reduction] = array.astype(np.float64)
        return sums

    @functools.cache
    def in_double() -> Session:
        return engine.session(layer_by_layer_model(model.graph, layers, form, reductions, double=True))

    def reduce(index: int, arrays: list[NDArray[Any]]) -> LayerSums:
        sums = by_layer(arrays)
        if any(_left_float32(layer[name]) for layer in sums.values() for name in squared if layer[COUNT]):
            wide = in_double()
            feeds = bind(items.dataset.item(index), wide.inputs, name=items.dataset.name(index))
            for name, layer in by_layer(wide.run(feeds)).items():
                if any(_left_float32(sums[name][reduction]) for reduction in squared):
                    sums[name] = layer
        return sums

    for done, sums in enumerate(engine.map(session, items, reduce), start=1):
        yield sums
        progress(done)


def _left_float32(total: NDArray[np.float64]) -> bool:
    return not _LEAST < total < _MOST


def layer_by_layer_model(
    model: ir.Model,
    layers: Sequence[Layer],
    form: QuantizedLayers,
    reductions: Sequence[Reduction],
    *,
    double: bool = False,
) -> ir.Model:
    """Return the float model with a quantized copy beside each layer and the reductions as its only outputs.

    Behind the reductions of each layer stands the number of values that its output has. In ``double``, squares of float32 are
    summed in float64, which takes longer.
    """
    doubled = model.clone()
    graph = doubled.graph
    nodes = {node.name: node for node in graph}
    names = Names.of(graph)
    simulator = Simulator(multiply=True)
    outputs = []
    for layer in layers:
        node = nodes[layer.name]
        source = node.inputs[0]
        assert source is not None  # a layer reads an activation
        build = Builder()
        quantized = form.layers[layer.name]
        copy = simulator.layer(build, node, layer, quantized, f"{layer.name}.copy", source)
        if quantized.shift is not None:
            # What the Add behind the layer adds more stands here: the two outputs are compared before their Add.
            shift = build.constant(f"{layer.name}.copy.shift", quantized.shift)
            copy = build.op("Add", [copy, shift], f"{layer.name}.copy.shifted", ir.DataType.FLOAT)
        opset = doubled.opset_imports[""]
        outputs += _reduce(build, layer, node.outputs[0], copy, reductions, opset, double=double)
        build.register(graph, names)
        graph.insert_after(node, build.nodes)
    graph.outputs.clear()
    graph.outputs.extend(outputs)
    return doubled


def pair_sums(sums: Mapping[str, NDArray[np.float64]]) -> PairSums:
    """Return the sums of one layer and item; those of a float output that is not finite say that all of it is lost."""
    ff, qq, dd = (float(sums[reduction.name]) for reduction in PAIR_SUMS)
    if not all(map(math.isfinite, (ff, qq, dd))):
        ff, qq, dd = _LOST, 0.0, _LOST
    return PairSums(ff, qq, dd, int(sums[COUNT]))


def _reduce(
    build: Builder,
    layer: Layer,
    f: ir.Value,
    q: ir.Value,
    reductions: Sequence[Reduction],
    opset: int,
    *,
    double: bool,
) -> list[ir.Value]:
    prefix, type_ = f"{layer.name}.sums", ir.DataType.FLOAT
    outputs = []
    tensors = _with_difference(build, {"f": f, "q": q}, reductions, prefix, type_)
    wide = tensors
    if double:
        type_ = ir.DataType.DOUBLE
        cast = {name: build.cast(tensor, type_, f"{prefix}.{name}") for name, tensor in (("f", f), ("q", q))}
        wide = _with_difference(build, cast, reductions, f"{prefix}.double", type_)
    for reduction in reductions:
        name = f"{prefix}.{reduction.name}"
        if reduction.squared:
            outputs.append(_sum_of_squares(build, wide[reduction.tensor], name, type_))
        else:
            outputs.append(_means(build, layer, tensors[reduction.tensor], name, opset))
    return [*outputs, build.op("Size", [f], f"{prefix}.{COUNT}", ir.DataType.INT64)]


def _with_difference(
    build: Builder, tensors: dict[str, ir.Value], reductions: Sequence[Reduction], prefix: str, type_: ir.DataType
) -> dict[str, ir.Value]:
    """Return float and quantized output, and their difference where a reduction is of that."""
    if not any(reduction.tensor == "d" for reduction in reductions):
        return tensors
    return {**tensors, "d": build.op("Sub", [tensors["f"], tensors["q"]], f"{prefix}.difference", type_)}


def _sum_of_squares(build: Builder, value: ir.Value, name: str, type_: ir.DataType) -> ir.Value:
    # Over all axes onnxruntime reads the tensor once; over the channels alone it takes seven times as long.
    return build.op("ReduceSumSquare", [value], name, type_, {"keepdims": 0})


def _means(build: Builder, layer: Layer, value: ir.Value, name: str, opset: int) -> ir.Value:
    axes = [0, *range(2, 2 + layer.spatial)] if layer.spatial else [0]
    if not layer.spatial:
        rows = build.constant(f"{name}.rows", np.array([-1, layer.channels], np.int64))
        value = build.op("Reshape", [value, rows], f"{name}.reshaped", ir.DataType.FLOAT)
    return build.reduced("ReduceMean", value, axes, name, opset)
