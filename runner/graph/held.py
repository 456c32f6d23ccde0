"""What folding of constants shall not look through: conditions of an If, and outputs of bodies.

Folding would put a branch in the place of its If, and an equal value in the place of a body's output, also where that is a
value of the graph around it, which onnxruntime refuses.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import onnx_ir as ir

from runner.graph.constants import Names

_DOMAIN = "held"


@contextmanager
def held_back(model: ir.Model) -> Iterator[None]:
    """Put a node of a domain that nobody knows behind each of them, which becomes an Identity at the end."""
    names = Names.of(model.graph)
    made = [_hold_condition(node, names) for node in _ifs(model)]
    made += [held for body in model.graph.subgraphs() for held in _hold_outputs(body, names)]
    yield
    for node in made:
        if node.graph is not None:
            node.domain = ""


def _ifs(model: ir.Model) -> list[ir.Node]:
    return [node for node in model.graph.all_nodes() if node.op_type == "If" and node.domain == ""]


def _hold_condition(node: ir.Node, names: Names) -> ir.Node:
    condition, graph = node.inputs[0], node.graph
    assert condition is not None and graph is not None  # an If has a condition, and was found in a graph
    held = _held(condition, f"{node.name}.condition", names)
    graph.insert_before(node, held)
    node.replace_input_with(0, held.outputs[0])
    return held


def _hold_outputs(body: ir.Graph, names: Names) -> Iterator[ir.Node]:
    for index, value in enumerate(body.outputs):
        held = _held(value, value.name or "", names)
        output = held.outputs[0]
        if value.producer() is not None and value.graph is body:
            # The name goes along, and comes back with the Identity's removal.
            output.name, value.name = value.name, output.name
        body.outputs[index] = output
        body.append(held)
        yield held


def _held(value: ir.Value, name: str, names: Names) -> ir.Node:
    # A name of its own also beside those of an earlier time: folding leaves initializers under them.
    output = ir.Value(name=names.new_value(f"{name}.held"), type=value.type, shape=value.shape)
    return ir.node("Identity", [value], domain=_DOMAIN, name=f"{name}.held", outputs=[output])
