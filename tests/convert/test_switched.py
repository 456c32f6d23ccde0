"""A model whose layers can each be run in float, against the models that are made for it."""

from __future__ import annotations

import numpy as np
import pytest

from runner.calibration.collect import collect
from runner.calibration.minmax import MinMax
from runner.calibration.quantize import quantize_layers
from runner.convert.fake_quant import fake_quant_model
from runner.convert.switched import switched_model
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.evaluation.leaving_out import LeavingOut
from runner.record import QuantizedLayers
from tests.data import Items, normal_items
from tests.models import conv_gemm, dense, for_all, prepared

CASES = {"convolutions": (conv_gemm(), (2, 6, 6)), "products with a bias behind": (dense(), (5,))}


@pytest.mark.parametrize("kind", CASES)
def test_layers_that_are_switched_to_float_are_those_of_the_model_without_them(kind: str) -> None:
    model, shape = CASES[kind]
    x = 1 + normal_items(12, *shape)
    _, found = prepared(model)
    seen = collect(found, Subset.whole(Items(x)), observers=for_all(found, MinMax()), engine=Engine(1))
    form = quantize_layers(found, seen).form
    if kind != "convolutions":
        # The constants behind the products have a shift each, which a layer in float does without.
        shifts = np.random.default_rng(0).normal(size=8).astype(np.float32)
        layers = {
            name: type(layer)(layer.record, layer.weight, layer.bias, shifts[: found.layer(name).channels])
            for name, layer in form.layers.items()
        }
        form = QuantizedLayers(layers)
    engine = Engine(1)
    session = engine.session(switched_model(found, form))
    for fallback in [(), *((name,) for name in form.layers), tuple(form.layers)]:
        alone = engine.session(fake_quant_model(found, form.without(fallback), multiply=True))
        switched = LeavingOut(session, fallback)
        assert switched.inputs == alone.inputs and switched.number_names == alone.number_names
        for item in x:
            feeds = {alone.inputs[0].name: item[np.newaxis]}
            (expected,), (got,) = alone.run(feeds), switched.run(feeds)
            if not fallback:
                np.testing.assert_array_equal(got, expected)
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
