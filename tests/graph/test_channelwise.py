"""Operators that stand for a bias or a BatchNormalization, folded, held against onnxruntime running them unfolded."""

from __future__ import annotations

import numpy as np
import pytest

from runner.graph.batchnorm import fold_batchnorm
from runner.graph.batchnorm_before import fold_batchnorm_before, why_not_folded
from runner.graph.channelwise import fold_channelwise
from runner.graph.layers import find_layers
from runner.graph.prepare import prepare
from runner.session import REFERENCE, Session
from runner.targets.ascend.limits import ASCEND
from tests.data import noise
from tests.models import model, node_named

F = np.float32
CONSTANTS = {
    "w": noise(0, 4, 3, 3, 3),
    "wt": noise(0, 4, 2, 2, 2),
    "b": noise(1, 4),
    "c": 1 + np.abs(noise(2, 1, 4, 1, 1)),
    "d": noise(3, 4, 1, 1),
    "s": F(0.75),
    "image": noise(4, 1, 4, 6, 6),
    "row": noise(5, 6),
    "gamma": noise(6, 4),
    "beta": noise(7, 4),
    "mu": noise(8, 4),
    "var": np.abs(noise(9, 4)) + F(0.1),
}
HEADER = "g (float[1,3,8,8] x, float[1,4,4,4] z) => (float[] y)"


def built(nodes):
    return model(f"{HEADER} {{ {nodes} }}", **CONSTANTS)


def run(built):
    feeds = {"x": noise(20, 1, 3, 8, 8), "z": noise(21, 1, 4, 4, 4)}
    return Session(built, REFERENCE).run(feeds)[0]


def op_types(built):
    return [node.op_type for node in built.graph]


FOLDED = {
    "add": "h = Conv(x, w) [o] y = Add(h, c)",
    "add_of_three_axes": "h = Conv(x, w) [o] y = Add(d, h)",
    "add_of_a_scalar": "h = Conv(x, w, b) [o] y = Add(h, s)",
    "subtract": "h = Conv(x, w, b) [o] y = Sub(h, d)",
    "subtract_from": "h = Conv(x, w, b) [o] y = Sub(d, h)",
    "multiply": "h = Conv(x, w, b) [o] y = Mul(d, h)",
    "divide": "h = Conv(x, w, b) [o] y = Div(h, c)",
    "transposed_divide": "h = ConvTranspose<group=2>(z, wt, b) [o] y = Div(h, c)",
    "transposed_add": "h = ConvTranspose<group=2>(z, wt) [o] y = Add(h, c)",
}


@pytest.mark.parametrize("nodes", FOLDED.values(), ids=FOLDED)
def test_operator_of_constants_per_channel_is_folded(nodes):
    given = built(nodes)
    expected = run(given)
    assert fold_channelwise(given) == ["o"]
    assert op_types(given) in (["Conv"], ["ConvTranspose"])
    assert [value.name for value in given.graph.outputs] == ["y"]
    np.testing.assert_allclose(run(given), expected, rtol=1e-4, atol=1e-5)


def test_add_behind_a_convolution_without_bias_is_its_bias_bit_for_bit():
    given = built(FOLDED["add"])
    fold_channelwise(given)
    conv = next(iter(given.graph))
    assert np.array_equal(conv.inputs[2].const_value.numpy(), CONSTANTS["c"].reshape(-1))
    assert np.array_equal(conv.inputs[1].const_value.numpy(), CONSTANTS["w"])


def test_batchnorm_written_as_small_operators_is_folded_whole():
    given = built("h = Conv(x, w) [a] p = Sub(h, d) [m] q = Mul(p, c) [v] r = Div(q, s) [e] t = Add(r, d) y = Relu(t)")
    expected = run(given)
    prepared = prepare(given, ASCEND)
    assert prepared.folded == ("a", "m", "v", "e")
    assert op_types(prepared.graph) == ["Conv", "Relu"]
    np.testing.assert_allclose(run(prepared.graph), expected, rtol=1e-4, atol=1e-5)


def test_batchnorm_behind_an_add_is_folded_after_it():
    given = built(
        "h = Conv(x, w) [a] p = Add(h, c) [bn] q = BatchNormalization(p, gamma, beta, mu, var) [m] y = Mul(q, d)"
    )
    expected = run(given)
    prepared = prepare(given, ASCEND)
    assert prepared.folded == ("a", "bn", "m")
    np.testing.assert_allclose(run(prepared.graph), expected, rtol=1e-4, atol=1e-5)


