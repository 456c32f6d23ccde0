"""The three measures of damage against numpy on the tensors themselves."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from runner.similarity import PairSums, cosine, mse, sqnr_db

vectors = hnp.arrays(np.float64, 6, elements=st.floats(-100, 100, allow_subnormal=False).map(lambda v: round(v, 3)))


def sums(f, q):
    f, q = np.asarray(f, np.float64), np.asarray(q, np.float64)
    return PairSums(float(f @ f), float(q @ q), float((f - q) @ (f - q)), f.size)


@pytest.mark.parametrize(
    ("f", "q", "expected"),
    [
        pytest.param([1, 2], [1, 2], 1.0, id="identical"),
        pytest.param([1, 2], [2, 4], 1.0, id="scaled"),
        pytest.param([1, 0], [0, 1], 0.5, id="orthogonal"),
        pytest.param([1, 2], [-1, -2], 0.0, id="opposite"),
        pytest.param([0, 0], [1, 2], 1.0, id="float_all_zero"),
        pytest.param([1, 2], [0, 0], 0.0, id="quantized_all_zero"),
        pytest.param([0, 0], [0, 0], 1.0, id="both_all_zero"),
    ],
)
def test_cosine_of_known_pairs(f, q, expected):
    assert cosine(sums(f, q)) == pytest.approx(expected, abs=1e-12)


@given(f=vectors, q=vectors)
def test_cosine_is_half_of_one_plus_the_cosine(f, q):
    norms = np.linalg.norm(f) * np.linalg.norm(q)
    if norms > 0:
        assert cosine(sums(f, q)) == pytest.approx(0.5 + 0.5 * float(f @ q) / norms, abs=1e-9)


@given(f=vectors, q=vectors)
def test_cosine_lies_between_zero_and_one(f, q):
    assert 0.0 <= cosine(sums(f, q)) <= 1.0


def test_cosine_tells_nearly_equal_tensors_apart():
    """1 - 0.5 * (angle**2 / 2): ff and qq and sum f*q alone would lose an angle of 1e-7 in rounding."""
    rng = np.random.default_rng(0)
    f = rng.normal(size=1000)
    error = rng.normal(size=1000)
    error -= f * (f @ error) / (f @ f)
    measured = [1 - cosine(sums(f, f + error * step)) for step in (1e-7, 2e-7)]
    assert measured[1] == pytest.approx(4 * measured[0], rel=0.1)
    assert measured[0] == pytest.approx(0.25 * 1e-14 * (error @ error) / (f @ f), rel=0.1)


@given(f=vectors, q=vectors)
def test_mse_is_the_mean_squared_difference(f, q):
    assert mse(sums(f, q)) == pytest.approx(float(np.mean((f - q) ** 2)), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("f", "q", "expected"),
    [
        pytest.param([3, 4], [3, 4], math.inf, id="identical"),
        pytest.param([0, 0], [0, 0], math.inf, id="both_all_zero"),
        pytest.param([0, 0], [1, 0], 0.0, id="float_all_zero"),
        pytest.param([10, 0], [9, 0], 20.0, id="a_tenth_is_20_decibels"),
        pytest.param([1, 0], [1, 1], 0.0, id="noise_as_strong_as_the_signal"),
        pytest.param([1, 0], [-9, 0], -20.0, id="noise_ten_times_the_signal"),
    ],
)
def test_sqnr_of_known_pairs(f, q, expected):
    assert sqnr_db(sums(f, q)) == pytest.approx(expected)
