"""What operators make of dequantized constants on their way to a layer: weights moved, scaled, clipped, joined."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from runner.convert.qdq.annotated_graph import Constants, QuantizedConstant
from runner.convert.qdq.constants.constant import RoundedConstant, dequantized, of_real, rounded_codes
from runner.convert.qdq.constants.folding import evaluated, foldable
from runner.convert.qdq.nodes import code_clip, is_dequantize, is_quantize
from runner.graph.constants import Array, constant

# They move values and compute nothing, so they do to integers and to scales what they do to weights.
_MOVES = (
    *(
        "Transpose",
        "Reshape",
        "Flatten",
        "Squeeze",
        "Unsqueeze",
        "Slice",
        "Split",
        "Gather",
        "Expand",
        "Tile",
        "Identity",
    ),
    "Concat",
)
_FLOATS = ("FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE")
_SMALLEST = np.finfo(np.float32).tiny


def quantized_constants(model: ir.Model) -> dict[ir.Value, QuantizedConstant]:
    """Return every value that is a dequantized constant, or made of such and of other constants alone, in graph order.

    Raises:
        ModelError: the scales do not fit the tensor.
    """
    known: dict[ir.Value, QuantizedConstant] = {}
    codes: dict[ir.Value, RoundedConstant] = {}
    for node in model.graph:
        first = node.inputs[0] if node.inputs else None
        if is_quantize(node):
            real = known.get(first) if first is not None else None
            array = constant(first) if real is None else real.real
            made = None if array is None else rounded_codes(node, array)
            if made is not None:
                codes[node.outputs[0]] = RoundedConstant(made, (*(() if real is None else real.nodes), node))
        elif is_dequantize(node):
            stored = dequantized(node, codes)
            if stored is not None:
                known[node.outputs[0]] = stored
        elif first in codes:
            moved = _moved_codes(node, codes[first], model)
            if moved is not None:
                codes[node.outputs[0]] = moved
        elif any(value in known for value in node.inputs if value is not None):
            known.update(_derived(node, known, model.opset_imports))
    return known


def _moved_codes(node: ir.Node, codes: RoundedConstant, model: ir.Model) -> RoundedConstant | None:
    """Return what a Clip, or an operator that moves values, makes of codes; None for any other."""
    clip = code_clip(node)
    if clip is not None:
        return RoundedConstant(np.clip(codes.codes, *clip), codes.nodes)
    others = [constant(value) for value in node.inputs[1:]]
    if node.op_type not in _MOVES or len(node.outputs) > 1 or any(other is None for other in others):
        return None
    # int64, which every operator that moves values takes.
    moved = evaluated(node, [codes.codes.astype(np.int64), *others], model.opset_imports)
    return None if moved is None else RoundedConstant(moved[0].astype(codes.codes.dtype), codes.nodes)


def _derived(node: ir.Node, known: Constants, opset_imports: Mapping[str, int]) -> dict[ir.Value, QuantizedConstant]:
    """Return what a node makes of dequantized constants and other constants; nothing where it reads a variable."""
    sources = [None if value is None else known.get(value) for value in node.inputs]
    plain = [None if value is None or value in known else constant(value) for value in node.inputs]
    given = [s is not None or p is not None or v is None for s, p, v in zip(sources, plain, node.inputs, strict=True)]
    if not all(given) or not foldable(node):
        return {}
    first = next(source for source in sources if source is not None)
    data = sources if node.op_type == "Concat" else sources[:1]
    if node.op_type in _MOVES and None not in data:
        return _moved(node, [source for source in data if source is not None], plain, opset_imports)
    if node.op_type == "Cast" and ir.DataType(node.attributes["to"].as_int()).name in _FLOATS:
        return {node.outputs[0]: first}
    reals = [p if s is None else np.asarray(s.real, np.float32) for s, p in zip(sources, plain, strict=True)]
    computed = evaluated(node, reals, opset_imports, outputs=1)
    if computed is None or computed[0].dtype != np.float32:
        return {}
    alone = sum(source is not None for source in sources) == 1
    scaled = _scaled(node, first, sources, plain, computed[0]) if alone else None
    return {node.outputs[0]: of_real(computed[0], first, alone=alone) if scaled is None else scaled}


def _moved(
    node: ir.Node,
    sources: list[QuantizedConstant],
    plain: list[Array | None],
    opset_imports: Mapping[str, int],
) -> dict[ir.Value, QuantizedConstant]:
    """Return dequantized constants as an operator moves them, one for each of its outputs."""
    operands = plain[len(sources) :]

    if len(sources) == 1:
        return _moved_alone(node, sources[0], operands, opset_imports)

    def join(arrays: list[Array]) -> Array | None:
        made = evaluated(node, arrays, opset_imports)
        return None if made is None else made[0]

    integers, scales = join([s.integers for s in sources]), join([np.asarray(s.scales) for s in sources])
    if integers is None or scales is None:
        return {}
    joined = replace(
        sources[0],
        integers=integers.astype(np.int64),
        scales=scales,
        granularity=" and ".join(dict.fromkeys(source.granularity for source in sources)),
        zero_points=(min(s.zero_points[0] for s in sources), max(s.zero_points[1] for s in sources)),
        nodes=tuple(dict.fromkeys(made for source in sources for made in source.nodes)),
    )
    if any(source.computed is not None for source in sources):
        off = [np.zeros(s.integers.shape, np.int64) if s.off_grid is None else s.off_grid for s in sources]
        off_grid = join([array.astype(np.int64) for array in off])
        computed = join([np.asarray(s.real) for s in sources])
        joined = replace(
            joined, computed=computed, off_grid=None if off_grid is None or not np.any(off_grid) else off_grid != 0
        )
    return {node.outputs[0]: joined}


def _moved_alone(
    node: ir.Node, source: QuantizedConstant, operands: list[Array | None], opset_imports: Mapping[str, int]
) -> dict[ir.Value, QuantizedConstant]:
    places = evaluated(node, [np.arange(source.integers.size).reshape(source.integers.shape), *operands], opset_imports)
    if places is None:
        return {}

    # Where each element comes from says it all; bool and float scales then need no operator of their own.
    def taken(where: Array) -> Callable[[Array], Array]:
        return lambda array: np.asarray(array).reshape(-1)[where.astype(np.int64)]

    return {output: source.moved(taken(where)) for output, where in zip(node.outputs, places, strict=True)}


def _scaled(
    node: ir.Node,
    source: QuantizedConstant,
    sources: list[QuantizedConstant | None],
    plain: list[Array | None],
    computed: Array,
) -> QuantizedConstant | None:
    """Return a dequantized constant times or by another one: a factor that the scales take; None where they cannot."""
    if source.computed is not None and source.off_grid is not None:
        return None
    if node.op_type == "Neg":
        return replace(source, integers=-source.integers, computed=computed)
    if node.op_type not in ("Mul", "Div") or (node.op_type == "Div" and sources[0] is None):
        return None
    factor = next(array for array in plain if array is not None)
    with np.errstate(all="ignore"):
        scales = np.abs(source.scales * factor if node.op_type == "Mul" else source.scales / factor).astype(np.float32)
    if scales.shape != computed.shape or not np.all(np.isfinite(scales)):
        return None
    kept = np.broadcast_to(source.scales, scales.shape) > 0
    # A factor of 0 leaves no scale to speak of; what it leaves of the weights is 0 all the same.
    if np.any(kept & (scales < _SMALLEST) & np.broadcast_to(factor != 0, scales.shape)):
        return None
    signs = np.broadcast_to(np.sign(factor), scales.shape).astype(np.int64)
    integers = np.broadcast_to(source.integers, scales.shape) * signs
    one = factor.size == 1 and not any(source.scales.strides)
    return replace(
        source,
        granularity=source.granularity if one else f"{source.granularity}, times a constant",
        integers=integers,
        scales=np.broadcast_to(scales.flat[0], scales.shape) if one and scales.size else scales,
        computed=computed,
    )
