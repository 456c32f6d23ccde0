"""Layers that are to be int8 need finite weights; others may hold anything."""

import numpy as np
import pytest

from runner.errors import ModelError
from runner.graph.finite_weights import has_infinities, require_finite_weights
from tests.data import noise
from tests.models import model

IMAGE = "g (float[1,4,8,8] x) => (float[?] y)"
ROWS = "g (float[1,4] x) => (float[?] y)"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weight_that_is_not_finite_is_an_error_that_names_the_layer_and_the_way_out(value):
    weight = noise(0, 4, 4, 3, 3)
    weight[0, 0, 0, :2] = value
    built = model(f"{IMAGE} {{ [bad] y = Conv(x, w) }}", w=weight)
    with pytest.raises(ModelError) as error:
        require_finite_weights(built, ["bad"])
    assert str(error.value) == (
        "model.path: layer 'bad' has 2 value(s) that are NaN or infinite in 'w'; expected finite weights. "
        "Export the model again, or leave the layer float with skip_layers=[bad]."
    )
    with pytest.raises(ModelError, match=r"expected finite weights\. Export the model again\.$"):
        require_finite_weights(built, ["bad"], can_skip=False)
    require_finite_weights(built, [])


def test_bias_that_holds_nan_is_an_error():
    built = model(f"{ROWS} {{ [bad] y = Gemm(x, w, b) }}", w=noise(0, 4, 4), b=np.float32([1, np.nan, np.inf, 1]))
    with pytest.raises(ModelError, match=r"layer 'bad' has 2 value\(s\) that are NaN or infinite in 'b'"):
        require_finite_weights(built, ["bad"])


def test_bias_of_infinities_that_rules_classes_out_is_none():
    bias = np.float32([1, -np.inf, 1, 1])
    require_finite_weights(model(f"{ROWS} {{ [k] y = Gemm(x, w, b) }}", w=noise(0, 4, 4), b=bias), ["k"])
    assert has_infinities(bias) and not has_infinities(np.float32([1, 2]))
