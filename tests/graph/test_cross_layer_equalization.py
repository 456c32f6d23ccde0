"""Equalized models: the same outputs bit for bit, channels scaled as asked, and what is no pair."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.graph.cross_layer_equalization import channel_weight, equalized, find_pairs, output_interval
from runner.graph.prepare import prepare
from runner.targets.ascend.limits import ASCEND
from tests.data import noise, normal_items
from tests.models import model, onnx_text, run_plain

ZERO, SIX = np.float32(0), np.float32(6)
BETWEEN = {
    "nothing": ("", "a"),
    "relu": ("r = Relu (a)", "r"),
    "relu6": ("r = Clip (a, zero, six)", "r"),
    "clip from zero": ("r = Clip (a, zero)", "r"),
}
# Of the first and the second convolution: attributes and weight.
FIRST = {
    "conv": ("Conv <pads = [1,1,1,1]>", (4, 2, 3, 3)),
    "transposed": ("ConvTranspose", (2, 4, 2, 2)),
    "grouped": ("Conv <group = 2>", (4, 1, 1, 1)),
    "grouped transposed": ("ConvTranspose <group = 2>", (2, 2, 2, 2)),
}
SECOND = {
    "conv": ("Conv", (3, 4, 3, 3)),
    "depthwise": ("Conv <group = 4>", (4, 1, 2, 2)),
    "twice as many": ("Conv <group = 4>", (8, 1, 2, 2)),
    "grouped": ("Conv <group = 2>", (6, 2, 2, 2)),
}


def net(first: str, between: str, second: str, *, bias: bool = True, seed: int = 0) -> ir.Model:
    """Return x -> first -> between -> second -> z."""
    (one, w1), (two, w2), (line, read) = FIRST[first], SECOND[second], BETWEEN[between]
    return ir.from_proto(
        onnx_text(
            f"""g (float[N,2,5,5] x) => (float[N,C,H,W] z) {{
                a = {one} (x, w1{", b1" if bias else ""})
                {line}
                z = {two} ({read}, w2, b2)
            }}""",
            w1=3 * noise(seed, *w1),
            **({"b1": 3 * noise(seed + 1, 4)} if bias else {}),
            w2=noise(seed + 2, *w2),
            b2=noise(seed + 3, w2[0]),
            zero=ZERO,
            six=SIX,
        )
    )


def outputs(graph: ir.Model, tensors: list[str]) -> list[np.ndarray]:
    return [np.concatenate(column) for column in zip(*run_plain(graph, normal_items(3, 2, 5, 5), tensors), strict=True)]


@given(
    st.sampled_from(sorted(FIRST)),
    st.sampled_from(sorted(BETWEEN)),
    st.sampled_from(sorted(SECOND)),
    st.booleans(),
    st.lists(st.integers(-6, 12), min_size=4, max_size=4),
)
def test_outputs_keep_every_bit_and_the_channels_between_are_scaled(
    first: str, between: str, second: str, bias: bool, exponents: list[int]
) -> None:
    source = prepare(net(first, between, second, bias=bias), ASCEND).graph
    (pair,) = find_pairs(source)
    assert (pair.first, pair.second, pair.channels) == ("a", "z", 4)
    made = equalized(source, {"a": exponents})
    before, after = outputs(source, ["z", pair.tensor]), outputs(made, ["z", pair.tensor])
    np.testing.assert_array_equal(after[0], before[0])
    np.testing.assert_array_equal(after[1], before[1] * np.exp2(np.float32(exponents)).reshape(1, 4, 1, 1))


def test_relu6_becomes_relu_and_an_end_for_each_channel() -> None:
    source = prepare(net("conv", "relu6", "depthwise"), ASCEND).graph
    made = equalized(source, {"a": (0, 1, 2, -1)})
    assert [node.op_type for node in made.graph] == ["Conv", "Relu", "Min", "Conv"]
    low = next(node for node in made.graph if node.op_type == "Min")
    assert low.name == "r"
    np.testing.assert_array_equal(low.inputs[1].const_value.numpy().reshape(-1), [6, 12, 24, 3])
    assert [node.op_type for node in source.graph] == ["Conv", "Clip", "Conv"]


def test_clip_with_its_ends_as_attributes_is_scaled_too() -> None:
    graph = """g (float[N,2,5,5] x) => (float[N,3,5,5] z) {
        a = Conv (x, w1)
        r = Clip <min = 0.0, max = 6.0> (a)
        z = Conv (r, w2)
    }"""
    source = prepare(model(graph, opset=10, w1=4 * noise(0, 4, 2, 1, 1), w2=noise(1, 3, 4, 1, 1)), ASCEND).graph
    (pair,) = find_pairs(source)
    assert output_interval(source, pair) == (0, 6)
    made = equalized(source, {pair.first: (3, 0, 1, 2)})
    np.testing.assert_array_equal(outputs(made, ["z"])[0], outputs(source, ["z"])[0])


def test_chain_of_pairs_is_scaled_link_by_link() -> None:
    """An expansion, a depthwise convolution and a projection, as in MobileNetV2."""
    source = prepare(
        ir.from_proto(
            onnx_text(
                """g (float[N,2,5,5] x) => (float[N,3,H,W] z) {
                    a = Conv (x, w1, b1)
                    r = Clip (a, zero, six)
                    d = Conv <group = 4> (r, w2, b1)
                    s = Clip (d, zero, six)
                    z = Conv (s, w3)
                }""",
                w1=4 * noise(0, 4, 2, 1, 1),
                b1=noise(1, 4),  # both convolutions read it
                w2=4 * noise(2, 4, 1, 2, 2),
                w3=noise(3, 3, 4, 1, 1),
                zero=ZERO,
                six=SIX,
            )
        ),
        ASCEND,
    ).graph
    assert [(pair.first, pair.second) for pair in find_pairs(source)] == [("a", "d"), ("d", "z")]
    made = equalized(source, {"a": (0, 5, 2, 1), "d": (4, 0, 3, 1)})
    np.testing.assert_array_equal(outputs(made, ["z"])[0], outputs(source, ["z"])[0])


def test_tensor_that_something_else_reads_or_that_is_an_output_is_not_scaled() -> None:
    weights = {"w1": noise(0, 4, 2, 1, 1), "w2": noise(1, 4, 4, 1, 1)}
    residual = """g (float[N,2,5,5] x) => (float[N,4,5,5] z) {
        a = Conv (x, w1)
        r = Relu (a)
        b = Conv (r, w2)
        z = Add (r, b)
    }"""
    before_the_relu = residual.replace("Add (r, b)", "Add (a, b)")
    given_out = """g (float[N,2,5,5] x) => (float[N,4,5,5] r, float[N,4,5,5] z) {
        a = Conv (x, w1)
        r = Relu (a)
        z = Conv (r, w2)
    }"""
    for graph in (residual, before_the_relu, given_out):
        assert find_pairs(prepare(ir.from_proto(onnx_text(graph, **weights)), ASCEND).graph) == ()


@pytest.mark.parametrize(
    ("line", "opset"),
    [
        ("r = Clip (a, minus, six)", 13),
        ("r = Clip (a, floor, six)", 13),
        ("r = Tanh (a)", 13),
        ("r = Clip <min = 0.0, max = 6.0> (a)", 7),
    ],
)
def test_what_would_not_stay_exact_is_no_pair(line: str, opset: int) -> None:
    computed = "floor = ReduceMin <keepdims = 0> (x)" if "floor" in line else ""
    graph = f"""g (float[N,2,5,5] x) => (float[N,3,5,5] z) {{
        {computed}
        a = Conv (x, w1)
        {line}
        z = Conv (r, w2)
    }}"""
    arrays = {"minus": np.float32(-1), "six": SIX} if opset == 13 else {}
    source = model(graph, opset=opset, w1=noise(0, 4, 2, 1, 1), w2=noise(1, 3, 4, 1, 1), **arrays)
    assert find_pairs(prepare(source, ASCEND).graph) == ()


def test_weight_is_told_group_by_group() -> None:
    source = prepare(net("conv", "relu", "grouped"), ASCEND).graph
    (pair,) = find_pairs(source)
    weight = channel_weight(source, pair)
    stored = next(node for node in source.graph if node.name == "z").inputs[1].const_value.numpy()
    assert weight.shape == (2, 3, 2, 4)
    np.testing.assert_array_equal(weight[1], stored[3:].reshape(3, 2, 4))


@pytest.mark.parametrize("exponents", [{"z": (1, 1, 1)}, {"a": (1, 1, 1)}, {"nobody": (0,)}])
def test_exponents_of_another_model_are_refused(exponents: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match=r"has no \d channels that only one convolution reads"):
        equalized(prepare(net("conv", "relu", "conv"), ASCEND).graph, exponents)
