"""Where a Clip ends, ranges end."""

import math

import numpy as np

from runner.ranges import Range, activation_params, within
from runner.record import LayerRecord, QuantizedLayer, QuantizedLayers
from runner.targets.qdq.bounds import bounds
from runner.targets.qdq.kernels import kernels_of
from runner.targets.qdq.write import qdq_model
from tests.data import noise
from tests.models import model, random_form

CLIPPED = """g (float[1,3,6,6] x) => (float[] y) {
    [a] h = Conv(x, w) [clip] c = Clip(h, low, high) [pad] p = Pad(c, pads) [r] r = Relu(h) [b] y = Conv(p, v)
    n = Add(c, r)
}"""


def clipped():
    return model(CLIPPED, w=noise(0, 4, 3, 1, 1), v=noise(1, 4, 4, 1, 1), low=np.float32(0), high=np.float32(6),
                 pads=np.array([0, 0, 0, 0, 0, 0, 1, 1]))  # fmt: skip


def test_a_clip_bounds_what_it_makes_and_what_passes_it_on():
    assert bounds(clipped(), ["x", "h", "c", "p", "r", "n"]) == {
        "c": Range(0.0, 6.0),
        "p": Range(0.0, 6.0),
        "r": Range(0.0, math.inf),
    }


def test_a_range_is_cut_at_its_bound_and_no_other_is():
    cut = within({"a": Range(-0.1, 6.06), "b": Range(-1, 9), "c": Range(0, 5)}, {"a": Range(0, 6), "c": Range(0, 6)})
    assert cut == {"a": Range(0, 6), "b": Range(-1, 9), "c": Range(0, 5)}


def test_a_range_beyond_the_clip_costs_the_kernel_of_integers():
    """The reason for bounds: measured in onnxruntime itself."""
    built = model(
        "g (float[1,3,6,6] x) => (float[] y) { [a] h = Conv(x, w) [clip] c = Clip(h, low, high) [b] y = Conv(c, v) }",
        w=noise(0, 4, 3, 1, 1), v=noise(1, 4, 4, 1, 1), low=np.float32(0), high=np.float32(6),
    )  # fmt: skip

    def convolutions(high):
        found, form = random_form(built)
        layers = {
            name: QuantizedLayer(
                LayerRecord(activation_params(Range(0, high)), layer.record.weight_scales), layer.weight, layer.bias
            )
            for name, layer in form.layers.items()
        }
        return kernels_of(qdq_model(found, QuantizedLayers(layers))).counts["QLinearConv"]

    assert (convolutions(6.06), convolutions(6.0)) == (0, 1)
