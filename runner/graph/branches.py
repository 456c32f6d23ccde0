"""The branch that an If with a constant condition takes, put in its place, so that what it holds becomes layers."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from runner.graph.constants import Names, bodies, constant, free_of, value_names


def take_constant_branches(model: ir.Model) -> bool:
    """Replace each If whose condition is a constant by the nodes of its branch; return whether there was one.

    A node of the branch is called ``<If>_<node>``, and a value keeps its name where no other has it. Changes the model.
    """
    taken = False
    while (found := next(_decided(model.graph), None)) is not None:
        node, condition = found
        chosen, other = ("then_branch", "else_branch") if condition else ("else_branch", "then_branch")
        _drop(node.attributes[other].as_graph())
        _inline(model.graph, node, node.attributes[chosen].as_graph())
        taken = True
    return taken


def _decided(graph: ir.Graph) -> Iterator[tuple[ir.Node, bool]]:
    for node in graph.all_nodes():
        condition = constant(node.inputs[0]) if node.op_type == "If" and node.domain == "" else None
        if condition is not None and condition.size == 1:
            yield node, bool(condition.reshape(-1)[0])


def _drop(branch: ir.Graph) -> None:
    """Let a branch that is never taken read nothing any more, so that its values count as read by the others alone."""
    for inner in list(branch.all_nodes()):
        for index in range(len(inner.inputs)):
            inner.replace_input_with(index, None)
        for body in (body for attribute in inner.attributes.values() for body in bodies(attribute)):
            body.outputs.clear()
    branch.outputs.clear()


def _inline(main: ir.Graph, node: ir.Node, branch: ir.Graph) -> None:
    graph = node.graph
    assert graph is not None  # it was found in one
    results = list(branch.outputs)
    branch.outputs.clear()
    nodes, constants = list(branch), list(branch.initializers.values())
    branch.remove(nodes)
    branch.initializers.clear()
    outside, names = value_names(main), Names.of(graph)
    for inner in nodes:
        inner.name = names.new_node(f"{node.name}_{inner.name or inner.op_type}")
    for value in [*constants, *(output for inner in nodes for output in inner.outputs)]:
        # Nobody held what a file says of shapes in a branch against anything.
        if value not in constants:
            value.shape = None
        # An absent output has no name, and needs none.
        if value.name:
            value.name = free_of(outside, value.name)
            outside.add(value.name)
    for value in constants:
        graph.register_initializer(value)
    handed_on = []
    for index, (old, result) in enumerate(zip(node.outputs, results, strict=True)):
        new = result
        if result.producer() not in nodes or result.is_graph_output() or result in results[:index]:
            # What the branch did not make, or gives twice.
            new = ir.Value(type=result.type, shape=result.shape)
            identity = names.new_node(f"{node.name}_output{index}")
            handed_on.append(ir.node("Identity", [result], outputs=[new], name=identity))
        name = old.name
        new.type, new.shape = new.type or old.type, new.shape or old.shape
        old.replace_all_uses_with(new, replace_graph_outputs=True)
        old.name = None
        new.name = name or free_of(outside, f"{node.name}.output{index}")
    graph.insert_before(node, [*nodes, *handed_on])
    graph.remove(node, safe=True)
