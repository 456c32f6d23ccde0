"""Identity and Cast beside QuantizeLinear and DequantizeLinear, which reading takes out where they compute nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import onnx_ir as ir

from runner.convert.qdq.nodes import is_dequantize, is_quantize

_IDLE = ("Identity", "Cast")


def idle_nodes(graph: ir.Graph) -> dict[ir.Node, tuple[str, ...]]:
    """Return each Identity and Cast with the names of the Q/DQ nodes it touches, itself or through more of its kind."""
    return {node: tuple(dict.fromkeys(_touched(node))) for node in graph if _is_idle(node)}


def taken_out(idle: Mapping[ir.Node, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """Return, by the names of Q/DQ nodes, the operators beside them that no graph holds any more."""
    found: dict[str, dict[str, None]] = {}
    for node, names in idle.items():
        for name in names if node.graph is None else ():
            found.setdefault(name, {})[node.op_type] = None
    return {name: tuple(operators) for name, operators in found.items()}


def _touched(node: ir.Node) -> Iterator[str]:
    before = [node]
    while _is_idle(before[-1]):
        producer = None if before[-1].inputs[0] is None else before[-1].inputs[0].producer()
        if producer is None:
            break
        before.append(producer)
    yield from _name(before[-1])
    after = [node]
    while after:
        for usage in after.pop().outputs[0].uses():
            yield from _name(usage.node)
            after += [usage.node] if _is_idle(usage.node) else []


def _name(node: ir.Node) -> Iterator[str]:
    if is_quantize(node) or is_dequantize(node):
        yield node.name or ""


def _is_idle(node: ir.Node) -> bool:
    return node.op_type in _IDLE and node.domain == ""
