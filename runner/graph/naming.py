"""Every node gets a name of its own, because a record speaks of layers by name."""

from __future__ import annotations

import onnx_ir as ir


def name_inner_nodes(model: ir.Model) -> None:
    """Name unnamed nodes of bodies ``{op_type}_{index}`` too: a body may come to stand in the place of its If."""
    for body in model.graph.subgraphs():
        for index, node in enumerate(body):
            node.name = node.name or f"{node.op_type}_{index}"


def name_nodes(model: ir.Model) -> list[str]:
    """Name unnamed nodes ``{op_type}_{index}`` and give duplicates a numeric suffix; return the names that were made.

    ``index`` is the node's place in the graph. Changes the model it is given.
    """
    taken = {node.name for node in model.graph if node.name}
    seen: set[str] = set()
    made: list[str] = []
    for index, node in enumerate(model.graph):
        wanted = node.name or f"{node.op_type}_{index}"
        name = wanted
        suffix = 0
        while name in seen or (name != node.name and name in taken):
            suffix += 1
            name = f"{wanted}_{suffix}"
        if name != node.name:
            made.append(name)
            node.name = name
        seen.add(name)
    return made
