"""New nodes and constants on their way into a graph."""

import numpy as np
import onnx_ir as ir

from runner.graph.builder import Builder
from runner.graph.constants import replace_node
from runner.session import Session
from tests.data import noise
from tests.models import model, node_named


def test_operators_are_collected_in_order_with_names_of_their_own():
    source = model("g (float[2] x) => (float[2] y) { y = Relu(x) }")
    build = Builder()
    negated = build.op("Neg", [source.graph.inputs[0]], "a", ir.DataType.FLOAT)
    build.cast(negated, ir.DataType.INT32, "b")
    assert [(node.op_type, node.name, node.outputs[0].name) for node in build.nodes] == [
        ("Neg", "a", "a.output0"),
        ("Cast", "b", "b.output0"),
    ]


def test_a_cast_says_the_type_it_casts_to():
    build = Builder()
    cast = build.cast(model("g (float[2] x) => (float[2] y) { y = Relu(x) }").graph.inputs[0], ir.DataType.INT8, "c")
    assert cast.dtype == ir.DataType.INT8
    assert build.nodes[0].attributes["to"].as_int() == int(ir.DataType.INT8)


def test_a_copy_has_the_attributes_of_its_original():
    source = model("g (float[2,2] x) => (float[2,2] y) { [soft] y = Softmax<axis=0>(x) }")
    node = node_named(source.graph, "soft")
    build = Builder()
    copy = build.like(node, node.inputs, "copy", ir.DataType.FLOAT)
    build.register(source.graph)
    replace_node(source.graph, node, build.nodes, copy)
    x = noise(0, 2, 2)
    np.testing.assert_allclose(Session(source).run({"x": x})[0].sum(axis=0), 1, rtol=1e-6)


def test_registered_constants_become_initializers_under_free_names():
    source = model("g (float[2] x) => (float[2] y) { y = Add(x, c) }", c=np.float32([1, 2]))
    build = Builder()
    added = build.constant("c", np.float32([3]))
    build.register(source.graph)
    assert added.name == "c_1"
    assert source.graph.initializers["c_1"] is added


def test_registered_outputs_get_names_that_no_value_of_the_graph_has():
    source = model("g (float[2] x) => (float[2] y) { [n] m = Relu(x) y = Relu(m) }")
    node = node_named(source.graph, "n")
    node.outputs[0].name = "n.output0"
    build = Builder()
    new = build.like(node, node.inputs, "n", ir.DataType.FLOAT)
    build.register(source.graph)
    assert new.name == "n.output0_1"
