"""A model in blocks, each of which can be run alone: a layer, and what is made of it before the next.

A node that is no layer belongs to the last block that it reads from, in graph order; what no layer comes before is a block of
its own. So whatever does not depend on a layer stands outside its block, but for what that layer reads alone. Blocks read from
blocks before them. Where the type of a tensor between two blocks is not known, or it is a list of tensors, they are one, with
all between them. How a model is cut follows from the model alone.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass

import onnx_ir as ir

from runner.graph.constants import bodies, constant
from runner.graph.infer import infer_types


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A part of a model.

    Attributes:
        layers: their names; none in front of the first layer, several where nothing could be cut between them.
        reads: names of the tensors that it takes, inputs of the model among them.
        gives: names of those that it makes and that other blocks read or the model gives.
        model: the part as a model of its own.
    """

    layers: tuple[str, ...]
    reads: tuple[str, ...]
    gives: tuple[str, ...]
    model: ir.Model


def blocks(model: ir.Model, layers: Container[str]) -> tuple[Block, ...]:
    """Return the blocks of a model, those that are read before those that read them.

    Args:
        model: with nodes in topological order; stays as it is.
        layers: names of its layers.
    """
    model = model.clone()
    infer_types(model)
    places = _joined(_places(model.graph, layers), model.graph)
    readers = dict[str, set[int]]()
    members = dict[int, list[ir.Node]]()
    for node in model.graph:
        place = places[node]
        members.setdefault(place, []).append(node)
        for name in computed_inputs(node):
            readers.setdefault(name, set()).add(place)
    own = {value.name for value in model.graph.outputs}
    found = []
    for place in sorted(members):
        nodes = members[place]
        made = [value.name for node in nodes for value in node.outputs if value.name]
        gives = tuple(name for name in made if name in own or readers.get(name, set()) - {place})
        if gives:
            reads = dict.fromkeys(name for node in nodes for name in computed_inputs(node))
            taken = tuple(name for name in reads if name not in made)
            inside = tuple(node.name for node in nodes if node.name and node.name in layers)
            found.append(Block(inside, taken, gives, _part(model, taken, gives)))
    return tuple(found)


def computed_inputs(node: ir.Node) -> list[str]:
    """Return the names of the values that a node reads and that are no constants, those read inside its bodies included."""
    inner = (value for attribute in node.attributes.values() for body in bodies(attribute) for value in _read_in(body))
    values = (value for value in (*node.inputs, *inner) if value is not None and constant(value) is None)
    return list(dict.fromkeys(value.name or "" for value in values))


def _read_in(body: ir.Graph) -> Iterator[ir.Value]:
    """Yield what a body, and those inside it, read of the graphs around it."""
    graphs = list(_graphs(body))
    nodes: list[ir.Node] = [node for graph in graphs for node in graph]
    inside: set[ir.Value | None] = {
        value for graph in graphs for value in (*graph.inputs, *graph.initializers.values())
    }
    inside.update(value for node in nodes for value in node.outputs)
    read = [value for node in nodes for value in node.inputs] + [value for graph in graphs for value in graph.outputs]
    yield from (value for value in read if value is not None and value not in inside)


def _graphs(body: ir.Graph) -> Iterator[ir.Graph]:
    yield body
    for node in body:
        for attribute in node.attributes.values():
            for inner in bodies(attribute):
                yield from _graphs(inner)


def _places(graph: ir.Graph, layers: Container[str]) -> dict[ir.Node, int]:
    """Return the number of each node's block, 0 in front of the first layer."""
    places, made, count = dict[ir.Node, int](), dict[str, int](), 0
    for node in graph:
        if node.name in layers:
            count += 1
            place = count
        else:
            place = max((made.get(name, 0) for name in computed_inputs(node)), default=0)
        places[node] = place
        made.update((value.name or "", place) for value in node.outputs)
    return places


def _joined(places: dict[ir.Node, int], graph: ir.Graph) -> dict[ir.Node, int]:
    """Return the numbers after joining blocks between which a tensor stands that no block can be given."""
    made = {value.name: (value, places[node]) for node in graph for value in node.outputs}
    # Block n joins block n + 1.
    joins = set[int]()
    for node, place in places.items():
        for value, producer in (made[name] for name in computed_inputs(node) if name in made):
            if not isinstance(value.type, ir.TensorType):
                joins.update(range(producer, place))
    first = dict[int, int]()
    for place in range(max(places.values(), default=0) + 1):
        first[place] = first[place - 1] if place - 1 in joins else place
    return {node: first[place] for node, place in places.items()}


def _part(model: ir.Model, reads: tuple[str, ...], gives: tuple[str, ...]) -> ir.Model:
    graph = ir.convenience.extract(model.graph, list(reads), list(gives))
    for value in (*graph.inputs, *graph.outputs):
        # Of what is inferred between nodes the rank is as good as certain, the sizes are not.
        value.shape = None if value.shape is None else ir.Shape([None] * len(value.shape))
    return ir.Model(graph, ir_version=model.ir_version)
