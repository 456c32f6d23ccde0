"""Float model + quantized form -> the fake-quant model: the device's integers in standard operators, for any onnxruntime."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes import common as passes

from runner.convert.simulate import Simulator
from runner.graph.builder import Builder
from runner.graph.constants import replace_node
from runner.graph.layers import FoundLayers
from runner.record import QuantizedForm

# The version of this stage's meaning: raise it when the same form would give other bits.
VERSION = 1


def fake_quant_model(model: ir.Model, found: FoundLayers, form: QuantizedForm, *, multiply: bool = False) -> ir.Model:
    """Return a copy of the float model in which the layers and tensors of ``form`` are simulated.

    Args:
        model: prepared, at opset 13 or later.
        found: its layers.
        form: what is quantized; every layer that is not in it stays float.
        multiply: the faster equal form for the runner's own sessions (see Simulator).
    """
    simulated = model.clone()
    graph = simulated.graph
    nodes = {node.name: node for node in graph}
    simulator = Simulator(multiply)
    # Tensors first: a node's inputs are looked up by name, and layers give their outputs new values under the old names.
    for key, tensor in form.tensors.items():
        node, index = tensor_place(nodes, key)
        build = Builder()
        source = node.inputs[index]
        assert source is not None  # the place was read off the graph
        rounded = simulator.tensor(build, source, tensor.activation, key.replace(":", "."))
        _insert(graph, node, build)
        node.replace_input_with(index, rounded)
    for name, quantized in form.layers.items():
        node = nodes[name]
        build = Builder()
        source = node.inputs[0]
        assert source is not None  # a layer reads an activation
        output = simulator.layer(build, node, found[name], quantized, name, source)
        build.register(graph)
        replace_node(graph, node, build.nodes, output)
    passes.RemoveUnusedNodesPass()(simulated)
    passes.TopologicalSortPass()(simulated)
    return simulated


def tensor_place(nodes: dict[str | None, ir.Node], key: str) -> tuple[ir.Node, int]:
    """Return the node and input index of a tensor entry's key ``<node>:<input>``."""
    name, _, index = key.rpartition(":")
    return nodes[name], int(index)


def _insert(graph: ir.Graph, node: ir.Node, build: Builder) -> None:
    build.register(graph)
    graph.insert_before(node, build.nodes)
