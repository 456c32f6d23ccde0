"""Whatever a deploy file says otherwise than its form is found and named; on a sound file the check is silent."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from runner.graph.model_file import model_bytes
from runner.lint.finding import Finding
from runner.ranges import ActivationParams
from runner.record import QuantizedLayers, TensorRecord
from runner.targets.ascend.deploy import deploy_model
from runner.targets.ascend.deploy_check import check_against_form
from tests.data import noise
from tests.models import model, random_form

GRAPH = """g (float[1,3,4,4] x) => (float[1,4,4,4] y) {
    [stem] a = Conv<pads=[1,1,1,1]>(x, w1, b1)
    [project] p = Conv(a, w2)
    [residual] y = Add(a, p)
}"""


def float_model():
    return model(GRAPH, w1=noise(0, 4, 3, 3, 3), b1=noise(1, 4), w2=noise(2, 4, 4, 1, 1))


def sound():
    """Return the deploy model as protobuf and the form that it holds."""
    built = float_model()
    found, form = random_form(built, scale=0.1, zero_point=-3)
    form = QuantizedLayers(form.layers, {"residual:1": TensorRecord(ActivationParams(0.25, 7))})
    return onnx.load_from_string(model_bytes(deploy_model(found.on(built), form))), form


def node(deployed, name):
    return next(node for node in deployed.graph.node if node.name == name)


def initializer(deployed, name):
    return next(tensor for tensor in deployed.graph.initializer if tensor.name == name)


def set_attribute(deployed, name, attribute, value):
    changed = node(deployed, name)
    kept = [a for a in changed.attribute if a.name != attribute]
    del changed.attribute[:]
    changed.attribute.extend(kept)
    if value is not None:
        changed.attribute.append(helper.make_attribute(attribute, value))


def set_array(deployed, name, change):
    tensor = initializer(deployed, name)
    array = numpy_helper.to_array(tensor).copy()
    tensor.CopyFrom(numpy_helper.from_array(change(array), name))


def flip_a_bit(array):
    array.reshape(-1).view(np.uint8)[0] ^= 1
    return array


def first_channel(array):
    array[0] += 1
    return array


def in_front_of(deployed, name, source):
    node(deployed, name).input[0] = source


def findings(deployed, form, tmp_path):
    path = tmp_path / "deploy.onnx"
    path.write_bytes(deployed.SerializeToString())
    return check_against_form(path, form, float_model())


def test_sound_file_has_no_findings(tmp_path):
    assert findings(*sound(), tmp_path) == []


def balanced(form, *names):
    """Return the form in which the named layers are balanced."""
    factors = {"stem": (0.5, 3.0, 7.0), "project": (0.5, 3.0, 7.0, 0.1)}
    layers = {
        name: replace(layer, record=replace(layer.record, balance_factors=factors[name])) if name in names else layer
        for name, layer in form.layers.items()
    }
    return QuantizedLayers(layers, form.tensors)


@pytest.mark.parametrize(
    ("in_file", "in_form", "expected"),
    [
        ([], ["stem"], "stem: expected a Mul by its balance factors before AscendQuant, got none"),
        (["project"], [], "project: expected no Mul by balance factors before AscendQuant, got one"),
        (["stem", "project"], ["stem", "project"], None),
    ],
)
def test_layers_are_balanced_in_the_file_as_in_the_form(tmp_path, in_file, in_form, expected):
    built = float_model()
    found, form = random_form(built)
    deployed = onnx.load_from_string(model_bytes(deploy_model(found.on(built), balanced(form, *in_file))))
    assert [str(f) for f in findings(deployed, balanced(form, *in_form), tmp_path)] == ([expected] if expected else [])
    if in_file and expected is None:
        set_array(deployed, "project.tensor_balance_factor", flip_a_bit)
        (finding,) = findings(deployed, balanced(form, *in_form), tmp_path)
        assert str(finding) == "project: expected a Mul by fl32(1 / tensor_balance_factor), got other factors"


S = np.float32(0.1)


@pytest.mark.parametrize(
    ("plant", "node_name", "expected"),
    [
        pytest.param(
            lambda d: set_attribute(d, "stem.quant", "scale", 0.1), "stem.quant", "scale fl32(1/scale_d)", id="scale"
        ),
        pytest.param(
            lambda d: set_attribute(d, "stem.quant", "scale", float(np.nextafter(1 / S, np.float32(0)))),
            "stem.quant",
            "scale fl32(1/scale_d)",
            id="scale_by_one_bit",
        ),
        pytest.param(
            lambda d: set_attribute(d, "stem.quant", "offset", 3.0), "stem.quant", "offset -3", id="offset_sign"
        ),
        pytest.param(
            lambda d: set_attribute(d, "stem.quant", "dst_type", "INT4"), "stem.quant", "dst_type INT8", id="dst_type"
        ),
        pytest.param(
            lambda d: set_attribute(d, "stem.dequant", "dtype", 1), "stem.dequant", "dtype 0", id="half_output"
        ),
        pytest.param(
            lambda d: set_attribute(d, "stem.dequant", "dtype", None), "stem.dequant", "dtype 0", id="dtype_missing"
        ),
        pytest.param(lambda d: set_array(d, "w1", flip_a_bit), "stem", "the integers of its weight", id="weight_bit"),
        pytest.param(
            lambda d: set_array(d, "w1", lambda w: w.astype(np.float32)),
            "stem",
            "a weight initializer of type INT8",
            id="float_weight",
        ),
        pytest.param(lambda d: set_array(d, "b1", first_channel), "stem", "the integers of its bias", id="bias"),
        pytest.param(
            lambda d: set_array(d, "b1", lambda b: b.astype(np.int64)),
            "stem",
            "a bias initializer of type INT32",
            id="bias_type",
        ),
        pytest.param(
            lambda d: set_array(d, "stem.dequant.param", first_channel),
            "stem.dequant",
            "the bits of scale_d * scale_w",
            id="channel_scale",
        ),
        pytest.param(
            lambda d: set_array(d, "stem.dequant.param", lambda p: np.roll(p, 1)),
            "stem.dequant",
            "the bits of scale_d * scale_w",
            id="channel_order",
        ),
        pytest.param(lambda d: in_front_of(d, "stem", "x"), "stem", "its input from AscendQuant", id="no_quant"),
        pytest.param(
            lambda d: in_front_of(d, "residual", node(d, "stem").output[0]),
            "stem",
            "one AscendDequant on its output",
            id="sums_read_undequantized",
        ),
        pytest.param(
            lambda d: set_attribute(d, "residual.1.anti_quant", "scale", 4.0),
            "residual.1.anti_quant",
            "scale scale_d",
            id="anti_quant_with_the_reciprocal",
        ),
        pytest.param(
            lambda d: set_attribute(d, "residual.1.anti_quant", "offset", -7.0),
            "residual.1.anti_quant",
            "offset 7",
            id="anti_quant_offset_sign",
        ),
        pytest.param(
            lambda d: set_attribute(d, "residual.1.quant", "scale", 0.25),
            "residual.1.quant",
            "scale fl32(1/scale_d)",
            id="tensor_quant_without_the_reciprocal",
        ),
        pytest.param(
            lambda d: node(d, "residual").input.__setitem__(1, "project.dequant.output0"),
            "residual:1",
            "its value from AscendAntiQuant",
            id="tensor_left_float",
        ),
    ],
)
def test_planted_fault_is_found_and_named(tmp_path, plant, node_name, expected):
    deployed, form = sound()
    plant(deployed)
    found = findings(deployed, form, tmp_path)
    assert any(finding.node == node_name and expected in finding.expected for finding in found), found


def test_layer_that_is_not_in_the_file_is_found(tmp_path):
    deployed, form = sound()
    node(deployed, "project").name = "renamed"
    assert Finding("project", "a quantized layer", "no such node") in findings(deployed, form, tmp_path)


def test_layer_that_should_have_stayed_float_is_found(tmp_path):
    deployed, form = sound()
    assert Finding("graph", "1 AscendDequant", "2") in findings(deployed, form.without(["project"]), tmp_path)


def test_finding_is_told_in_one_line():
    assert str(Finding("conv.quant", "offset -3", "3.0")) == "conv.quant: expected offset -3, got 3.0"


def test_raw_parameter_type_is_what_the_format_says():
    deployed, _ = sound()
    assert initializer(deployed, "stem.dequant.param").data_type == TensorProto.UINT64
