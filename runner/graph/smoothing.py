"""Balanced inputs: each channel of what a layer reads divided by a factor, the weights that meet it multiplied by the same.

    x -> Mul(fl32(1 / f)) -> the layer, its weight times f

This is AMCT's DMQ balancer (SmoothQuant, Xiao et al., 2023). The float model stays as it is, for the factors belong to a
layer's quantized form: one that falls back has neither the Mul nor the scaled weight, and each of several layers that read
one tensor has a Mul of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.graph.builder import Builder
from runner.graph.constants import Names, constant
from runner.graph.layers import Layer, LayeredModel

# By layer name: one factor an input channel, float32 numbers.
Factors = Mapping[str, tuple[float, ...]]

# Before it Mul takes operands of one shape.
_BROADCASTING_MUL = 7


def why_not_smoothed(model: ir.Model) -> str | None:
    """Return what keeps the layers of a model at its source's opset from being balanced; None where nothing does."""
    opset = model.opset_imports.get("", 0)
    if opset >= _BROADCASTING_MUL:
        return None
    return f"a Mul by one factor a channel needs opset {_BROADCASTING_MUL} or later, and the model has {opset}"


def can_be_smoothed(layer: Layer) -> bool:
    """Return whether the layer has a weight to multiply."""
    return layer.weight is not None


def input_channels(node: ir.Node, layer: Layer) -> int:
    """Return how many channels the layer reads; of a convolution with groups, those of all groups."""
    return int(_rows(node, layer).shape[1]) * layer.group


def weight_peaks(node: ir.Node, layer: Layer) -> NDArray[np.float64]:
    """Return the largest magnitude among the weights that meet each input channel, shape (input channels,).

    In a convolution with groups these are the weights of the channel's own group; in a depthwise one, one output's or a
    few outputs'.
    """
    rows = np.abs(_rows(node, layer).astype(np.float64))
    by_group = rows.reshape(layer.group, -1, rows.shape[1], int(np.prod(rows.shape[2:])))
    peaks: NDArray[np.float64] = by_group.max(axis=(1, 3)).reshape(-1)
    return peaks


def smoothed_rows(node: ir.Node, layer: Layer, factors: Sequence[float]) -> NDArray[np.float32]:
    """Return a layer's weight with its output channels first, times the factors of its input channels.

    Without factors it is the weight as it is.
    """
    rows = np.asarray(_rows(node, layer), np.float32)
    if not factors:
        return rows
    by_group = np.asarray(factors, np.float32).reshape(layer.group, rows.shape[1])
    each_row = np.repeat(by_group, len(rows) // layer.group, axis=0)
    return rows * each_row.reshape(*each_row.shape, *[1] * (rows.ndim - 2))


def inverse(factors: Sequence[float], layer: Layer) -> NDArray[np.float32]:
    """Return what the layer's input is multiplied by: ``fl32(1 / f)``, shaped to broadcast over it."""
    values = np.float32(1) / np.asarray(factors, np.float32)
    return values.reshape(1, -1, *[1] * layer.spatial) if layer.spatial else values


def balanced(x: NDArray[np.float32], factors: Sequence[float], layer: Layer) -> NDArray[np.float32]:
    """Return a layer's input as its AscendQuant sees it; without factors ``x`` itself."""
    return x * inverse(factors, layer) if factors else x


def divided(build: Builder, x: ir.Value, factors: Sequence[float], layer: Layer, prefix: str) -> ir.Value:
    """Return ``balanced`` of ``x`` as a node, called as AMCT calls it; without factors ``x`` itself."""
    if not factors:
        return x
    constant_ = build.constant(f"{prefix}.tensor_balance_factor", inverse(factors, layer))
    value = build.op("Mul", [x, constant_], f"{prefix}.mul", ir.DataType.FLOAT)
    value.shape = x.shape
    return value


def rounded_tensor(layer: Layer, factors: Sequence[float]) -> str:
    """Return a name for the tensor that the layer's AscendQuant reads: layers that share it share one AscendQuant."""
    return f"{layer.name}.mul.output0" if factors else layer.input


def with_smoothed_inputs(model: LayeredModel, factors: Factors) -> LayeredModel:
    """Return a copy of a float model that also computes the balanced inputs, its layers as readers of these.

    For those who observe what layers read; the layers themselves still compute with the input as it was.
    """
    if not factors:
        return model
    copy = model.graph.clone()
    nodes = {node.name: node for node in copy.graph}
    names = Names.of(copy.graph)
    layers = []
    for layer in model.layers:
        read = layer.input
        if layer.name in factors:
            node = nodes[layer.name]
            source = node.inputs[0]
            assert source is not None  # a layer reads an activation
            build = Builder()
            value = divided(build, source, factors[layer.name], layer, layer.name)
            build.register(copy.graph, names)
            copy.graph.insert_before(node, build.nodes)
            read = value.name or ""
        layers.append(replace(layer, input=read))
    return replace(model, graph=copy, layers=tuple(layers))


def _rows(node: ir.Node, layer: Layer) -> NDArray[Any]:
    weight = constant(node.inputs[1])
    assert weight is not None  # only layers with a weight are asked for it
    return layer.layout.rows(weight)
