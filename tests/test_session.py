"""Sessions: what they say of a model, what they run, and how they refuse."""

import gc
import threading

import numpy as np
import onnx
import pytest

from runner.errors import InternalError, ModelError
from runner.graph.model_file import model_bytes
from runner.session import LEVELS, REFERENCE, SIMULATION, Session, plain
from tests.data import noise
from tests.models import model, proto

RELU = "g (float[N,3] x) => (float[N,3] y, float[N,3] z) { y = Relu(x) z = Neg(x) }"


def test_inputs_and_outputs_are_told_with_open_dimensions_as_none():
    text = "g (float[N,3] a, uint8[2,?] b, double[1] c) => (float[N,3] y) { y = Relu(a) }"
    inputs = Session(model(text)).inputs
    assert [(i.name, i.shape, i.dtype) for i in inputs] == [
        ("a", (None, 3), np.dtype("float32")),
        ("b", (2, None), np.dtype("uint8")),
        ("c", (1,), np.dtype("float64")),
    ]


def test_all_outputs_come_in_the_models_order():
    x = noise(0, 2, 3)
    session = Session(model(RELU))
    y, z = session.run({"x": x})
    assert session.output_names == ("y", "z")
    assert np.array_equal(y, np.maximum(x, 0))
    assert np.array_equal(z, -x)


def test_named_outputs_come_alone_and_in_the_order_asked_for():
    x = noise(0, 2, 3)
    (z,) = Session(model(RELU)).run({"x": x}, ["z"])
    assert np.array_equal(z, -x)


def test_a_file_can_be_run_by_its_path(tmp_path):
    onnx.save(proto(RELU), tmp_path / "relu.onnx")
    y, _ = Session(tmp_path / "relu.onnx").run({"x": -np.ones((1, 3), np.float32)})
    assert y.tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("profile", [SIMULATION, REFERENCE, *map(plain, LEVELS)], ids=str)
def test_every_profile_runs_a_model(profile):
    assert Session(model(RELU), profile).run({"x": np.ones((1, 3), np.float32)})[0].tolist() == [[1, 1, 1]]


def test_simulation_leaves_a_multiplication_outside_of_the_weights():
    """Folded into the weight, the factor would be rounded before the sum: 3 * fl(0.1) + 3 * fl(0.1) twice rounded."""
    graph = """g (float[1,64,1,1] x) => (float[1,4,1,1] y) {
        s = Conv(x, w)
        y = Mul(s, deq)
    }"""
    rng = np.random.default_rng(0)
    weight = rng.integers(-128, 128, (4, 64, 1, 1)).astype(np.float32)
    deq = rng.uniform(0.001, 0.002, (4, 1, 1)).astype(np.float32)
    x = rng.integers(-255, 256, (1, 64, 1, 1)).astype(np.float32)
    sums = weight[:, :, 0, 0].astype(np.int64) @ x[0, :, 0, 0].astype(np.int64)
    (y,) = Session(model(graph, w=weight, deq=deq), SIMULATION).run({"x": x})
    assert np.array_equal(y.ravel(), sums.astype(np.float32) * deq.ravel())


def test_one_session_answers_several_threads_alike():
    session = Session(model("g (float[N,64] x) => (float[N,8] y) { y = MatMul(x, w) }", w=noise(1, 64, 8)))
    x = noise(0, 16, 64)
    (expected,) = session.run({"x": x})
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(session.run({"x": x})[0])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8
    assert all(np.array_equal(answer, expected) for answer in answers)


UNKNOWN = "g (float[1] x) => (float[1] y) { y = NoSuchOperator(x) }"


def test_given_model_that_onnxruntime_does_not_know_is_refused():
    with pytest.raises(ModelError, match=r"model.path: onnxruntime cannot load the model: .*NoSuchOperator"):
        Session(model(UNKNOWN), given=True)


def test_graph_of_ours_that_onnxruntime_refuses_is_our_fault():
    with pytest.raises(InternalError, match=r"graph that was built from the model: .*NoSuchOperator.*Please report"):
        Session(model(UNKNOWN))


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"onnxruntime cannot load the model: .*none\.onnx"):
        Session(tmp_path / "none.onnx", given=True)


def test_input_type_that_numpy_lacks_is_refused():
    with pytest.raises(ModelError, match=r"model input 'x' is a tensor\(string\); expected numbers"):
        Session(model("g (string[1] x) => (string[1] y) { y = Identity(x) }"))


def test_data_that_does_not_fit_is_refused_with_its_shape():
    session = Session(model(RELU))
    with pytest.raises(ModelError, match=r"onnxruntime cannot run the model on x \[2, 4\] float32: "):
        session.run({"x": np.zeros((2, 4), np.float32)})


def test_model_of_an_old_ir_version_is_loaded():
    graph = "g (float[1,2] x) => (float[1,1] y) { y = MatMul(x, w) }"
    session = Session(model(graph, opset=8, ir_version=3, w=np.ones((2, 1), np.float32)))
    assert session.run({"x": np.ones((1, 2), np.float32)})[0].tolist() == [[2]]


def test_large_weights_are_not_copied_and_outlive_the_model(monkeypatch):
    monkeypatch.setattr("runner.session._LARGE_BYTES", 1)
    monkeypatch.setattr("runner.graph.skeleton._LEAST_BYTES", 20)
    built = model(
        "g (float[1,2,6,6] x) => (float[] y) { a = Conv(x, w, b)  c = Relu(a)  d = Reshape(c, s)  y = MatMul(d, v) }",
        w=noise(1, 3, 2, 3, 3),
        b=noise(2, 3),
        s=np.array([1, 48]),
        v=noise(3, 48, 5),
    )
    x = noise(4, 1, 2, 6, 6)
    monkeypatch.setattr("runner.session._LARGE_BYTES", 1 << 40)
    whole = Session(built).run({"x": x})[0]
    monkeypatch.setattr("runner.session._LARGE_BYTES", 1)
    before = model_bytes(built)
    session = Session(built)
    assert model_bytes(built) == before
    del built
    gc.collect()
    np.testing.assert_array_equal(session.run({"x": x})[0], whole)


@pytest.mark.parametrize("outputs", ["float[] y", "float[] y, float[4,3] unread"])
def test_large_weights_that_no_node_reads_are_left_in_the_graph(outputs, monkeypatch):
    monkeypatch.setattr("runner.session._LARGE_BYTES", 1)
    monkeypatch.setattr("runner.graph.skeleton._LEAST_BYTES", 1)
    built = model(f"g (float[2,3] x) => ({outputs}) {{ y = MatMul(x, w) }}", w=noise(1, 3, 5), unread=noise(2, 4, 3))
    x = noise(4, 2, 3)
    np.testing.assert_allclose(Session(built).run({"x": x})[0], x @ noise(1, 3, 5), rtol=1e-5)
