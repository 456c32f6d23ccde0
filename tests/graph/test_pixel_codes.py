"""First convolutions that read whole pixels: the same outputs, whole numbers before them, and what is no image's reader."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.graph.opset import raise_opset
from runner.graph.pixel_codes import Levels, find_image_readers, with_whole_pixels
from runner.graph.prepare import prepare
from runner.targets.ascend.limits import ASCEND
from tests.data import noise
from tests.models import model, onnx_text, run_plain

MEAN, STD = np.array([0.485, 0.456]), np.array([0.229, 0.224])
LEVELS = Levels(tuple((120 / 255 - MEAN) / STD), tuple(1 / 255 / STD), -120)
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 2, 7, 7))
IMAGES = ((PIXELS / 255 - MEAN.reshape(2, 1, 1)) / STD.reshape(2, 1, 1)).astype(np.float32)
ATTRIBUTES = {
    "plain": "",
    "padded": "<pads = [1,0,2,1]>",
    "valid": '<auto_pad = "VALID">',
    "same upper": '<auto_pad = "SAME_UPPER", strides = [2,2]>',
    "same lower": '<auto_pad = "SAME_LOWER", strides = [2,3]>',
    "dilated": "<dilations = [2,1], pads = [2,1,2,1]>",
    "grouped": "<group = 2, pads = [1,1,1,1]>",
}


def net(attributes: str = "", *, bias: bool = True, before: str = "", reads: str = "x", after: str = "") -> ir.Model:
    weight = noise(0, 4, 1 if "group" in attributes else 2, 3, 3)
    graph = f"""g (float[N,2,7,7] x) => (float[N,C,H,W] z) {{
        {before}
        z = Conv {attributes} ({reads}, w{", b" if bias else ""})
        {after}
    }}"""
    return model(graph, w=weight, **({"b": noise(1, 4)} if bias else {}))


def outputs(graph: ir.Model, *names: str) -> list[np.ndarray]:
    return [np.concatenate(column) for column in zip(*run_plain(graph, IMAGES, names), strict=True)]


@given(st.sampled_from(sorted(ATTRIBUTES)), st.booleans())
def test_outputs_stay_and_the_layer_reads_whole_numbers(kind: str, bias: bool) -> None:
    source = prepare(net(ATTRIBUTES[kind], bias=bias), ASCEND).graph
    (reader,) = find_image_readers(source)
    assert (reader.image, reader.channels) == ("x", 2)
    made = with_whole_pixels(source, {reader.layer: LEVELS})
    (conv,) = (node for node in made.graph if node.op_type == "Conv")
    codes = conv.inputs[0].name
    (before,), (after, read) = outputs(source, "z"), outputs(made, "z", codes)
    np.testing.assert_allclose(after, before, atol=2e-5 * np.abs(before).max())
    inner = read[..., read.shape[2] // 3 : -2, read.shape[3] // 3 : -2]  # no padding reaches there
    assert np.abs(inner - np.rint(inner)).max() < 1e-4
    assert set(np.unique(np.rint(inner))) <= set(np.unique(PIXELS - 120))
    onnx.checker.check_model(ir.to_proto(made), full_check=True)
    assert next(node for node in source.graph if node.op_type == "Conv").inputs[0].name == "x"  # a copy was made


@pytest.mark.parametrize("opset", [7, 10, 11, 13, 18])
def test_every_opset_writes_padding_its_own_way(opset: int) -> None:
    graph = "g (float[N,2,7,7] x) => (float[N,C,H,W] z) { z = Conv <pads = [1,1,1,1]> (x, w) }"
    source = prepare(model(graph, opset=opset, ir_version=3 if opset < 9 else 8, w=noise(0, 4, 2, 3, 3)), ASCEND).graph
    (reader,) = find_image_readers(source)
    made = with_whole_pixels(source, {reader.layer: LEVELS})
    assert [node.op_type for node in made.graph] == ["Pad", "Mul", "Add", "Conv"]
    before = outputs(source, "z")[0]
    for graph_ in (made, raise_opset(made)):
        np.testing.assert_allclose(outputs(graph_, "z")[0], before, atol=2e-5 * np.abs(before).max())


def test_convolution_that_does_not_pad_needs_no_pad() -> None:
    source = prepare(net(), ASCEND).graph
    made = with_whole_pixels(source, {find_image_readers(source)[0].layer: LEVELS})
    assert [node.op_type for node in made.graph] == ["Mul", "Add", "Conv"]


def test_sequences_are_images_too() -> None:
    axes = 1
    size = ",".join(["5"] * axes)
    graph = f"g (float[N,2,{size}] x) => (z) {{ z = Conv <pads = {[1] * (2 * axes)}> (x, w) }}"
    source = prepare(model(graph, w=noise(0, 4, 2, *[3] * axes)), ASCEND).graph
    made = with_whole_pixels(source, {find_image_readers(source)[0].layer: LEVELS})
    x = IMAGES.reshape(-1)[: 2 * 5**axes].reshape(1, 2, *[5] * axes)
    before, after = (run_plain(each, x, ["z"])[0][0] for each in (source, made))
    np.testing.assert_allclose(after, before, atol=2e-5 * np.abs(before).max())


@pytest.mark.parametrize(
    ("before", "reads", "image"),
    [
        ("t = Transpose <perm = [0,1,3,2]> (x)", "t", "t"),
        ("t = Transpose <perm = [0,1,3,2]> (x)\n p = Pad (t, around)", "p", "t"),
        ("p = Pad (x, around, zero)", "p", "x"),
        ("p = Pad (x, around, one)", "p", "p"),
        ('p = Pad <mode = "edge"> (x, around)', "p", "p"),
    ],
)
def test_image_is_looked_at_before_its_padding(before: str, reads: str, image: str) -> None:
    proto = ir.to_proto(net("<pads = [1,1,1,1]>", before=before, reads=reads))
    around = np.array([0, 0, 0, 0, 0, 0, 1, 1], np.int64)
    for name, array in (("around", around), ("zero", np.float32(0)), ("one", np.float32(1))):
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), name))
    source = prepare(ir.from_proto(proto), ASCEND).graph
    (reader,) = find_image_readers(source)
    assert reader.image == image
    made = with_whole_pixels(source, {reader.layer: LEVELS})
    want = outputs(source, "z")[0]
    np.testing.assert_allclose(outputs(made, "z")[0], want, atol=2e-5 * np.abs(want).max())


def test_only_layers_that_no_layer_stands_before_read_images() -> None:
    graph = prepare(
        ir.from_proto(
            onnx_text(
                """g (float[N,2,7,7] x, float[N,2,7,7] mask) => (float[N,C,H,W] z) {
                    a = Conv (x, w1)
                    r = Relu (a)
                    b = Conv (r, w2)
                    m = Sigmoid (mask)
                    c = Conv (m, w3)
                    z = Add (b, c)
                }""",
                w1=noise(0, 4, 2, 3, 3),
                w2=noise(1, 3, 4, 1, 1),
                w3=noise(2, 3, 2, 3, 3),
            )
        ),
        ASCEND,
    ).graph
    assert [(reader.layer, reader.image) for reader in find_image_readers(graph)] == [("a", "x"), ("c", "m")]


def test_image_that_two_layers_read_keeps_their_common_codes() -> None:
    graph = onnx_text(
        "g (float[N,2,7,7] x) => (float[N,C,H,W] z) { a = Conv (x, w1) b = Conv (x, w2) z = Add (a, b) }",
        w1=noise(0, 4, 2, 3, 3),
        w2=noise(1, 4, 2, 3, 3),
    )
    assert find_image_readers(prepare(ir.from_proto(graph), ASCEND).graph) == ()


def test_padding_that_hangs_on_an_unknown_size_is_left_alone() -> None:
    graph = 'g (float[N,2,H0,W0] x) => (float[N,C,H,W] z) { z = Conv <auto_pad = "SAME_UPPER"> (x, w) }'
    assert find_image_readers(prepare(model(graph, w=noise(0, 4, 2, 3, 3)), ASCEND).graph) == ()


@pytest.mark.parametrize(("name", "channels"), [("nothing", 2), ("", 3)])
def test_levels_of_another_model_are_refused(name: str, channels: int) -> None:
    source = prepare(net(), ASCEND).graph
    name = name or find_image_readers(source)[0].layer
    with pytest.raises(ValueError, match=rf"'{name}' is no convolution that reads an image of {channels} channels"):
        with_whole_pixels(source, {name: Levels((0.0,) * channels, (1.0,) * channels, -128)})
