"""Operators that rounding commutes with: ``f(round(x)) == round(f(x))``, bit for bit, on a grid that holds zero.

They move values, or pick among them (the larger, the one within limits of the grid). A pair in front of them quantizes the
layer behind them; those that read several rounded values do so where all are rounded to one grid.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from runner.graph.constants import Array, constant, float_attribute, string_attribute

# By which inputs hold the values; the others say where they go.
_FIRST: Sequence[int] = (0,)
_ALWAYS = (
    *("Flatten", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Split", "DepthToSpace", "SpaceToDepth"),
    *("MaxPool", "GlobalMaxPool", "ReduceMax", "ReduceMin", "Relu", "Identity"),
    *("Gather", "GatherElements", "GatherND", "Expand", "Tile", "ReverseSequence", "Compress", "Trilu"),
)
_ALL_INPUTS = ("Concat", "Max", "Min")
# How far a limit may be from the grid, of its own size: exporters compute 6 and 255 * scale in different ways.
_SAME_PLACE = 1e-5


def carried_inputs(node: ir.Node) -> Sequence[int]:
    """Return which inputs of a node hold the values that it moves or picks among; none where rounding does not commute.

    Whether the values of several inputs, or limits that are constants, lie on one grid is not asked: see ``on_grid``.
    """
    if node.domain != "":
        return ()
    if node.op_type in _ALWAYS:
        return _FIRST
    if node.op_type in _ALL_INPUTS:
        return range(len(node.inputs))
    if node.op_type == "Where":
        return (1, 2)
    if node.op_type == "Clip":
        return range(1 if {"min", "max"} & set(node.attributes) else len(node.inputs))
    return _FIRST if _MAYBE.get(node.op_type, _never)(node) else ()


def moves_one(node: ir.Node) -> bool:
    """Return whether a node's outputs are those of its first input, moved or picked among, and perhaps zeros."""
    return node.op_type != "Clip" and list(carried_inputs(node)) == [0]


def clip_limits(clip: ir.Node) -> tuple[float, ...]:
    """Return the limits of a Clip that has them as attributes."""
    names = [name for name in ("min", "max") if name in clip.attributes]
    return tuple(float_attribute(clip, name, 0.0) for name in names)


def on_grid(array: Array, scale: float, zero_point: int, codes: tuple[int, int]) -> bool:
    """Return whether values are those of codes, or lie beyond the ends, where all are saturated.

    Args:
        array: float values.
        scale: of the grid.
        zero_point: of the grid.
        codes: lowest and highest code.
    """
    low, high = ((code - zero_point) for code in codes)
    steps = np.clip(np.asarray(array, np.float64) / scale, low, high)
    return bool(np.all(np.abs(steps - np.rint(steps)) <= _SAME_PLACE * np.maximum(np.abs(steps), 1)))


def _never(node: ir.Node) -> bool:
    return False


def _pads_with_zero(node: ir.Node) -> bool:
    if string_attribute(node, "mode", "constant") != "constant":
        return True  # with values of its own
    if "value" in node.attributes:
        return float_attribute(node, "value", 0.0) == 0.0
    filler = node.inputs[2] if len(node.inputs) > 2 else None
    value = constant(filler)
    return filler is None or (value is not None and not np.any(value))


def _resizes_nearest(node: ir.Node) -> bool:
    cropped = string_attribute(node, "coordinate_transformation_mode", "") == "tf_crop_and_resize"
    filled = float_attribute(node, "extrapolation_value", 0.0) if cropped else 0.0
    return string_attribute(node, "mode", "nearest") == "nearest" and filled == 0.0


def _drops_nothing(node: ir.Node) -> bool:
    """Return whether a Dropout is the one of inference."""
    training = node.inputs[2] if len(node.inputs) > 2 else None
    said = constant(training)
    return training is None or (said is not None and not np.any(said))


def _to_float32(node: ir.Node) -> bool:
    """Return whether a Cast is to the type that every rounded value has: it computes nothing."""
    return ir.DataType(node.attributes["to"].as_int()) == ir.DataType.FLOAT


_MAYBE = {
    "Cast": _to_float32,
    "Pad": _pads_with_zero,
    "Resize": _resizes_nearest,
    "Upsample": _resizes_nearest,
    "Dropout": _drops_nothing,
}
