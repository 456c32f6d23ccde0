"""The file read again: every number that is not the layers' own is found."""

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper

from runner.graph.model_file import model_bytes
from runner.ranges import ActivationParams
from runner.record import QuantizedLayers, TensorRecord
from runner.targets.qdq.check import check_against_layers, check_loads
from runner.targets.qdq.write import PORTABLE, TENSORRT, qdq_model
from tests.data import noise
from tests.models import model, random_form

TEXT = """g (float[1,4,8,8] x) => (float[] y) {
    [a] h = Conv(x, w, b) [r] r = Relu(h) [t] s = ConvTranspose<group=2>(r, v, c) [add] z = Add(s, k)
    [flat] f = Flatten(z) [last] y = Gemm(f, m, d)
}"""


def written(tmp_path, dialect=PORTABLE):
    built = model(
        TEXT, w=noise(0, 4, 4, 1, 1), b=noise(1, 4), v=noise(2, 4, 2, 1, 1), c=noise(3, 4),
        m=noise(4, 256, 3), d=noise(5, 3), k=noise(6, 1, 4, 8, 8),
    )  # fmt: skip
    found, form = random_form(built, scale=0.05, zero_point=0 if dialect is TENSORRT else -3)
    zero_point = form.layers["a"].record.activation.zero_point
    form = QuantizedLayers(form.layers, {"add:0": TensorRecord(ActivationParams(0.5, zero_point))})
    path = tmp_path / "model.onnx"
    path.write_bytes(model_bytes(qdq_model(found, form, dialect)))
    return path, form, found


@pytest.mark.parametrize("dialect", [PORTABLE, TENSORRT], ids=["portable", "tensorrt"])
def test_what_was_written_is_what_was_meant_and_loads_everywhere(tmp_path, dialect):
    path, form, found = written(tmp_path, dialect)
    assert check_against_layers(path, form, found) == []
    assert check_loads(path) == []


def change(path, name, by):
    """Change the initializer whose name ends so, wherever it is."""
    file = onnx.load(path)
    (tensor,) = (tensor for tensor in file.graph.initializer if tensor.name == name)
    array = numpy_helper.to_array(tensor).copy()
    flat = array.reshape(-1)
    flat[-1] = by(flat[-1])
    tensor.CopyFrom(numpy_helper.from_array(array, name))
    onnx.save(file, path)


@pytest.mark.parametrize(
    "name",
    [
        *("a.weight", "a.weight.scale", "a.weight.zero_point", "a.bias", "a.bias.scale", "a.quant.scale"),
        *("a.quant.zero_point", "t.weight", "t.weight.scale", "last.weight.scale", "add.0.scale", "add.0.zero_point"),
    ],
)
def test_a_single_other_number_is_found(tmp_path, name):
    path, form, found = written(tmp_path)
    change(path, name, lambda value: value + 1 if value.dtype.kind in "iu" else np.nextafter(value, np.float32(9)))
    findings = check_against_layers(path, form, found)
    assert [finding.node for finding in findings if finding.node == name.split(".")[0].replace("add", "add:0")]


PRODUCT = """g (float[N,4] x) => (float[N,3] y) { [mm] p = MatMul(x, w) [plus] y = Add(p, b) }"""


def product(tmp_path, bias, factors=(0.5, 2.0, 4.0, 0.25)):
    found, form = random_form(model(PRODUCT, w=noise(0, 4, 3), b=bias), scale=0.05, zero_point=-3)
    layer = form.layers["mm"]
    form = QuantizedLayers({"mm": replace(layer, record=replace(layer.record, balance_factors=factors))}, {})
    path = tmp_path / "product.onnx"
    path.write_bytes(model_bytes(qdq_model(found, form)))
    return path, form, found


@pytest.mark.parametrize("name", ["mm.bias", "mm.bias.scale", "mm.tensor_balance_factor"])
def test_a_single_other_number_of_an_added_bias_or_a_balance_factor_is_found(tmp_path, name):
    path, form, found = product(tmp_path, noise(1, 1, 3))
    assert check_against_layers(path, form, found) == []
    change(path, name, lambda value: value + 1 if value.dtype.kind in "iu" else np.nextafter(value, np.float32(9)))
    (finding,) = check_against_layers(path, form, found)
    assert finding.node == ("mm" if name == "mm.tensor_balance_factor" else "plus")


def test_the_float_bias_that_the_integers_replace_is_not_in_the_file(tmp_path):
    path, _, _ = product(tmp_path, noise(1, 3))
    assert "b" not in {tensor.name for tensor in onnx.load(path).graph.initializer}


def test_an_added_constant_of_more_axes_than_the_product_stays_as_it_is(tmp_path):
    path, form, found = product(tmp_path, noise(1, 1, 1, 3))
    assert check_against_layers(path, form, found) == []
    x = noise(2, 5, 4)
    (y,) = ort.InferenceSession(path).run(None, {"x": x})
    assert y.shape == (1, 5, 3)
    change(path, "b", lambda value: np.nextafter(value, np.float32(9)))
    assert [finding.node for finding in check_against_layers(path, form, found)] == ["plus"]


def test_a_layer_that_was_left_out_or_left_float_is_found(tmp_path):
    _, form, found = written(tmp_path)
    float_file = tmp_path / "float.onnx"
    built = model(TEXT, w=noise(0, 4, 4, 1, 1), b=noise(1, 4), v=noise(2, 4, 2, 1, 1), c=noise(3, 4),
                  m=noise(4, 256, 3), d=noise(5, 3), k=noise(6, 1, 4, 8, 8))  # fmt: skip
    float_file.write_bytes(model_bytes(built))
    assert {finding.node for finding in check_against_layers(float_file, form, found)} == {"a", "t", "last", "add:0"}


def test_a_file_that_does_not_load_is_found_at_every_level(tmp_path):
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"no model")
    assert len(check_loads(path)) == 4
