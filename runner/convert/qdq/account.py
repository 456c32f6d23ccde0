"""The account of each QuantizeLinear and DequantizeLinear, read off the annotations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import onnx_ir as ir

from runner.convert.qdq.annotated_graph import Annotation
from runner.convert.qdq.report import NodeAccount, NodeUse

_STRONGEST_FIRST: Sequence[NodeUse] = ("layer", "tensor", "output")


def accounts(nodes: Iterable[ir.Node], annotations: Iterable[Annotation]) -> tuple[NodeAccount, ...]:
    """Return one account for each of the nodes, in their order; a node that serves several has one with several users."""
    known: dict[ir.Node, list[Annotation]] = {}
    for annotation in annotations:
        for node in annotation.nodes:
            known.setdefault(node, []).append(annotation)
    return tuple(_account(node, known.get(node, ())) for node in nodes)


def _account(node: ir.Node, known: Sequence[Annotation]) -> NodeAccount:
    use: NodeUse = next((use for use in _STRONGEST_FIRST if any(a.use == use for a in known)), "dropped")
    in_layers = [a.role for a in known if a.use == "layer"]
    role = in_layers[-1] if in_layers else next((a.role for a in known if a.role is not None), None)
    users = dict.fromkeys(a.user for a in known if a.user is not None)
    reasons = dict.fromkeys(a.reason for a in known if a.reason is not None)
    reason = "; ".join(reasons) or ("nothing reads it" if use == "dropped" else None)
    return NodeAccount(node.name or "", node.op_type, use, role, tuple(users), reason)
