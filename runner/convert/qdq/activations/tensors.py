"""Tensors that a record holds beside layers: inputs of an Add and outputs of the model that are rounded."""

from __future__ import annotations

import onnx_ir as ir

from runner.convert.qdq.activations.pairs import Pairs
from runner.graph.constants import Names
from runner.record import TensorRecord


def rounded_adds(graph: ir.Graph, pairs: Pairs) -> dict[str, TensorRecord]:
    """Return an entry for each input of an Add that comes straight from an accepted pair."""
    tensors = {}
    for node in graph:
        for index, value in enumerate(node.inputs if node.op_type == "Add" and node.domain == "" else ()):
            entry = _straight_from_pair(value, pairs)
            if entry is not None:
                tensors[f"{node.name}:{index}"] = entry
    return tensors


def rounded_outputs(graph: ir.Graph, pairs: Pairs) -> dict[str, TensorRecord]:
    """Return an entry for each model output that comes straight from an accepted pair; changes the graph.

    A tensor entry names a node and its input, so the output gets an Identity of its own, called ``<output>.output``.
    """
    tensors = {}
    names = Names.of(graph)
    for index, value in enumerate(graph.outputs):
        entry = _straight_from_pair(value, pairs)
        if entry is None:
            continue
        name = value.name
        output = ir.Value(name=name, type=value.type, shape=value.shape)
        graph.outputs[index] = output
        value.name = names.new_value(f"{name}.rounded")
        reader = names.new_node(f"{name}.output")
        graph.append(ir.node("Identity", [value], name=reader, outputs=[output]))
        tensors[f"{reader}:0"] = entry
    return tensors


def _straight_from_pair(value: ir.Value | None, pairs: Pairs) -> TensorRecord | None:
    producer = None if value is None else value.producer()
    pair = None if producer is None else pairs.of.get(producer)
    return None if pair is None or pair.params is None else TensorRecord(pair.params)
