"""What became of every QuantizeLinear and DequantizeLinear of a quantization-aware-trained model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runner.figure import Block, Column, Folded, Paragraph, Row, Table
from runner.wording import listed, recalled, say

_COLUMNS = (
    Column(say("node"), "name"),
    Column(say("operator")),
    Column(say("use")),
    Column(say("of")),
    Column(say("for"), "text"),
    Column(say("reason"), "text"),
)
_USES = {
    "layer": say("scales of a layer"),
    "tensor": say("scales of a tensor"),
    "output": say("rounds an output"),
    "dropped": say("not used"),
}
_ROLES = {"activation": say("input"), "weight": say("weight"), "bias": say("bias")}


def account(nodes: Sequence[Mapping[str, Any]]) -> tuple[Block, ...]:
    """Return how many nodes serve for what, and all of them in a table that opens.

    Args:
        nodes: as ``conversion_report.json`` holds them.
    """
    uses = [use for use in _USES if any(node["use"] == use for node in nodes)]
    counted = [_counted(use, sum(node["use"] == use for node in nodes)) for use in uses]
    told = say("Every QuantizeLinear and DequantizeLinear of the model: {counts}.", counts=listed(counted))
    table = Table(_COLUMNS, [_row(node) for node in nodes], [(use, _USES[use]) for use in uses])
    return Paragraph((told,)), Folded(say("All {count} nodes", count=len(nodes)), (table,))


def _counted(use: str, count: int) -> str:
    told = {
        "layer": say("{count} give a layer its scales", count=count),
        "tensor": say("{count} give a tensor its scales", count=count),
        "output": say("{count} round an output", count=count),
        "dropped": say("{count} are not used", count=count),
    }
    return told[use]


def _row(node: Mapping[str, Any]) -> Row:
    role = node.get("role")
    cells = (
        node["name"],
        node["op_type"],
        _USES[node["use"]],
        "" if role is None else _ROLES[role],
        listed(node["users"]),
        recalled(node.get("reason") or ""),
    )
    return Row(cells, node["use"])
