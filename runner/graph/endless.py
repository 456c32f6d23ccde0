"""Loops that can be seen never to end: a run of one would take all time, and nothing of its result."""

from __future__ import annotations

import onnx_ir as ir

from runner.graph.constants import constant

# A loop of so many steps takes hours for the smallest body; sequences have thousands.
_MOST_STEPS = 1_000_000_000


def endless_loop(model: ir.Model) -> ir.Node | None:
    """Return a Loop that goes on for more than a thousand million steps whatever it reads; None where there is none."""
    return next((node for node in model.graph.all_nodes() if _is_endless(node)), None)


def _is_endless(node: ir.Node) -> bool:
    if node.op_type != "Loop" or node.domain or "body" not in node.attributes or len(node.inputs) < 2:
        return False
    steps, begins = node.inputs[0], node.inputs[1]
    body = node.attributes["body"].as_graph()
    if len(body.inputs) < 2 or not body.outputs:
        return False
    most = _MOST_STEPS + 1 if steps is None else _number(steps)
    starts = True if begins is None else _number(begins)
    return most is not None and most > _MOST_STEPS and bool(starts) and _stays_true(body.outputs[0], body.inputs[1])


def _stays_true(condition: ir.Value | None, before: ir.Value) -> bool:
    """Return whether a body's condition is the one that it was given, or a constant that is true."""
    while condition is not None and condition is not before:
        producer = condition.producer()
        if producer is None or producer.op_type != "Identity" or producer.domain:
            return bool(_number(condition))
        condition = producer.inputs[0]
    return condition is before


def _number(value: ir.Value) -> int | None:
    found = constant(value)
    return int(found.reshape(-1)[0]) if found is not None and found.size == 1 else None
