"""Constants and edits that keep a graph's names."""

import numpy as np
import onnx_ir as ir
import pytest

from runner.graph.builder import Builder
from runner.graph.constants import (
    add_initializer,
    constant,
    float_attribute,
    free_name,
    integer_attribute,
    make_constant,
    replace_node,
)
from runner.session import Session
from tests.data import noise
from tests.models import model, node_named

GRAPH = """g (float[1,2] x, float[1,2] fed) => (float[1,2] y) {
    [constant] c = Constant<value = float[2] {1, 2}>()
    [list] l = Constant<value_floats = [1.0, 2.0]>()
    [add] a = Add(x, w)
    [sub] y = Sub(a, c)
}"""


@pytest.fixture
def graph():
    return model(GRAPH, w=np.float32([3, 4])).graph


def value(graph, name):
    values = [*graph.inputs, *graph.initializers.values(), *(v for node in graph for v in node.outputs)]
    return next(v for v in values if v.name == name)


def test_an_initializer_is_a_constant(graph):
    assert constant(value(graph, "w")).tolist() == [3, 4]


def test_the_output_of_a_constant_node_is_a_constant(graph):
    assert constant(value(graph, "c")).tolist() == [1, 2]


@pytest.mark.parametrize("name", ["x", "a"])
def test_what_is_fed_or_computed_is_no_constant(graph, name):
    assert constant(value(graph, name)) is None


def test_an_absent_input_is_no_constant():
    assert constant(None) is None


@pytest.mark.parametrize(
    ("taken", "free"),
    [
        pytest.param("new", "new", id="free"),
        pytest.param("w", "w_1", id="initializer"),
        pytest.param("x", "x_1", id="input"),
        pytest.param("a", "a_1", id="output_of_a_node"),
    ],
)
def test_a_new_name_is_no_other_values_name(graph, taken, free):
    assert free_name(graph, taken) == free


def test_taken_suffixes_are_passed_over(graph):
    add_initializer(graph, "w", np.float32([1]))
    assert add_initializer(graph, "w", np.float32([2])).name == "w_2"
    assert list(graph.initializers) == ["w", "w_1", "w_2"]


@pytest.mark.parametrize("array", [np.float32(3), np.zeros((0, 2), np.int8), np.ones((2, 3), np.int64).T])
def test_a_made_constant_keeps_shape_and_type(array):
    made = make_constant("c", np.asarray(array))
    assert made.shape == array.shape
    assert np.array_equal(constant_of(made), array)
    assert made.dtype == ir.DataType.from_numpy(np.asarray(array).dtype)


def constant_of(made):
    return made.const_value.numpy()


def test_replacing_a_node_keeps_the_name_of_its_output(graph):
    sub = node_named(graph, "sub")
    build = Builder()
    negated = build.op("Neg", [sub.inputs[0]], "neg", ir.DataType.FLOAT)
    replace_node(graph, sub, build.nodes, negated)
    assert [output.name for output in graph.outputs] == ["y"]
    assert [node.op_type for node in graph] == ["Constant", "Constant", "Add", "Neg"]


def test_readers_of_a_replaced_node_read_the_new_one():
    source = model(
        "g (float[1,2] x) => (float[1,2] y) { [old] a = Abs(x) [reader] y = Relu(a) }",
    )
    build = Builder()
    old = node_named(source.graph, "old")
    replace_node(source.graph, old, build.nodes, build.op("Neg", [old.inputs[0]], "neg", ir.DataType.FLOAT))
    x = noise(0, 1, 2)
    assert np.array_equal(Session(source).run({"x": x})[0], np.maximum(-x, 0))


def test_attributes_are_read_with_their_defaults():
    node = node_named(
        model(
            "g (float[2,2] x, float[2,2] w) => (float[2,2] y) { [gemm] y = Gemm<alpha = 0.5, transB = 1>(x, w) }"
        ).graph,
        "gemm",
    )
    assert (integer_attribute(node, "transB", 0), integer_attribute(node, "transA", 0)) == (1, 0)
    assert (float_attribute(node, "alpha", 1.0), float_attribute(node, "beta", 1.0)) == (0.5, 1.0)
