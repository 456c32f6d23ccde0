"""Which inputs of nodes can be rounded to int8 and back on their way in: AMCT's tensor quantization.

The node computes in float; what is gained is that its input travels as int8. ``tensor`` is the word of AMCT's files.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

import onnx_ir as ir

from runner.graph.constants import constant
from runner.graph.infer import infer_types

# Of nodes whose inputs a target takes rounded; None for all.
Types = tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class TensorInput:
    """An input of a node, by names.

    Attributes:
        node: name of the node that reads it.
        op_type: of that node.
        index: which of its inputs.
        source: name of the value.
    """

    node: str
    op_type: str
    index: int
    source: str

    @property
    def key(self) -> str:
        """What the record calls it."""
        return tensor_key(self.node, self.index)


def tensor_key(node: str, index: int) -> str:
    """Return what the record calls an input of a node."""
    return f"{node}:{index}"


def typed(model: ir.Model) -> ir.Model:
    """Return a copy whose values have types as far as ONNX can infer them; an exporter need not say them."""
    copy = model.clone()
    infer_types(copy)
    return copy


def tensor_input(model: ir.Model, name: str, index: int, types: Types) -> TensorInput:
    """Return an input that can be rounded.

    Args:
        model: prepared and typed.
        name: of the node.
        index: of the input.
        types: of nodes whose inputs the target takes rounded; None for all.

    Raises:
        ValueError: there is no such input, or it cannot be rounded; says why.
    """
    node = next((node for node in model.graph if node.name == name), None)
    if node is None:
        known = [node.name or "" for node in model.graph if _is_of(node, types)]
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise ValueError(f"Layer {name} does not exist in the graph, or was folded into another.{hint}")
    if not _is_of(node, types):
        raise ValueError(f"layer {name} is of type {node.op_type}; expected {' or '.join(types or ())}.")
    value = node.inputs[index] if 0 <= index < len(node.inputs) else None
    if value is None:
        last = len(node.inputs) - 1
        raise ValueError(f"layer {name} has no input {index}; expected {'0' if last == 0 else f'0 to {last}'}.")
    unfit = why_not_rounded(value)
    if unfit is not None:
        raise ValueError(f"input {index} of layer {name} is {unfit}; only a computed float32 input is quantized.")
    return TensorInput(name, node.op_type, index, value.name or "")


def residual_adds(model: ir.Model) -> tuple[TensorInput, ...]:
    """Return both inputs of every Add of two computed float32 values, in graph order; a bias is added by none of them."""
    return tuple(
        TensorInput(node.name or "", node.op_type, index, value.name or "")
        for node in model.graph
        if node.op_type == "Add" and node.domain == "" and not any(map(why_not_rounded, node.inputs))
        for index, value in enumerate(node.inputs)
        if value is not None
    )


def why_not_rounded(value: ir.Value | None) -> str | None:
    """Return what a value is that cannot be rounded; None for a computed one of float32, or of no known type."""
    if value is None:
        return "absent"
    if constant(value) is not None:
        return "a constant"
    return None if value.dtype in (None, ir.DataType.FLOAT) else str(value.dtype)


def _is_of(node: ir.Node, types: Types) -> bool:
    return node.domain == "" and (types is None or node.op_type in types)
