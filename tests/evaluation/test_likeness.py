"""Outputs against the float model's: equal values whatever they are, other shapes, and sums that no float32 holds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from runner.evaluation.accuracy import Agreement, TopK
from runner.evaluation.distance import Kl, Mse, Sqnr
from runner.evaluation.likeness import counts_by_equality, is_unlike, sqnr_of, squares
from runner.evaluation.output_facts import class_scores, facts_of
from runner.evaluation.outputs import NO_ANSWER, ClassScores

INF, NAN = math.inf, math.nan


def f32(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


@pytest.mark.parametrize(
    ("reference", "output", "expected"),
    [
        pytest.param(f32(1, 2, 3), f32(1, 2, 5), (14.0, 4.0, 3), id="numbers"),
        pytest.param(
            f32(1, -INF, 3), f32(2, -INF, 3), (10.0, 1.0, 3), id="equal infinities are no error and no signal"
        ),
        pytest.param(f32(INF, -INF, 3), f32(INF, -INF, 1), (9.0, 4.0, 3), id="of either sign"),
        pytest.param(f32(NAN, 2), f32(NAN, 1), (4.0, 1.0, 2), id="NaN in the same place"),
        pytest.param(f32(-INF, -INF), f32(-INF, -INF), (0.0, 0.0, 2), id="nothing but infinities"),
        pytest.param(f32(1e30, 1), f32(2e30, 1), (1e60, 1e60, 2), id="squares that leave float32"),
        pytest.param(f32(1e-30), f32(3e-30), (1e-60, 4e-60, 1), id="squares that vanish in float32"),
        pytest.param(
            np.array([1e200]), np.array([2e200]), (1e250, 1e250, 1), id="squares that leave float64 stay numbers"
        ),
        pytest.param(f32(), f32(), (0.0, 0.0, 0), id="no values"),
        pytest.param(np.array([7, 9], np.uint8), np.array([7, 12], np.uint8), (130.0, 9.0, 2), id="pixels"),
        pytest.param(np.array([7, 9], np.int16), np.array([7, 12], np.int16), (130.0, 9.0, 2), id="samples"),
        pytest.param(np.array([True, False]), np.array([True, True]), (2.0, 1.0, 2), id="truth values"),
        pytest.param(np.array([2**40, 3]), np.array([2**40, 5]), (2.0, 1.0, 2), id="whole numbers"),
    ],
)
def test_sums_of_outputs_that_can_be_compared(
    reference: NDArray[Any], output: NDArray[Any], expected: tuple[float, ...]
) -> None:
    assert squares(output, reference) == pytest.approx(expected, rel=1e-6, abs=0)
    assert not is_unlike(output, reference)


@pytest.mark.parametrize(
    ("reference", "output", "signal", "error"),
    [
        pytest.param(f32(1, 2, 3), f32(1, 2), 14.0, 14.0, id="fewer values: all of the float ones"),
        pytest.param(f32(1, 2), f32(1, 2, 3), 5.0, 14.0, id="more values: all of the quantized ones"),
        pytest.param(f32(1, 2), f32(1, 2).reshape(2, 1), 5.0, 5.0, id="as many in another shape"),
        pytest.param(f32(), f32(0, 0, 0), 0.0, 3.0, id="zeros out of nothing: each is one off"),
        pytest.param(np.array([0, 0]), np.zeros(0, np.int64), 2.0, 2.0, id="no labels out of two"),
        pytest.param(np.array([5, 6]), np.array([5, 6, 7, 8]), 2.0, 4.0, id="more labels, none of which counts"),
        pytest.param(np.zeros((0, 4)), np.zeros((0, 3)), 0.0, 1.0, id="nothing in another shape"),
        pytest.param(f32(1, INF), f32(1, 2), 1.0, 5.0, id="an infinity lost"),
        pytest.param(f32(1, 2), f32(1, -INF), 5.0, 5.0, id="an infinity gained"),
        pytest.param(f32(3, INF), f32(3, -INF), 9.0, 9.0, id="infinities of other signs"),
        pytest.param(f32(1, 2), f32(1, NAN), 5.0, 5.0, id="NaN gained"),
        pytest.param(f32(1, NAN), f32(1, 2), 1.0, 5.0, id="NaN lost"),
    ],
)
def test_output_that_cannot_be_compared_counts_as_all_wrong(
    reference: NDArray[Any], output: NDArray[Any], signal: float, error: float
) -> None:
    # The first and the last depend on the float output alone.
    assert squares(output, reference) == (signal, error, reference.size)
    assert is_unlike(output, reference)
    assert sqnr_of(output, reference) == -INF
    named, before = {"y": output}, {"y": reference}
    assert Agreement(sqnr_min=-1e9).score(named, before, None, None) == (0.0,)
    assert Sqnr().aggregate(np.array([Sqnr().score(named, before, None, None)])) <= 0.0
    values = max(reference.size, 1)
    assert Mse().aggregate(np.array([Mse().score(named, before, None, None)])) == error / values


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint32, np.uint64, np.bool_], ids=str)
def test_labels_agree_where_no_more_than_one_in_a_hundred_differs(dtype: type) -> None:
    reference = (np.arange(200) % 2).astype(dtype)
    for wrong, agrees in ((0, True), (2, True), (3, False)):
        output = reference.copy()
        output[:wrong] = 1 - output[:wrong].astype(np.int64)
        assert Agreement().score({"y": output}, {"y": reference}, None, None) == (float(agrees),)
        share = INF if wrong == 0 else 10 * math.log10(200 / wrong)
        assert sqnr_of(output, reference) == pytest.approx(share)
        named, before = {"y": output}, {"y": reference}
        assert Sqnr().score(named, before, None, None) == (200.0, wrong, 200.0)
        assert Mse().aggregate(np.array([Mse().score(named, before, None, None)])) == wrong / 200


def test_class_ten_is_not_nearly_class_nine() -> None:
    ten, nine = np.array([10]), np.array([9])
    assert Agreement().score({"y": nine}, {"y": ten}, None, None) == (0.0,)
    assert sqnr_of(nine, ten) == 0.0 and counts_by_equality(ten)
    # Of pixels in 8 bits it is.
    assert sqnr_of(nine.astype(np.uint8), ten.astype(np.uint8)) == 20.0 and not counts_by_equality(ten.astype(np.uint8))
    assert Agreement().score({"y": nine.astype(np.uint8)}, {"y": ten.astype(np.uint8)}, None, None) == (1.0,)


def test_mean_squared_error_without_a_single_float_value_is_of_what_should_not_be_there() -> None:
    assert Mse().aggregate(np.array([[12.0, 0.0], [0.0, 0.0]])) == 12.0
    assert Mse().aggregate(np.array([[0.0, 0.0]])) == 0.0


CLASSES = ClassScores("y", 3, "logits")


def rows(*scores: float) -> dict[str, NDArray[np.float32]]:
    return {"y": f32(*scores).reshape(1, -1)}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        pytest.param((0, 0, -INF), (0.5, 0.5, 0), id="a class ruled out"),
        pytest.param((INF, 0, 7), (1, 0, 0), id="a class that is certain"),
        pytest.param((INF, 0, INF), (0.5, 0, 0.5), id="two of them"),
        pytest.param((-INF, -INF, -INF), (1 / 3, 1 / 3, 1 / 3), id="every class ruled out"),
        pytest.param((3e38, 0, 0), (1, 0, 0), id="nearly infinite"),
    ],
)
def test_infinite_logits_are_distributions(row: tuple[float, ...], expected: tuple[float, ...]) -> None:
    assert CLASSES.probabilities(rows(*row)) == pytest.approx(np.array(expected), abs=1e-11)
    assert CLASSES.has_answer(rows(*row)) and CLASSES.answer(rows(*row)) == int(np.argmax(row))
    assert Kl().score(rows(*row), rows(*row), None, CLASSES) == (0.0,)


def test_probabilities_that_eight_bits_round_to_nothing_are_even() -> None:
    assert ClassScores("y", 4, "probabilities").probabilities(rows(0, 0, 0, 0)).tolist() == [0.25] * 4


@pytest.mark.parametrize(
    "scores",
    [rows(NAN, 1, 2), rows(NAN, NAN, NAN), rows(1, 2), rows(5, 1, 2, 3), rows()],
    ids=["one", "all", "2", "4", "0"],
)
def test_scores_without_an_answer_are_wrong_whatever_the_label(scores: dict[str, NDArray[np.float32]]) -> None:
    before = rows(5, 1, 2)
    assert not CLASSES.has_answer(scores)
    assert CLASSES.answer_and_margin(scores) == (NO_ANSWER, 0.0)
    for metric in (TopK(), TopK(k=3), Agreement()):
        assert metric.score(scores, before, 0, CLASSES) == (0.0,)
        assert metric.lead(scores, before, 0, CLASSES) == -INF
    # As wrong as a distribution that rules out all that is likely.
    (kl,) = Kl().score(scores, before, None, CLASSES)
    assert kl > Kl().score(rows(-1e9, 0, 0), before, None, CLASSES)[0] > 20


def test_rows_of_several_lengths_are_no_class_scores() -> None:
    assert class_scores([facts_of(rows(1, 2, 3)), facts_of(rows(1, 2))], [0, 1]) is None
    assert class_scores([facts_of(rows(1, 2, 3)), facts_of(rows(1, 2, 4))], [0, 1]) == CLASSES
