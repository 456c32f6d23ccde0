"""Which inputs of nodes can be rounded, and what is said of the others."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from runner.graph.tensors import TensorInput, residual_adds, tensor_input, typed
from runner.targets.ascend.limits import ASCEND
from tests.models import onnx_text, plain_session, prepared

# No value between input and output says its type, as exporters leave it.
GRAPH = onnx_text(
    """g (float[N,4,6,6] x) => (float[N,4,3,3] y, int64[4] odd) {
        a = Relu (x)
        sum = Add (x, a)
        biased = Add (shift, sum)
        twice = Add (biased, biased)
        y = MaxPool <kernel_shape = [2,2], strides = [2,2]> (twice)
        sizes = Shape (x)
        other = Shape (a)
        odd = Add (sizes, other)
        c = Conv (y, w)
    }""",
    shift=np.arange(4, dtype=np.float32).reshape(1, 4, 1, 1),
    w=np.ones((4, 4, 1, 1), np.float32),
)


@pytest.fixture(scope="module")
def model() -> ir.Model:
    return typed(ir.from_proto(GRAPH))


def test_residual_adds_are_those_of_two_computed_floats(model: ir.Model) -> None:
    assert [(tensor.key, tensor.source) for tensor in residual_adds(model)] == [
        ("sum:0", "x"),
        ("sum:1", "a"),
        ("twice:0", "biased"),
        ("twice:1", "biased"),
    ]


def test_input_is_found_by_node_and_index(model: ir.Model) -> None:
    assert tensor_input(model, "y", 0, ASCEND.rounded) == TensorInput("y", "MaxPool", 0, "twice")
    # The other side of a bias is a computed value like any.
    assert tensor_input(model, "biased", 1, ASCEND.rounded) == TensorInput("biased", "Add", 1, "sum")


@pytest.mark.parametrize(
    ("name", "index", "message"),
    [
        ("summ", 0, "Layer summ does not exist in the graph, or was folded into another. Did you mean sum?"),
        ("c", 0, "layer c is of type Conv; expected Add or MaxPool."),
        ("sum", 2, "layer sum has no input 2; expected 0 to 1."),
        ("sum", -1, "layer sum has no input -1; expected 0 to 1."),
        ("y", 1, "layer y has no input 1; expected 0."),
        ("biased", 0, "input 0 of layer biased is a constant; only a computed float32 input is quantized."),
        ("odd", 0, "input 0 of layer odd is INT64; only a computed float32 input is quantized."),
    ],
)
def test_others_are_refused_with_the_reason(model: ir.Model, name: str, index: int, message: str) -> None:
    with pytest.raises(ValueError) as error:
        tensor_input(model, name, index, ASCEND.rounded)
    assert str(error.value) == message


def test_typing_leaves_the_model_as_it_is() -> None:
    graph, _ = prepared(GRAPH)
    before = [value.dtype for node in graph.graph for value in node.outputs]
    typed(graph)
    assert [value.dtype for node in graph.graph for value in node.outputs] == before


def test_typing_leaves_a_sequence_of_tensors_what_it_is() -> None:
    text = onnx_text(
        """g (float[N,4,6,6] x) => (float[N,4,6,6] y) {
            a = Relu (x)
            parts = SplitToSequence <axis = 1, keepdims = 1> (a)
            y = ConcatFromSequence <axis = 1> (parts)
        }"""
    )
    x = np.random.default_rng(0).normal(size=(2, 4, 6, 6)).astype(np.float32)
    [found] = plain_session(typed(ir.from_proto(text))).run(["y"], {"x": x})
    np.testing.assert_array_equal(found, np.maximum(x, 0))
