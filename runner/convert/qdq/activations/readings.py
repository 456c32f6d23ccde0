"""Who reads the rounded value of each pair, and what that makes of its QuantizeLinear and DequantizeLinear."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from runner.convert.qdq.activations.commuting import carried_inputs
from runner.convert.qdq.activations.limits import Limit, kept_limit, rescaling
from runner.convert.qdq.annotated_graph import AnnotatedGraph, Annotation, Pair, Pairs
from runner.convert.qdq.nodes import is_layer, is_quantize
from runner.convert.qdq.report import NodeUse
from runner.wording import listed, say

_VALUE_BLIND = ("Shape", "Size")  # they read no values


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """Who reads the rounded value of a pair.

    Attributes:
        pair: that rounds it.
        taken: layers and tensors (``<node>:<input>``) that quantize their input with the pair's own scale.
        left: for each other reader, why it reads the value unrounded.
        behind: names of the operators between the pair and those that took it.
        unlimited: whether one of those left would also miss the saturation of the codes: it does not round, or to a range
            that reaches beyond the pair's.
        limit: how the saturation is kept.
    """

    pair: Pair
    taken: tuple[str, ...]
    left: tuple[str, ...]
    behind: tuple[str, ...]
    unlimited: bool
    limit: Limit

    def annotations(self, users: Mapping[str, NodeUse]) -> Iterator[Annotation]:
        """Yield whom the pair's nodes serve, then why others read the value without them; ``users`` by name."""
        nodes = self.pair.nodes
        for user in self.taken if self.pair.params is not None else ():
            yield Annotation(nodes, use=users[user], role="activation", user=user)
        yield from (Annotation(nodes, reason) for reason in self._reasons())

    def _reasons(self) -> Iterator[str]:
        if self.pair.refusal is not None:
            yield say("not accepted: {refusal}", refusal=self.pair.refusal)
        if self.behind:
            yield say("applied behind {behind}", behind=listed(self.behind))
        yield from (say("also {reason}", reason=reason) if self.taken else reason for reason in self.left)
        if self.limit != "none":
            low, high = self.pair.limits
            yield say("its limits {low:.6g} .. {high:.6g} are kept as a {limit}", low=low, high=high, limit=self.limit)
        if self.unlimited and self.pair.unreadable:
            yield say("its saturation is not kept")


def read_pairs(graph: AnnotatedGraph) -> list[Reading]:
    """Return who reads each pair, directly or behind operators that rounding commutes with, while all stand."""
    surroundings = _surroundings(graph)
    return [_reading(pair, surroundings) for pair in graph.pairs.of.values()]


@dataclass(frozen=True, slots=True, eq=False)
class _Surroundings:
    """What there is around each pair.

    Attributes:
        pairs: all of them.
        quantized: names of layers and tensors by the node and input that will be quantized there.
        served: these names by the QuantizeLinear that rounds their values.
        floats: why layers stay float, by name.
    """

    pairs: Pairs
    quantized: Mapping[tuple[ir.Node, int], str]
    served: Mapping[ir.Node | None, Sequence[str]]
    floats: Mapping[str, str]


def _surroundings(graph: AnnotatedGraph) -> _Surroundings:
    quantized = {}
    served: dict[ir.Node | None, list[str]] = {}
    for node in graph.model.graph:
        for index, value in enumerate(node.inputs):
            name = node.name or "" if is_layer(node) else f"{node.name}:{index}"
            if name in graph.users and (graph.users[name] != "layer" or index == 0):
                quantized[node, index] = name
                rounding = None if value is None else graph.pairs.rounding.get(value)
                if rounding is not None:
                    served.setdefault(rounding.quantize, []).append(name)
    return _Surroundings(graph.pairs, quantized, served, graph.floats)