def test_batchnorm_behind_a_grouped_transposed_convolution_is_folded():
    given = built(
        "h = ConvTranspose<group=2, strides=[2,2]>(z, wt, b) [bn] y = BatchNormalization(h, gamma, beta, mu, var)"
    )
    expected = run(given)
    assert fold_batchnorm(given) == ["bn"]
    np.testing.assert_allclose(run(given), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "nodes",
    [
        pytest.param("h = Conv(x, w) y = Add(h, image)", id="every_pixel_its_own"),
        pytest.param("h = Conv(x, w) y = Add(h, row)", id="every_column_its_own"),
        pytest.param("h = Conv(x, w) y = Div(s, h)", id="divided_by_it"),
        pytest.param("h = Conv(x, w) y = Add(h, h)", id="twice_itself"),
        pytest.param("h = Conv(x, w) r = Relu(h) a = Add(h, c) y = Add(a, r)", id="read_elsewhere"),
        pytest.param("h = Relu(z) y = Add(h, c)", id="behind_another_operator"),
        pytest.param("zero = Constant<value = float {0.0}>() h = Conv(x, w) y = Div(h, zero)", id="not_finite"),
    ],
)
def test_what_is_no_constant_per_channel_stays(nodes):
    given = built(nodes)
    before = op_types(given)
    assert fold_channelwise(given) == []
    assert op_types(given) == before


BEFORE = "[bn] h = BatchNormalization(z, gamma, beta, mu, var) [conv] y = Conv"


@pytest.mark.parametrize(
    ("conv", "weight"),
    [
        pytest.param("(h, k, b)", (4, 4, 3, 3), id="with_bias"),
        pytest.param("(h, k)", (4, 4, 3, 3), id="without_bias"),
        pytest.param("<group=2>(h, k, b)", (4, 2, 2, 2), id="grouped"),
        pytest.param("<group=4, strides=[2,2], pads=[0,0,0,0]>(h, k)", (8, 1, 2, 2), id="depthwise_with_two_outputs"),
    ],
)
def test_batchnorm_before_a_convolution_without_padding_is_folded(conv, weight):
    given = model(f"{HEADER} {{ {BEFORE}{conv} }}", **CONSTANTS, k=noise(30, *weight))
    expected = run(given)
    assert fold_batchnorm_before(given) == ["bn"]
    assert op_types(given) == ["Conv"]
    np.testing.assert_allclose(run(given), expected, rtol=1e-4, atol=1e-4)


def test_batchnorm_that_only_scales_goes_into_a_padded_convolution_too():
    constants = CONSTANTS | {"beta": CONSTANTS["mu"] * 0, "mu": CONSTANTS["mu"] * 0, "k": noise(30, 4, 4, 3, 3)}
    given = model(f"{HEADER} {{ {BEFORE}<pads=[1,1,1,1]>(h, k) }}", **constants)
    expected = run(given)
    assert fold_batchnorm_before(given) == ["bn"]
    np.testing.assert_allclose(run(given), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        pytest.param(
            f"{BEFORE}<pads=[1,1,1,1]>(h, k)",
            "the Conv 'conv' behind it pads with zeros, which are not what it makes of zeros",
            id="padded",
        ),
        pytest.param(
            f'{BEFORE}<auto_pad="SAME_UPPER">(h, k)',
            "the Conv 'conv' behind it pads with zeros, which are not what it makes of zeros",
            id="auto_padded",
        ),
        pytest.param(
            "[bn] h = BatchNormalization(z, gamma, beta, mu, var) [relu] r = Relu(h) y = Conv(r, k)",
            "between it and a convolution stands Relu 'relu'",
            id="relu_between",
        ),
        pytest.param(
            "[bn] h = BatchNormalization(z, gamma, beta, mu, var) f = Conv(h, k) g = Relu(h) y = Add(f, g)",
            "neither a convolution before it nor one behind it is its only neighbour",
            id="two_readers",
        ),
        pytest.param(
            "[bn] h = BatchNormalization(z, gamma, z, mu, var) y = Conv(h, k)",
            "its parameters are computed by the graph",
            id="computed",
        ),
        pytest.param(
            "r = Relu(k) [bn] h = BatchNormalization(z, gamma, beta, mu, var) [conv] y = Conv(h, r)",
            "the weight or bias of the Conv 'conv' behind it is no float32 constant",
            id="weight_is_computed",
        ),
    ],
)
def test_batchnorm_that_stays_is_listed_with_the_reason(nodes, reason):
    given = model(f"{HEADER} {{ {nodes} }}", **CONSTANTS, k=noise(30, 4, 4, 1, 1))
    assert why_not_folded(node_named(given.graph, "bn")) == reason
    assert fold_batchnorm_before(given) == []
    listed = {left.name: left.reason for left in find_layers(given, ASCEND).left_alone}
    assert listed["bn"] == f"it is not folded: {reason}"
