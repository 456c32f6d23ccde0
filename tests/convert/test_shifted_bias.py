"""A MatMul whose bias, the constant of the Add behind it, is shifted: the same numbers in every model that is made of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from runner.convert.fake_quant import fake_quant_model
from runner.errors import VerificationError
from runner.graph.model_file import model_bytes
from runner.lint.check import check_deploy
from runner.ranges import ActivationParams
from runner.record import QuantizedLayers, TensorRecord
from runner.session import LEVELS, REFERENCE, SIMULATION, Session, plain
from runner.targets.ascend.deploy import deploy_model
from runner.targets.ascend.deploy_check import check_against_form
from runner.targets.qdq.write import qdq_model
from tests import device
from tests.data import noise
from tests.models import model, random_form
from tests.verify.pairs import compared

F = np.float32
X = noise(0, 3, 5, 6)
SHIFT = {"m": np.array([0.3, -1e-6, 7, 0], F), "k": np.array([-0.2, 0.1, 3e-5], F)}
W1, W2, B1, B2 = noise(1, 6, 4), noise(2, 4, 3), noise(3, 4), noise(4, 1, 1, 3)
# The constant of the first Add has a second reader, which keeps it.
GRAPH = """g (float[N,5,6] x) => (float[N,5,3] y, float[N,5,4] other) {
    [m] h = MatMul(x, w1)
    [a] s = Add(b1, h)
    [r] t = Relu(s)
    [k] i = MatMul(t, w2)
    [o] y = Add(i, b2)
    [n] other = Mul(t, b1)
}"""


def built():
    return model(GRAPH, w1=W1, w2=W2, b1=B1, b2=B2)


def shifted(tensors=None):
    found, form = random_form(built(), scale=0.02)
    layers = {name: replace(layer, shift=SHIFT[name]) for name, layer in form.layers.items()}
    return found, QuantizedLayers(layers, tensors or {})


def layer_output(form, name, x):
    layer = form.layers[name]
    params = layer.record.activation
    sums = device.matmul(device.centred(x, params.scale, params.zero_point), layer.weight)
    return device.real(sums, params.scale, layer.record.weight_scales, -1)


def expected(form):
    """Return both outputs of the model in which the layers of ``form`` are int8, added up in float32 by numpy."""
    h = layer_output(form, "m", X) + (B1 + SHIFT["m"]) if "m" in form.layers else X @ W1 + B1
    t = np.maximum(h, 0)
    y = layer_output(form, "k", t) + (B2 + SHIFT["k"]) if "k" in form.layers else t @ W2 + B2
    return [y, t * B1]


SESSIONS = {f"level {level}": plain(level) for level in LEVELS} | {"reference": REFERENCE}


@pytest.mark.parametrize("session", SESSIONS)
def test_fake_quant_model_adds_the_constant_and_the_shift_as_one_float32(session):
    found, form = shifted()
    outputs = Session(fake_quant_model(found.on(built()), form), SESSIONS[session]).run({"x": X})
    for output, truth in zip(outputs, expected(form), strict=True):
        np.testing.assert_array_equal(output, truth)


def test_the_runners_own_session_gives_the_same_bits():
    found, form = shifted()
    outputs = Session(fake_quant_model(found.on(built()), form, multiply=True), SIMULATION).run({"x": X})
    for output, truth in zip(outputs, expected(form), strict=True):
        np.testing.assert_array_equal(output, truth)


@pytest.mark.parametrize("left", ["m", "k"])
def test_layer_left_float_has_its_own_constant_back(left, tmp_path):
    found, form = shifted()
    form = form.without([left])
    outputs = Session(fake_quant_model(found.on(built()), form), REFERENCE).run({"x": X})
    for output, truth in zip(outputs, expected(form), strict=True):
        np.testing.assert_allclose(output, truth, rtol=1e-5, atol=1e-5)
    bias = {"m": ("a", B1), "k": ("o", B2)}[left]
    np.testing.assert_array_equal(added(written(tmp_path, found, form), bias[0]), bias[1])


def test_plain_qdq_model_has_the_shift_too():
    found, form = shifted()
    # Codes differ at ties and the scale is divided by, so by a step here and there.
    (y, _), (truth, _) = (Session(qdq_model(found.on(built()), form), plain("none")).run({"x": X}), expected(form))
    unshifted = QuantizedLayers({name: replace(layer, shift=None) for name, layer in form.layers.items()})
    (other, _) = Session(fake_quant_model(found.on(built()), unshifted)).run({"x": X})
    assert np.abs(y - truth).mean() < 0.01 * np.abs(other - truth).mean()


def written(folder, found, form):
    path = folder / "deploy.onnx"
    path.write_bytes(model_bytes(deploy_model(found.on(built()), form)))
    return path


def added(path, add):
    """Return the constant that an Add of a file adds."""
    proto = onnx.load(path)
    (node,) = (node for node in proto.graph.node if node.name == add)
    (tensor,) = (tensor for tensor in proto.graph.initializer if tensor.name in node.input)
    return numpy_helper.to_array(tensor)


ROUNDED = {"a:1": TensorRecord(ActivationParams(0.5, 3))}


@pytest.mark.parametrize("tensors", [{}, ROUNDED], ids=["layers alone", "what the Add reads is rounded too"])
def test_deploy_file_holds_the_shifted_constants_and_gives_the_bits_of_the_fake_quant_file(tensors, tmp_path):
    found, form = shifted(tensors)
    path = written(tmp_path, found, form)
    assert [finding for finding in check_deploy(path) if finding.severity == "fault"] == []
    assert check_against_form(path, form, built()) == []
    np.testing.assert_array_equal(added(path, "a"), B1 + SHIFT["m"])
    np.testing.assert_array_equal(added(path, "o"), B2 + SHIFT["k"])
    np.testing.assert_array_equal(added(path, "n"), B1)
    fake_quant = tmp_path / "fake_quant.onnx"
    fake_quant.write_bytes(model_bytes(fake_quant_model(found.on(built()), form)))
    assert compared(path, fake_quant, X).identical == len(X)


def tampered(path, add, change):
    """Give an Add of a file another constant."""
    proto = onnx.load(path)
    (node,) = (node for node in proto.graph.node if node.name == add)
    (tensor,) = (tensor for tensor in proto.graph.initializer if tensor.name in node.input)
    tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor).copy()), tensor.name))
    onnx.save(proto, path)


def next_float(array):
    array.reshape(-1)[0] = np.nextafter(array.reshape(-1)[0], F(np.inf))
    return array


def test_constant_that_differs_by_a_bit_is_found(tmp_path):
    found, form = shifted()
    path = written(tmp_path, found, form)
    fake_quant = tmp_path / "fake_quant.onnx"
    fake_quant.write_bytes(model_bytes(fake_quant_model(found.on(built()), form)))
    tampered(path, "o", next_float)
    (finding,) = check_against_form(path, form, built())
    assert str(finding) == "o: expected its constant with the shift of the layer, got other numbers"
    with pytest.raises(VerificationError, match=r"Every int8 layer agrees, the output 'y' behind them does not"):
        compared(path, fake_quant, X)


def test_shift_of_a_layer_that_is_float_and_one_that_is_missing_are_found(tmp_path):
    found, form = shifted()
    path = written(tmp_path, found, form)
    without = QuantizedLayers({name: replace(layer, shift=None) for name, layer in form.layers.items()})
    assert [str(finding) for finding in check_against_form(path, without, built())] == [
        "a: expected its constant as in the float model, got other numbers",
        "o: expected its constant as in the float model, got other numbers",
    ]
    found_in_plain = check_against_form(written(tmp_path, found, without), form, built())
    assert [finding.node for finding in found_in_plain] == ["a", "o"]
    # Fallen back, but for its constant.
    fallen = written(tmp_path, found, form.without(["k"]))
    tampered(fallen, "o", lambda array: array + SHIFT["k"])
    (finding,) = check_against_form(fallen, form.without(["k"]), built())
    assert (finding.node, finding.expected) == ("o", "its constant as in the float model")


def test_add_without_its_constant_is_found(tmp_path):
    found, form = shifted()
    path = written(tmp_path, found, form)
    proto = onnx.load(path)
    (node,) = (node for node in proto.graph.node if node.name == "o")
    node.input[1] = node.input[0]
    onnx.save(proto, path)
    (finding,) = check_against_form(path, form, built())
    assert str(finding) == "o: expected its constant with the shift of the layer, got 0 constants"