@dataclass(frozen=True, slots=True, eq=False)
class _Reader:
    """One that reads the rounded value of a pair.

    Attributes:
        name: of the layer or tensor that takes the pair's scale; None where it does not.
        behind: names of the operators between the pair and one that takes it.
        reason: why one that does not take it reads the value unrounded.
        again: whether it rounds the value itself.
        saturates: as tightly as the pair.
    """

    name: str | None = None
    behind: tuple[str, ...] = ()
    reason: str | None = None
    again: bool = False
    saturates: bool = False


def _reading(pair: Pair, around: _Surroundings) -> Reading:
    readers = list(_readers(pair.dequantize.outputs[0], (), pair, around))
    taken = dict.fromkeys(reader.name for reader in readers if reader.name is not None)
    behind = dict.fromkeys(step for reader in readers for step in reader.behind)
    left = dict.fromkeys(r.reason for r in sorted(readers, key=lambda r: r.again) if r.reason is not None)
    unlimited = any(reader.name is None and not reader.saturates for reader in readers)
    limit = kept_limit(pair, around.pairs, unlimited=unlimited)
    return Reading(pair, tuple(taken), tuple(left), tuple(behind), unlimited, limit)


def _readers(value: ir.Value, path: tuple[ir.Node, ...], pair: Pair, around: _Surroundings) -> Iterator[_Reader]:
    """Yield who reads a value that holds what ``pair`` rounded, moved by the operators of ``path``."""
    through = f"{path[0].op_type} '{path[0].name}'" if path else ""
    if value.is_graph_output():
        yield _Reader(
            reason=say("feeds {through}, then the model output", through=through)
            if path
            else say("feeds the model output '{name}'", name=value.name)
        )
    for usage in value.uses():
        node, name = usage.node, around.quantized.get((usage.node, usage.idx))
        if name is not None:
            yield _Reader(name, tuple(step.name or "" for step in path))
        elif is_quantize(node) or node.op_type in _VALUE_BLIND:
            continue
        elif usage.idx in carried_inputs(node) and node.outputs[0] in around.pairs.rounding:
            for output in node.outputs:
                yield from _readers(output, (*path, node), pair, around)
        else:
            yield _Reader(reason=_why_left(node, through, around.floats))
    for usage in value.uses():
        if is_quantize(usage.node) and usage.idx == 0:
            later = around.pairs.made.get(usage.node, ())
            reason = _why_again(usage.node, later, pair, through, around)
            yield _Reader(reason=reason, again=True, saturates=_within(later, pair))


def _why_left(node: ir.Node, through: str, floats: Mapping[str, str]) -> str:
    reached = f"{node.op_type} '{node.name}'"
    where = (
        say("feeds {through}, then {reached}", through=through, reached=reached)
        if through
        else say("feeds {reached}", reached=reached)
    )
    if node.name is not None and node.name in floats:
        return say("{where}, which stays float: {floats}", where=where, floats=floats[node.name])
    return say("{where}, which the deploy format cannot hold in int8", where=where)


def _why_again(quantize: ir.Node, later: Sequence[Pair], pair: Pair, through: str, around: _Surroundings) -> str:
    where = (
        say("feeds {through}, then '{name}'", through=through, name=quantize.name)
        if through
        else say("feeds '{name}'", name=quantize.name)
    )
    users = listed(around.served.get(quantize, ()))
    if not any(other.on_grid_of(pair) for other in later):
        if not users:
            return say("{where}, which rounds again with another scale", where=where)
        return say("{where}, which rounds again with another scale at {users}", where=where, users=users)
    if not users:
        return say("{where}, which rounds to the same scale", where=where)
    return say("{where}; the same scale is applied at {users}", where=where, users=users)


def _within(later: Sequence[Pair], pair: Pair) -> bool:
    """Return whether what is rounded again is read by pairs alone that saturate as tightly as ``pair``."""
    # A range that cannot be read is 0 .. 0, which would seem to lie within any.
    return bool(later) and all(not p.unreadable and rescaling(p) is None and pair.covers(p.limits) for p in later)
