"""Activations that a source rounds: pairs of QuantizeLinear and DequantizeLinear."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx_ir as ir

from runner.convert.qdq.activations.commuting import carried_inputs, clip_limits, moves_one, on_grid
from runner.convert.qdq.annotated_graph import Constants, Pair, Pairs
from runner.convert.qdq.nodes import Parameters, code_clip, is_dequantize, is_quantize, parameters
from runner.graph.constants import constant
from runner.ranges import ActivationParams
from runner.wording import say


def find_pairs(graph: ir.Graph, constants: Constants) -> Pairs:
    """Return the activation pairs; constants are none."""
    pairs = {node: _pair(node) for node in graph if is_dequantize(node) and node.outputs[0] not in constants}
    rounding: dict[ir.Value, Pair] = {}
    for node in graph:
        pair = pairs.get(node) or _carried(node, rounding, constants)
        if pair is not None:
            rounding.update(dict.fromkeys(node.outputs, pair))
    made: dict[ir.Node, list[Pair]] = {}
    for pair in pairs.values():
        if pair.quantize is not None:
            made.setdefault(pair.quantize, []).append(pair)
    return Pairs(pairs, rounding, made)


def carried_on(pairs: Pairs, graph: ir.Graph, constants: Constants) -> Pairs:
    """Return the pairs of a graph with what they reach through nodes that were put into it since they were found."""
    rounding = dict(pairs.rounding)
    for node in graph:
        pair = None if node.outputs[0] in rounding else _carried(node, rounding, constants)
        if pair is not None:
            rounding.update(dict.fromkeys(node.outputs, pair))
    return Pairs(pairs.of, rounding, pairs.made)


def _carried(node: ir.Node, rounding: Mapping[ir.Value, Pair], constants: Constants) -> Pair | None:
    """Return the pair whose grid a node's outputs lie on, because all that it moves or picks among does."""
    values = [node.inputs[i] for i in carried_inputs(node) if i < len(node.inputs)]
    read = [value for value in values if value is not None]
    pair = next((rounding[value] for value in read if value in rounding), None)
    if pair is None or moves_one(node):
        return pair
    if pair.params is None:
        return None
    arrays = [np.asarray(limit) for limit in clip_limits(node)] if node.op_type == "Clip" else []
    for value in read:
        if value in rounding:
            if rounding[value].params != pair.params:
                return None
            continue
        array = constants[value].real if value in constants else constant(value)
        if array is None:
            return None
        arrays.append(array)
    return pair if all(on_grid(array, pair.scale, pair.zero_point, pair.codes) for array in arrays) else None


def _pair(dequantize: ir.Node) -> Pair:
    codes_value = dequantize.inputs[0]
    producer = None if codes_value is None else codes_value.producer()
    clip = code_clip(producer)
    if clip is not None and producer is not None and producer.inputs[0] is not None:
        producer = producer.inputs[0].producer()
    quantize = producer if is_quantize(producer) else None
    stated = parameters(dequantize)
    refusal = _refusal(quantize, dequantize, stated)
    params: ActivationParams | None = None
    if stated is None or not stated.per_tensor:
        return Pair(quantize, dequantize, None, refusal, "", 0.0, 0, (0, 0), False)
    dtype, scale, zero_point = stated.zero_point.dtype, float(stated.scale.item()), int(stated.zero_point.item())
    limits = _limits(dtype)
    if refusal is None:
        try:
            params = ActivationParams(scale, zero_point - 128 if dtype == np.uint8 else zero_point)
        except ValueError as error:
            refusal = str(error)
    narrowed = clip is not None
    codes = limits if clip is None else (max(limits[0], clip[0]), min(limits[1], clip[1]))
    return Pair(quantize, dequantize, params, refusal, str(dtype), scale, zero_point, codes, narrowed)


def _limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    """Return the lowest and highest code of a type; zeros for codes that are no integers."""
    # By name: int4 is no integer to numpy, and float8 codes are none at all.
    if not dtype.name.startswith(("int", "uint")):
        return 0, 0
    codes = ir.DataType.from_numpy(dtype)
    return int(codes.min), int(codes.max)


def _refusal(quantize: ir.Node | None, dequantize: ir.Node, stated: Parameters | None) -> str | None:
    """Return why a pair cannot be taken over, or None."""
    if stated is None:
        return say("the scale or zero point of '{name}' is computed by the graph", name=dequantize.name)
    if not stated.per_tensor:
        return say("'{name}' has {size} scales; an activation has one", name=dequantize.name, size=stated.scale.size)
    if stated.zero_point.dtype not in (np.int8, np.uint8) or stated.scale.dtype != np.float32:
        return say(
            "its codes are {dtype} with {scales} scales, not (u)int8 with float32",
            dtype=stated.zero_point.dtype,
            scales=stated.scale.dtype,
        )
    if quantize is None:
        return None
    first = parameters(quantize)
    if first is None or not first.per_tensor:
        return say("the scale or zero point of '{name}' is computed by the graph or per channel", name=quantize.name)
    mine, theirs = ((p.scale.item(), p.zero_point.item()) for p in (first, stated))
    if mine != theirs:
        return say(
            "QuantizeLinear '{name}' has scale {scale:.9g} and zero point {zero_point}, DequantizeLinear "
            "'{other}' has scale {its_scale:.9g} and zero point {its_zero_point}; they must be equal",
            name=quantize.name,
            scale=mine[0],
            zero_point=mine[1],
            other=dequantize.name,
            its_scale=theirs[0],
            its_zero_point=theirs[1],
        )
    return None
