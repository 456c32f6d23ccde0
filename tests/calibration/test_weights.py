"""ARQ: the divisor follows the sign of the extreme."""

from __future__ import annotations

import numpy as np
import pytest

from runner.arithmetic import quantize_weight
from runner.calibration.weights import arq_scales

F = np.float32


@pytest.mark.parametrize(
    ("row", "scale", "codes"),
    [
        pytest.param([2.54, -1.0], F(2.54) / F(127), [127, -50], id="positive extreme: 127"),
        pytest.param([1.0, -2.56], F(2.56) / F(128), [50, -128], id="negative extreme: 128"),
        pytest.param([2.0, -2.0], F(2) / F(127), [127, -127], id="equal extremes: 127"),
        pytest.param([0.0, 0.0], F(1), [0, 0], id="dead channel: scale 1"),
        pytest.param([1e-6, -1e-7], F(1), [0, 0], id="below epsilon: scale 1"),
        pytest.param([0.0, -1.28], F(1.28) / F(128), [0, -128], id="no positive value"),
    ],
)
def test_scale_and_codes_of_one_channel(row: list[float], scale: np.float32, codes: list[int]) -> None:
    weight = np.array([row], F)
    scales = arq_scales(weight, 0, per_channel=True)
    assert scales.dtype == np.float32 and scales.tolist() == [float(scale)]
    assert quantize_weight(weight, scales, 0).tolist() == [codes]


@pytest.mark.parametrize("axis", [0, 1])
def test_channels_are_independent_and_follow_the_axis(axis: int) -> None:
    weight = np.random.default_rng(0).normal(size=(4, 5, 3, 3)).astype(F)
    scales = arq_scales(weight, axis, per_channel=True)
    for channel, scale in enumerate(scales):
        values = np.take(weight, channel, axis)
        extreme = values.flat[np.argmax(np.abs(values))]
        assert scale == np.abs(extreme) / F(128 if extreme < 0 else 127)
    assert scales.shape == (weight.shape[axis],)


def test_one_scale_covers_the_whole_weight() -> None:
    weight = np.random.default_rng(1).normal(size=(6, 4)).astype(F)
    weight[2, 3] = -9
    assert arq_scales(weight, 1, per_channel=False).tolist() == [float(F(9) / F(128))]


def test_rounding_error_is_at_most_half_a_step() -> None:
    weight = np.random.default_rng(2).normal(size=(8, 50)).astype(F)
    scales = arq_scales(weight, 0, per_channel=True)
    error = np.abs(quantize_weight(weight, scales, 0) * scales[:, None] - weight)
    assert np.all(error <= scales[:, None] * F(0.5001))
