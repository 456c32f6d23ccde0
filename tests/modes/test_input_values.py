"""What reaches the inputs, against numpy over the same items."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from runner.dataset.subset import Subset
from runner.modes.input_values import INPUTS_SEEN, inputs_seen, seen_subset
from runner.session import Session, input_specs
from tests.data import Items, noise, normal_items
from tests.models import model

PLAIN = model("g (float[N,3] x) => (float[N,4] y) { y = MatMul(x, w) }", w=noise(0, 3, 4))


def test_figures_are_those_of_the_items_looked_at() -> None:
    x = normal_items(100, 3)
    part = seen_subset(Subset(Items(x), list(range(0, 100, 2))))
    assert len(part.indices) == 32 and set(part.indices) <= set(range(0, 100, 2))
    seen = inputs_seen(PLAIN, part)
    values = x[part.indices].astype(np.float64)
    found = seen.values["x"]
    assert (found.low, found.high, seen.items, seen.batch) == (values.min(), values.max(), 32, 1)
    assert np.isclose(found.mean, values.mean(), rtol=1e-12)
    assert INPUTS_SEEN.codec.decode(INPUTS_SEEN.codec.encode(seen)) == seen


def test_values_that_are_not_finite_do_not_count() -> None:
    x = np.array([[1.0, np.inf, -3.0], [np.nan, 2.0, -np.inf]], np.float32)
    (found,) = inputs_seen(PLAIN, Subset(Items(x), [0, 1])).values.values()
    assert (found.low, found.high, found.mean) == (-3.0, 2.0, 0.0)
    assert inputs_seen(PLAIN, Subset(Items(np.full((1, 3), np.nan, np.float32)), [0])).values == {}


def test_inputs_are_known_without_a_session() -> None:
    several = model(
        "g (float16[N,3] a, uint8[2,M,1] b, bool c, int64[4] d, float[1] e) => (float[1] f) { f = Identity(e) }"
    )
    assert input_specs(several) == Session(several).inputs
    initializer = several.graph.inputs[4]
    initializer.const_value = ir.tensor(np.float32([1]), name="e")
    several.graph.initializers["e"] = initializer
    assert [spec.name for spec in input_specs(several)] == ["a", "b", "c", "d"]
    assert input_specs(several) == Session(several).inputs
