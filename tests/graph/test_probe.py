"""A probed copy gives inner tensors, and leaves the model alone."""

import numpy as np

from runner.graph.probe import only_outputs, only_shapes, with_outputs
from runner.session import Session
from tests.data import noise
from tests.models import model

GRAPH = "g (float[1,3] x) => (float[1,3] y) { a = Neg(x) b = Abs(a) y = Relu(b) }"


def test_inner_tensors_follow_the_models_own_outputs():
    x = noise(0, 1, 3)
    session = Session(with_outputs(model(GRAPH), ["b", "a"]))
    y, b, a = session.run({"x": x})
    assert session.output_names == ("y", "b", "a")
    assert np.array_equal(a, -x)
    assert np.array_equal(b, abs(x))
    assert np.array_equal(y, abs(x))


def test_own_outputs_and_repetitions_are_not_added_again():
    assert Session(with_outputs(model(GRAPH), ["a", "y", "a"])).output_names == ("y", "a")


def test_a_models_input_can_be_probed():
    x = noise(0, 1, 3)
    assert np.array_equal(Session(with_outputs(model(GRAPH), ["x"])).run({"x": x}, ["x"])[0], x)


def test_a_constant_can_be_probed():
    x, w = noise(0, 1, 3), noise(1, 3)
    source = model("g (float[1,3] x) => (float[1,3] y, float[3] w) { y = Add(x, w) }", w=w)
    assert np.array_equal(Session(only_outputs(source, ["w"])).run({"x": x})[0], w)
    inner = model("g (float[1,3] x) => (float[1,3] y) { y = Add(x, w) }", w=w)
    assert np.array_equal(Session(with_outputs(inner, ["w"])).run({"x": x}, ["w"])[0], w)


def test_the_probed_model_itself_is_unchanged():
    source = model(GRAPH)
    with_outputs(source, ["a"])
    assert [output.name for output in source.graph.outputs] == ["y"]


def test_shapes_alone_can_be_had_of_any_tensor():
    source = model("g (float[N,3] x) => (float[M] y) { a = Transpose(x) y = ReduceSum<keepdims = 0>(a) }")
    got = Session(only_shapes(source, ["a", "x", "y", "a"])).run({"x": noise(0, 5, 3)})
    assert [shape.tolist() for shape in got] == [[3, 5], [5, 3], [], [3, 5]]
    assert [output.name for output in source.graph.outputs] == ["y"]
