"""What a source says of each layer, before its constants become floats."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.convert.qdq.annotated_graph import (
    BiasSource,
    Constants,
    ConstantUse,
    LayerSource,
    Pair,
    Pairs,
    QuantizedConstant,
)
from runner.convert.qdq.nodes import is_layer
from runner.convert.qdq.report import Role
from runner.graph.constants import constant, integer_attribute
from runner.graph.operators import layout_of, operator_of

_ROLES: Mapping[int, Role] = {1: "weight", 2: "bias"}
_ROLE_NAMES: Mapping[Role, str] = {"activation": "input", "weight": "weight", "bias": "bias"}


def constant_uses(graph: ir.Graph, constants: Constants) -> list[ConstantUse]:
    """Return every reading of a dequantized constant, in graph order."""
    made = {node for stored in constants.values() for node in stored.nodes}
    uses = []
    for node in graph:
        # What moves or scales a constant passes it on; what counts is who reads it then.
        passes_on = node in made or any(output in constants for output in node.outputs)
        for index, value in enumerate(() if passes_on else node.inputs):
            if value is not None and value in constants:
                role = _ROLES.get(index) if is_layer(node) else None
                uses.append(ConstantUse(constants[value], node.name or "", role))
    return uses


def layer_sources(
    graph: ir.Graph,
    pairs: Pairs,
    constants: Constants,
    *,
    uses: Iterable[ConstantUse],
    idle: Mapping[str, Sequence[str]],
) -> dict[str, LayerSource]:
    """Return what the graph says about its layers, by name.

    Args:
        graph: in one spelling; its constants are still dequantized.
        pairs: of its activations.
        constants: that it dequantizes.
        uses: of these.
        idle: operators that stood beside a QuantizeLinear or DequantizeLinear, by its name.
    """
    read: dict[str, list[ConstantUse]] = {}
    for use in uses:
        read.setdefault(use.user, []).append(use)
    sources = {}
    for node in graph:
        if is_layer(node):
            name, value = node.name or "", node.inputs[0]
            pair = None if value is None else pairs.rounding.get(value)
            beside = tuple(dict.fromkeys(_looked_through(pair, read.get(name, ()), idle)))
            sources[name] = _layer_source(node, pair, constants, beside)
    return sources


def _layer_source(
    node: ir.Node, pair: Pair | None, constants: Constants, looked_through: tuple[str, ...]
) -> LayerSource:
    operator = operator_of(node)
    if operator is not None and operator.unweighted is not None:
        return LayerSource(pair, None, None, operator.unweighted.ones(node), looked_through=looked_through)
    weight = held = _held(node.inputs[1], constants)
    if weight is not None and node.op_type == "Gemm" and integer_attribute(node, "transB", 0):
        weight = weight.moved(np.transpose)
    bias = None if held is None else _bias_source(node, held, constants)
    return LayerSource(pair, weight, bias, looked_through=looked_through)


def _bias_source(node: ir.Node, weight: QuantizedConstant, constants: Constants) -> BiasSource | None:
    """Return a layer's bias spread to one value a channel; it has shape (channels,), (1, channels), (1,) or ().

    The stored integers are kept where they were int32, the only type that a bias is accumulated in.
    """
    value = node.inputs[2] if len(node.inputs) > 2 else None
    stored = _held(value, constants)
    values = constant(value) if stored is None else stored.real
    if values is None:
        return None
    channels = layout_of(node).channels(weight.integers.shape)
    # A shape that no layer takes is refused by find_layers; here it must only not break the survey.
    if values.size not in (1, channels):
        return None

    def spread(array: NDArray[Any]) -> NDArray[Any]:
        return np.broadcast_to(array.reshape(-1), (channels,))

    if stored is None or stored.off_grid is not None:
        return BiasSource(np.asarray(spread(values), np.float64), None)
    vector = stored.moved(spread)
    real = np.asarray(vector.integers * vector.scales.astype(np.float64), np.float64)
    return BiasSource(real, vector if stored.dtype == "int32" else None)


def _held(value: ir.Value | None, constants: Constants) -> QuantizedConstant | None:
    return None if value is None else constants.get(value)


def _looked_through(pair: Pair | None, uses: Iterable[ConstantUse], idle: Mapping[str, Sequence[str]]) -> Iterator[str]:
    beside: list[tuple[Role, Sequence[ir.Node]]] = [] if pair is None else [("activation", pair.nodes)]
    beside += [(use.role, use.constant.nodes) for use in uses if use.role is not None]
    for role, nodes in beside:
        for node in nodes:
            yield from (f"{operator} at its {_ROLE_NAMES[role]}" for operator in idle.get(node.name or "", ()))
