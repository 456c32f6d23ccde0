"""What clips between quantized layers is left out of the runner's own sessions where that changes no bit, and only there."""

import numpy as np
import pytest

from runner.convert.fake_quant import fake_quant_model
from runner.record import QuantizedLayers
from runner.session import Session
from tests.data import noise
from tests.models import model, random_form

RELU, RELU6 = "Relu(a)", "Clip(a, low, high)"


def two_layers(between=RELU):
    # 6 at both ends of a range of 12 / 255 a step; the sums go well beyond.
    return model(
        f"g (float[1,2,9,9] x) => (float[] y) {{ [one] a = Conv(x, w1, b1)  [clip] c = {between}  [two] y = Conv(c, w2) }}",
        w1=noise(1, 3, 2, 1, 1) * 40,
        b1=noise(2, 3),
        w2=noise(3, 4, 3, 1, 1),
        low=np.float32(0),
        high=np.float32(6),
    )


def both_forms(built, *, scale, zero_point, only=None):
    found, form = random_form(built, scale=scale, zero_point=zero_point)
    if only is not None:
        form = QuantizedLayers({name: form.layers[name] for name in only})
    return [fake_quant_model(found.on(built), form, multiply=multiply) for multiply in (False, True)]


def op_types(built):
    return [node.op_type for node in built.graph]


def same_outputs(one, other, values):
    runs = [Session(each).run({"x": values})[0] for each in (one, other)]
    np.testing.assert_array_equal(*(run.view(np.int32) for run in runs))


@pytest.mark.parametrize(
    ("between", "scale", "zero_point", "left_out"),
    [
        (RELU, 0.02, -128, True),
        (RELU, 0.02, -127, False),  # codes below that of 0 would be taken
        (RELU6, 6 / 255, -128, True),
        (RELU6, 5 / 255, -128, True),
        (RELU6, 7 / 255, -128, False),  # 6 is not the last code
        (RELU6, 5 / 255, 0, False),
    ],
)
def test_a_clip_is_left_out_where_its_ends_are_the_last_codes(between, scale, zero_point, left_out):
    file, own = both_forms(two_layers(between), scale=scale, zero_point=zero_point)
    kind = between.partition("(")[0]
    assert kind in op_types(file)
    assert (kind not in op_types(own)) == left_out
    same_outputs(file, own, noise(5, 1, 2, 9, 9) * 20)


def test_a_clip_that_something_else_reads_stays():
    file, own = both_forms(
        model(
            "g (float[1,2,9,9] x) => (float[] y) { [one] a = Conv(x, w1)  c = Relu(a)  [two] d = Conv(c, w2)  y = Add(d, c) }",
            w1=noise(1, 3, 2, 1, 1),
            w2=noise(3, 3, 3, 1, 1),
        ),
        scale=0.02,
        zero_point=-128,
    )
    assert "Relu" in op_types(own)
    same_outputs(file, own, noise(5, 1, 2, 9, 9))


def test_what_a_float_layer_gives_is_clipped_as_it_stands():
    _, own = both_forms(two_layers(), scale=0.02, zero_point=-128, only=["two"])
    assert "Relu" in op_types(own)
