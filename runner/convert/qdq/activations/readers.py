"""Say of every QuantizeLinear and DequantizeLinear what became of it, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import onnx_ir as ir

from runner.convert.qdq.activations.commuting import carried_inputs
from runner.convert.qdq.activations.pairs import Pair, Pairs, requantizers, rescaling
from runner.convert.qdq.nodes import is_dequantize, is_quantize
from runner.convert.qdq.report import NodeAccount, NodeUse, Role

_VALUE_BLIND = ("Shape", "Size")  # they read no values


@dataclass(slots=True)
class Ledger:
    """Collects what each node was used for; a node that serves several is one entry with several users."""

    _entries: dict[ir.Node, _Entry] = field(default_factory=dict)

    def used(self, nodes: Iterable[ir.Node | None], use: NodeUse, role: Role | None, user: str) -> None:
        """Note that nodes serve a layer (by name), a tensor (``<node>:<input>``) or a model output."""
        for node in nodes:
            if node is not None:
                entry = self._entries.setdefault(node, _Entry())
                entry.uses.add(use)
                entry.role = role if entry.role is None or use == "layer" else entry.role
                entry.users[user] = None

    def noted(self, nodes: Iterable[ir.Node | None], reason: str) -> None:
        """Note why nodes were dropped, or what else there is to know of them."""
        for node in nodes:
            if node is not None:
                self._entries.setdefault(node, _Entry()).reasons[reason] = None

    def accounts(self, nodes: Iterable[ir.Node]) -> tuple[NodeAccount, ...]:
        """Return one account for each of the nodes, in their order."""
        return tuple(self._entries.get(node, _Entry()).account(node) for node in nodes)


@dataclass(slots=True)
class _Entry:
    uses: set[NodeUse] = field(default_factory=set)
    role: Role | None = None
    users: dict[str, None] = field(default_factory=dict)
    reasons: dict[str, None] = field(default_factory=dict)

    def account(self, node: ir.Node) -> NodeAccount:
        strongest: tuple[NodeUse, ...] = ("layer", "tensor", "output")
        use: NodeUse = next((use for use in strongest if use in self.uses), "dropped")
        reason = "; ".join(self.reasons) or ("nothing reads it" if use == "dropped" else None)
        return NodeAccount(node.name or "", node.op_type, use, self.role, tuple(self.users), reason)


@dataclass(frozen=True, slots=True, eq=False)
class Readers:
    """Who reads the rounded value of a pair.

    Attributes:
        taken: layers and tensors (``<node>:<input>``) that quantize their input with the pair's own scale.
        left: for each other reader, why it reads the value unrounded.
        behind: names of the operators between the pair and those that took it.
        unlimited: whether one of those left would also miss the saturation of the codes: it does not round, or to a range
            that reaches beyond the pair's.
    """

    taken: tuple[str, ...]
    left: tuple[str, ...]
    behind: tuple[str, ...]
    unlimited: bool


def readers(
    pair: Pair, pairs: Pairs, quantized: Mapping[tuple[ir.Node, int], str], floats: Mapping[str, str]
) -> Readers:
    """Return who reads a pair's output, directly or behind operators that rounding commutes with.

    Args:
        pair: in a graph that still has it.
        pairs: all of them.
        quantized: layer and tensor names by the node and input that will be quantized there.
        floats: why layers stay float, by name.
    """
    taken: dict[str, None] = {}
    left: dict[str, None] = {}
    behind: dict[str, None] = {}
    again: dict[str, bool] = {}  # whether the range lies within the pair's

    def follow(value: ir.Value, path: tuple[ir.Node, ...]) -> None:
        through = f"{path[0].op_type} '{path[0].name}'" if path else ""
        if value.is_graph_output():
            left[
                f"feeds {through or 'the model output'}" + (", then the model output" if path else f" '{value.name}'")
            ] = None
        for usage in value.uses():
            node, name = usage.node, quantized.get((usage.node, usage.idx))
            if name is not None:
                taken[name] = None
                behind.update((step.name or "", None) for step in path)
            elif is_quantize(node) or node.op_type in _VALUE_BLIND:
                continue
            elif usage.idx in carried_inputs(node) and pairs.nearest(node.outputs[0]) is not None:
                for output in node.outputs:
                    follow(output, (*path, node))
            else:
                left[_why_left(node, through, floats)] = None
        for quantize in requantizers(value):
            again[_why_requantized(quantize, pair, pairs, through, quantized)] = _within(quantize, pair, pairs)

    follow(pair.dequantize.outputs[0], ())
    return Readers(tuple(taken), (*left, *again), tuple(behind), unlimited=bool(left) or not all(again.values()))


def _why_left(node: ir.Node, through: str, floats: Mapping[str, str]) -> str:
    reached = f"{node.op_type} '{node.name}'"
    where = f"feeds {through}, then {reached}" if through else f"feeds {reached}"
    if node.name is not None and node.name in floats:
        return f"{where}, which stays float: {floats[node.name]}"
    return f"{where}, which the deploy format cannot hold in int8"


def _why_requantized(
    quantize: ir.Node,
    pair: Pair,
    pairs: Pairs,
    through: str,
    quantized: Mapping[tuple[ir.Node, int], str],
) -> str:
    where = f"feeds {through}, then" if through else "feeds"
    nearest = ((name, pairs.nearest(node.inputs[index])) for (node, index), name in quantized.items())
    users = [name for name, rounding in nearest if rounding is not None and rounding.quantize is quantize]
    place = f" at {', '.join(users)}" if users else ""
    if not _same_grid(quantize, pair, pairs):
        return f"{where} '{quantize.name}', which rounds again with another scale{place}"
    return f"{where} '{quantize.name}'" + (
        f"; the same scale is applied{place}" if users else ", which rounds to the same scale"
    )


def _same_grid(quantize: ir.Node, pair: Pair, pairs: Pairs) -> bool:
    later = pairs.made.get(quantize, ())
    return any((p.scale, p.zero_point, p.dtype) == (pair.scale, pair.zero_point, pair.dtype) for p in later)


def _within(quantize: ir.Node, pair: Pair, pairs: Pairs) -> bool:
    """Return whether what a QuantizeLinear rounds is read by pairs alone that saturate as tightly as ``pair``."""
    later = pairs.made.get(quantize, ())
    # A range that cannot be read is 0 .. 0, which would seem to lie within any.
    return bool(later) and all(not p.unreadable and rescaling(p) is None and pair.covers(p.limits) for p in later)


def source_nodes(graph: ir.Graph) -> list[ir.Node]:
    """Return every QuantizeLinear and DequantizeLinear, in graph order."""
    return [node for node in graph if is_quantize(node) or is_dequantize(node)]
