"""MatMul weights of four axes that need only two or three."""

import numpy as np
import pytest

from runner.graph.batch_weight import drop_leading_ones
from runner.graph.layers import find_layers
from runner.session import REFERENCE, Session
from runner.targets.ascend.limits import ASCEND
from tests.data import noise
from tests.models import model


def product(data, weight):
    """Return a model of one MatMul called ``m`` whose data went through a Relu."""
    sizes = ",".join(map(str, data))
    made = ",".join("abcde"[: max(len(data), len(weight))])
    return model(
        f"g (float[{sizes}] x) => (float[{made}] y) {{ h = Relu(x) [m] y = MatMul(h, w) }}", w=noise(1, *weight)
    )


def output(built, data):
    return Session(built, REFERENCE).run({"x": noise(5, *data)})[0]


@pytest.mark.parametrize(
    ("data", "weight", "kept"),
    [
        ((2, 3, 4, 5), (1, 1, 5, 6), (5, 6)),
        ((2, 3, 4, 5), (1, 3, 5, 6), (3, 5, 6)),
        ((2, 2, 3, 4, 5), (1, 1, 3, 5, 6), (3, 5, 6)),
    ],
    ids=str,
)
def test_leading_ones_are_dropped_and_the_product_is_the_same(data, weight, kept):
    built = product(data, weight)
    expected = output(built, data)
    assert drop_leading_ones(built, ASCEND) == ["m"]
    assert built.graph.initializers["w"].const_value.shape == kept
    np.testing.assert_array_equal(output(built, data), expected)
    assert [layer.name for layer in find_layers(built, ASCEND).layers] == ["m"]


@pytest.mark.parametrize(
    ("data", "weight"),
    [
        pytest.param((3, 4, 5), (1, 1, 5, 6), id="product_of_more_axes_than_the_data"),
        pytest.param((2, 3, 4, 5), (2, 1, 5, 6), id="no_leading_one"),
        pytest.param((2, 3, 4, 5), (1, 5, 6), id="three_axes"),
    ],
)
def test_weight_that_says_something_stays(data, weight):
    built = product(data, weight)
    assert drop_leading_ones(built, ASCEND) == []
    assert built.graph.initializers["w"].const_value.shape == weight


def test_weight_stays_where_the_axes_of_the_data_are_not_known():
    built = model(
        "g (float[2,3,4,5] x, int64[n] s) => (float[a,b,c,d] y) { h = Reshape(x, s) [m] y = MatMul(h, w) }",
        w=noise(1, 1, 1, 5, 6),
    )
    assert drop_leading_ones(built, ASCEND) == []
