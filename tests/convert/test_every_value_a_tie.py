"""Inputs whose every value lies exactly between two codes, through two layers, against plain integers.

The first layer's codes, rounded half to even, are all even; its weights are odd and its bias has the other parity than the
zero point, so its sums are all odd and each output is a tie of the second layer again. Had anything in between rounded
differently at all, by adding the zero point after rounding, by dividing, or by a fused kernel, codes would be off by one.
"""

import numpy as np
import pytest

from runner.arithmetic import quantize
from runner.calibration.ties import tie_share
from runner.convert.fake_quant import fake_quant_model
from runner.graph.layers import find_layers
from runner.ranges import ActivationParams, Range, activation_params
from runner.record import LayerRecord, QuantizedLayer, QuantizedLayers
from runner.session import LEVELS, REFERENCE, SIMULATION, Session, plain
from runner.targets.ascend.limits import ASCEND
from tests.models import model

F = np.float32
FORMS = {"engine": (True, SIMULATION), "reference": (False, REFERENCE)}
FORMS |= {f"file_{level}": (False, plain(level)) for level in LEVELS}
GRAPH = "g (float[N,1,6,7] x) => (float[N,3,6,7] y) {{ [first] h = Conv(x, w, b) {between} [second] y = Conv(s, v) }}"
ODD = np.array([3, -5, 1, 7], np.int8).reshape(4, 1, 1, 1)
SECOND = np.random.default_rng(0).integers(-128, 128, (3, 4, 1, 1)).astype(np.int8)
ZERO_POINTS = [(3, 5), (3, -8), (-2, 5), (-2, -8)]


def layer(scale, zero_point, weight_scale, weight, bias=None):
    return QuantizedLayer(LayerRecord(ActivationParams(scale, zero_point), (weight_scale,)), weight, bias)


def run(name, built, form, x):
    multiply, profile = FORMS[name]
    found = find_layers(built, ASCEND)
    return Session(fake_quant_model(found.on(built), form, multiply=multiply), profile).run({"x": x})[0]


def half_to_even(halves, zero_point):
    """Return ``halves / 2 + zero_point``, rounded and saturated, in integers alone; every one of ``halves`` is odd."""
    below = (halves + 2 * zero_point - 1) // 2
    return np.clip(below + below % 2, -128, 127)


@pytest.mark.parametrize("between", ["s = Identity(h)", "s = Relu(h)"], ids=["direct", "relu"])
@pytest.mark.parametrize(("first", "second"), ZERO_POINTS, ids=lambda zero_point: str(zero_point))
@pytest.mark.parametrize("name", FORMS)
def test_every_tie_goes_to_the_even_code(name, first, second, between):
    bias = np.array([10, -4, 100, 2], np.int32) + (0 if first % 2 else 1)
    built = model(GRAPH.format(between=between), w=ODD.astype(F), b=np.zeros(4, F), v=SECOND.astype(F))
    # Scales are powers of two: r = 2 and 8, deq = 1/16 and 1/32; every product below is exact in float32.
    form = QuantizedLayers({"first": layer(0.5, first, 0.125, ODD, bias), "second": layer(0.125, second, 0.25, SECOND)})
    halves = 2 * np.arange(-42, 42).reshape(2, 1, 6, 7) + 1
    x = (halves / 4).astype(F)

    codes = half_to_even(halves, first)
    assert np.array_equal(quantize(x, 0.5, first), codes)
    assert not np.any(codes % 2)
    sums = (codes - first) * ODD.astype(int).reshape(1, 4, 1, 1) + bias.reshape(1, 4, 1, 1)
    assert np.all(sums % 2)
    if "Relu" in between:
        # Zero is the one value that is no tie.
        codes = np.where(sums > 0, half_to_even(sums, second), second)
    else:
        codes = half_to_even(sums, second)
        assert np.array_equal(quantize((sums / 16).astype(F), 0.125, second), codes)
    total = np.einsum("nchw,oc->nohw", codes - second, SECOND.astype(int)[:, :, 0, 0])
    assert np.array_equal(run(name, built, form, x), (total / 32).astype(F))


@pytest.mark.parametrize("zero_point", [0, -1], ids=["even", "odd"])
@pytest.mark.parametrize("name", FORMS)
def test_every_pixel_of_minus_one_to_one_is_rounded_as_the_device_does(name, zero_point):
    """``(p - 127.5) / 127.5`` over a range of -1 .. 1: the input that a QAT model from TensorFlow comes with."""
    scale = activation_params(Range(-1.0, 1.0), symmetric=False).scale
    pixels = ((np.arange(256, dtype=F) - F(127.5)) / F(127.5)).astype(F)
    assert tie_share(pixels, ActivationParams(scale, zero_point)) == 1.0
    x = np.concatenate([pixels, pixels[:38]]).reshape(7, 1, 6, 7)
    built = model("g (float[N,1,6,7] x) => (float[N,4,6,7] y) { [first] y = Conv(x, w) }", w=ODD.astype(F))
    form = QuantizedLayers({"first": layer(scale, zero_point, 0.125, ODD)})
    sums = (quantize(x, scale, zero_point).astype(int) - zero_point) * ODD.astype(int).reshape(1, 4, 1, 1)
    expected = sums.astype(F) * (F(scale) * F(0.125))
    assert np.array_equal(run(name, built, form, x), expected)
