"""Who reads the constants that a source dequantizes, and what that makes of their QuantizeLinear and DequantizeLinear."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import onnx_ir as ir

from runner.convert.qdq.annotation import Annotation
from runner.convert.qdq.constants.constant import Constants, QuantizedConstant
from runner.convert.qdq.nodes import is_layer
from runner.convert.qdq.report import Role

_ROLES: Mapping[int, Role] = {1: "weight", 2: "bias"}


@dataclass(frozen=True, slots=True, eq=False)
class ConstantUse:
    """A dequantized constant, the node that reads it, and its role there; None where that node is no layer."""

    constant: QuantizedConstant
    user: str
    role: Role | None


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


def annotate_constants(uses: Iterable[ConstantUse], floats: Mapping[str, str]) -> tuple[Annotation, ...]:
    """Return what the nodes of each constant serve; ``floats`` says why layers stay float, by name."""
    return tuple(_annotation(use, floats.get(use.user)) for use in uses)


def _annotation(use: ConstantUse, why_float: str | None) -> Annotation:
    nodes = use.constant.nodes
    if use.role is None:
        return Annotation(nodes, f"a constant of '{use.user}'; its real value is kept")
    if why_float is not None:
        reason = f"{use.role} of '{use.user}', which stays float: {why_float}; its real value is kept"
        return Annotation(nodes, reason)
    return Annotation(nodes, use="layer", role=use.role, user=use.user)
