"""Planted faults: each changes a written file, or what executes it, and must be found with the layer's name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, ModelProto, helper, numpy_helper

from runner.errors import VerificationError
from runner.verify import sums
from runner.verify.deploy_file import read_deploy
from tests.data import normal_items
from tests.models import onnx_text
from tests.verify.pairs import compared, write_pair

X = normal_items(6, 4, 6, 6) + np.float32(0.3)


def source() -> ModelProto:
    """Two convolutions, a depthwise one, a difference and a square product, every input with its own offset."""
    rng = np.random.default_rng(3)

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32)

    return onnx_text(
        """g (float[N,4,6,6] x) => (float[N,6] y) {
            stem = Conv <pads = [1,1,1,1]> (x, w1, b1)
            a = Relu (stem)
            depthwise = Conv <pads = [1,1,1,1], group = 6> (a, w2, b2)
            side = Conv (a, w3)
            d = Sub (depthwise, side)
            pooled = GlobalAveragePool (d)
            flat = Flatten (pooled)
            y = Gemm (flat, w4, b4)
        }""",
        w1=normal(6, 4, 3, 3),
        b1=normal(1, 6)[0],
        w2=normal(6, 1, 3, 3),
        b2=normal(1, 6)[0],
        w3=normal(6, 6, 1, 1),
        w4=normal(6, 6),
        b4=normal(1, 6)[0],
    )


def node(model: ModelProto, name: str) -> onnx.NodeProto:
    (found,) = [node for node in model.graph.node if node.name == name]
    return found


def attribute(model: ModelProto, name: str, key: str) -> AttributeProto:
    (found,) = [attribute for attribute in node(model, name).attribute if attribute.name == key]
    return found


def change(model: ModelProto, layer: str, index: int, edit: Callable[[np.ndarray], np.ndarray]) -> None:
    """Edit the initializer that a node reads as input ``index``."""
    (tensor,) = [t for t in model.graph.initializer if t.name == node(model, layer).input[index]]
    tensor.CopyFrom(numpy_helper.from_array(edit(numpy_helper.to_array(tensor).copy()), tensor.name))


def reciprocal_forgotten(model: ModelProto) -> None:
    scale = attribute(model, "depthwise.quant", "scale")
    scale.f = 1 / scale.f


def offset_sign(model: ModelProto) -> None:
    attribute(model, "y.quant", "offset").f *= -1


def transposed_product(model: ModelProto) -> None:
    change(model, "y", 1, np.transpose)


def transposed_kernel(model: ModelProto) -> None:
    change(model, "stem", 1, lambda w: np.ascontiguousarray(w.swapaxes(2, 3)))


def scale_of_another_channel(model: ModelProto) -> None:
    change(model, "depthwise.dequant", 1, lambda bits: bits[[1, 0, *range(2, bits.size)]])


def offset_correction_in_the_bias(model: ModelProto) -> None:
    weight = next(t for t in model.graph.initializer if t.name == node(model, "stem").input[1])
    totals = numpy_helper.to_array(weight).astype(np.int64).reshape(6, -1).sum(axis=1)
    offset = int(attribute(model, "stem.quant", "offset").f)
    change(model, "stem", 2, lambda bias: (bias - offset * totals).astype(np.int32))


def bias_left_out(model: ModelProto) -> None:
    del node(model, "depthwise").input[2]


def one_flipped_bit_of_a_weight(model: ModelProto) -> None:
    def flip(weight: np.ndarray) -> np.ndarray:
        weight.flat[5] ^= 1
        return weight

    change(model, "side", 1, flip)


def next_float_of_a_scale(model: ModelProto) -> None:
    change(model, "side.dequant", 1, lambda bits: bits + np.uint64(1))


def inputs_swapped(model: ModelProto) -> None:
    inputs = node(model, "d").input
    inputs[0], inputs[1] = inputs[1], inputs[0]


def product_reads_the_wrong_value(model: ModelProto) -> None:
    node(model, "pooled").input[0] = node(model, "depthwise.dequant").output[0]


FAULTS = {
    reciprocal_forgotten: "depthwise",
    offset_sign: "y",
    transposed_product: "y",
    transposed_kernel: "stem",
    scale_of_another_channel: "depthwise",
    offset_correction_in_the_bias: "stem",
    bias_left_out: "depthwise",
    one_flipped_bit_of_a_weight: "side",
    next_float_of_a_scale: "side",
    inputs_swapped: "y",
    product_reads_the_wrong_value: "y",
}


def planted(path: Path, fault: Callable[[ModelProto], None]) -> None:
    model = onnx.load(path)
    before = model.SerializeToString()
    fault(model)
    assert model.SerializeToString() != before
    onnx.save(model, path)


def test_sound_pair_is_the_same_and_its_offsets_are_none_of_them_zero(tmp_path: Path) -> None:
    deploy, fake_quant, form = write_pair(tmp_path, source(), X)
    assert list(form.layers) == ["stem", "depthwise", "side", "y"]
    assert all(layer.record.activation.zero_point != 0 for layer in form.layers.values())
    sameness = compared(deploy, fake_quant, X)
    assert (sameness.items, sameness.identical, sameness.agreeing, sameness.max_abs_diff) == (6, 6, 6, 0.0)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_fault_in_the_deploy_file_is_found_at_its_layer(tmp_path: Path, fault: Callable[[ModelProto], None]) -> None:
    deploy, fake_quant, _ = write_pair(tmp_path, source(), X)
    planted(deploy, fault)
    with pytest.raises(
        VerificationError, match=rf"for the item item 0\. They part at the layer '{FAULTS[fault]}': \d+ of"
    ):
        compared(deploy, fake_quant, X)


BALANCE = {
    "depthwise": (0.3, 1.0, 7.0, 2.0, 0.1, 3.0),
    "side": (1.7, 0.2, 1.0, 1.0, 5.0, 0.3),
    "y": (0.1,) * 5 + (4.0,),
}


def test_balanced_pair_is_the_same(tmp_path: Path) -> None:
    deploy, fake_quant, form = write_pair(tmp_path, source(), X, balance=BALANCE)
    sameness = compared(deploy, fake_quant, X)
    assert (sameness.identical, sameness.max_abs_diff) == (6, 0.0)
    held = {layer.name: layer.balance for layer in read_deploy(deploy).layers}
    assert held.pop("stem") is None
    for name, values in held.items():
        assert np.array_equal(values, np.float32(1) / np.array(form.layers[name].record.balance_factors, np.float32))
    # Two layers that read one tensor divide it by factors of their own.
    quants = [node for node in onnx.load(deploy).graph.node if node.op_type == "AscendQuant"]
    assert {node.input[0] for node in quants} == {"x", *(f"{name}.mul.output0" for name in BALANCE)}


def factor_forgotten(model: ModelProto) -> None:
    node(model, "depthwise.quant").input[0] = node(model, "depthwise.mul").input[0]


def factor_and_not_its_reciprocal(model: ModelProto) -> None:
    change(model, "side.mul", 1, lambda factors: 1 / factors)


def factors_of_another_layer(model: ModelProto) -> None:
    node(model, "side.quant").input[0] = node(model, "depthwise.mul").output[0]


BALANCE_FAULTS = {
    factor_forgotten: "depthwise",
    factor_and_not_its_reciprocal: "side",
    factors_of_another_layer: "side",
}


@pytest.mark.parametrize("fault", BALANCE_FAULTS, ids=lambda fault: fault.__name__)
def test_fault_of_a_balanced_layer_is_found(tmp_path: Path, fault: Callable[[ModelProto], None]) -> None:
    deploy, fake_quant, _ = write_pair(tmp_path, source(), X, balance=BALANCE)
    planted(deploy, fault)
    with pytest.raises(VerificationError, match=rf"They part at the layer '{BALANCE_FAULTS[fault]}': \d+ of"):
        compared(deploy, fake_quant, X)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda f: f.astype(np.float64), "Mul 'side.mul': expected constant float32 factors, got float64"),
        (lambda f: f * 0, r"Mul 'side.mul': expected positive finite factors, got 0.0"),
        (lambda f: f / np.float32(0), r"Mul 'side.mul': expected positive finite factors, got inf"),
    ],
    ids=["doubles", "zero", "infinite"],
)
def test_illegal_factors_are_refused(tmp_path: Path, edit: Callable[[np.ndarray], np.ndarray], message: str) -> None:
    deploy, _, _ = write_pair(tmp_path, source(), X, balance=BALANCE)
    with np.errstate(divide="ignore"):
        planted(deploy, lambda model: change(model, "side.mul", 1, edit))
    with pytest.raises(VerificationError, match=message):
        read_deploy(deploy)


def fake_quant_pads_with_code_zero(model: ModelProto) -> None:
    """Let the first layer pad with ``0 - offset`` as if code 0 stood around the image."""
    conv = next(node for node in model.graph.node if node.name == "stem")
    offset = next(t for t in model.graph.initializer if t.name == "stem.quant.offset")
    fill = np.float32(-numpy_helper.to_array(offset))
    model.graph.initializer.append(numpy_helper.from_array(np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64), "places"))
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(fill), "fill"))
    index = list(model.graph.node).index(conv)
    pad = helper.make_node("Pad", [conv.input[0], "places", "fill"], ["padded"], name="pad")
    conv.input[0] = "padded"
    next(a for a in conv.attribute if a.name == "pads").ints[:] = [0, 0, 0, 0]
    model.graph.node.insert(index, pad)


def test_padding_with_code_zero_in_the_fake_quant_file_is_found(tmp_path: Path) -> None:
    deploy, fake_quant, _ = write_pair(tmp_path, source(), X)
    planted(fake_quant, fake_quant_pads_with_code_zero)
    with pytest.raises(VerificationError, match=r"They part at the layer 'stem': \d+ of 216 values differ"):
        compared(deploy, fake_quant, X)


def test_padding_with_code_zero_in_the_executor_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deploy, fake_quant, _ = write_pair(tmp_path, source(), X)
    padded = sums.padded

    def wrong(build, x, view, fill, prefix, **options):
        return padded(build, x, view, np.int8(0), prefix, **options)

    monkeypatch.setattr(sums, "padded", wrong)
    with pytest.raises(VerificationError, match="They part at the layer 'stem'"):
        compared(deploy, fake_quant, X)


def retyped(model: ModelProto, name: str, key: str, value: object) -> None:
    """Give an attribute another type."""
    old = attribute(model, name, key)
    old.CopyFrom(helper.make_attribute(key, value))


FORMAT = {
    "scale_is_a_double": (
        # ONNX has no attribute of type double: it is a tensor of one.
        lambda model: retyped(model, "stem.quant", "scale", numpy_helper.from_array(np.array(3.0))),
        "AscendQuant 'stem.quant': expected the attribute scale of type FLOAT, got TENSOR",
    ),
    "scale_is_an_integer": (
        lambda model: retyped(model, "stem.quant", "scale", 3),
        "AscendQuant 'stem.quant': expected the attribute scale of type FLOAT, got INT",
    ),
    "scale_is_missing": (
        lambda model: node(model, "y.quant").ClearField("attribute"),
        "AscendQuant 'y.quant': expected the attribute scale of type FLOAT, got none",
    ),
    "offset_is_no_whole_number": (
        lambda model: setattr(attribute(model, "y.quant", "offset"), "f", 0.5),
        "AscendQuant 'y.quant': expected a whole offset from -128 to 127, got 0.5",
    ),
    "scale_is_zero": (
        lambda model: setattr(attribute(model, "y.quant", "scale"), "f", 0.0),
        "AscendQuant 'y.quant': expected a scale above 0, got 0.0",
    ),
    "int16": (
        lambda model: setattr(attribute(model, "y.quant", "dst_type"), "s", b"INT16"),
        "AscendQuant 'y.quant': expected dst_type INT8, got INT16",
    ),
    "foreign_domain": (
        lambda model: setattr(node(model, "y.dequant"), "domain", "amct.customop"),
        "AscendDequant 'y.dequant': expected the default domain, got amct.customop",
    ),
    "shift_in_the_parameter": (
        lambda model: change(model, "side.dequant", 1, lambda bits: bits | np.uint64(1 << 32)),
        "AscendDequant 'side.dequant': expected a parameter without shift and weight offset .* got 0x1",
    ),
    "parameter_of_int64": (
        lambda model: change(model, "side.dequant", 1, lambda bits: bits.astype(np.int64)),
        "AscendDequant 'side.dequant': expected a constant of UINT64 as second input, got int64",
    ),
    "weight_is_float": (
        lambda model: change(model, "side", 1, lambda weight: weight.astype(np.float32)),
        "Conv 'side': expected a constant weight of int8, got float32",
    ),
    "bias_is_int64": (
        lambda model: change(model, "stem", 2, lambda bias: bias.astype(np.int64)),
        "Conv 'stem': expected a constant bias of int32, got int64",
    ),
    "weight_without_codes": (
        lambda model: node(model, "stem").input.__setitem__(0, "x"),
        "Conv 'stem': expected codes from AscendQuant as input, got another value",
    ),
    "sums_without_dequant": (
        lambda model: node(model, "d").input.__setitem__(0, node(model, "depthwise").output[0]),
        "Conv 'depthwise': expected one AscendDequant as only reader, got AscendDequant, Sub",
    ),
    "dequant_of_a_float": (
        lambda model: node(model, "y.dequant").input.__setitem__(0, node(model, "flat").output[0]),
        "Gemm 'y': expected one AscendDequant as only reader, got none",
    ),
}


@pytest.mark.parametrize("fault", FORMAT)
def test_fault_in_the_format_is_refused_with_its_node(tmp_path: Path, fault: str) -> None:
    deploy, fake_quant, _ = write_pair(tmp_path, source(), X)
    plant, message = FORMAT[fault]
    planted(deploy, plant)
    with pytest.raises(VerificationError, match=rf"deploy\.onnx: {message}.*Please report this\."):
        compared(deploy, fake_quant, X)
