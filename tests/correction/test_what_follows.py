"""What stands behind a layer, against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest

from runner.correction.what_follows import activation
from tests.models import onnx_text, prepared, run_plain

RNG = np.random.default_rng(0)
BEHIND = {
    "nothing": "z = Add (y, y)",
    "Relu": "z = Relu (y)",
    "Clip": "z = Clip (y, low, high)",
    "SiLU": "s = Sigmoid (y)\n z = Mul (s, y)",
    "hard swish": "s = HardSigmoid <alpha = 0.16666667, beta = 0.5> (y)\n z = Mul (y, s)",
    "steeper hard swish": "s = HardSigmoid (y)\n z = Mul (y, s)",
    "Sigmoid": "z = Sigmoid (y)",
    "Tanh": "z = Tanh (y)",
}


@pytest.mark.parametrize("kind", BEHIND)
def test_activation_gives_what_the_model_gives(kind: str) -> None:
    model = onnx_text(
        f"g (float[N,2,4,4] x) => (float[N,3,4,4] z) {{ y = Conv (x, w)\n {BEHIND[kind]} }}",
        w=3 * RNG.normal(size=(3, 2, 1, 1)).astype(np.float32),
        low=np.float32(-1),
        high=np.float32(2),
    )
    graph, found = prepared(model)
    (layer,) = found.layers
    x = 2 * RNG.normal(size=(1, 2, 4, 4)).astype(np.float32)
    ((y, z),) = run_plain(graph, x, ["y", "z"])
    got = activation(found.node(layer.name), layer)(y[0].reshape(3, -1))
    np.testing.assert_allclose(got, (y if kind == "nothing" else z)[0].reshape(3, -1), atol=1e-5)
