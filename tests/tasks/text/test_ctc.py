"""Greedy CTC: by plain loops, whatever the order of axes, the place of the blank and the numbers that are none."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from runner.errors import ConfigError
from runner.tasks.text.ctc import Ctc

ALPHABET = ("a", "b", "ç", "e\u0301")


def by_loop(classes, characters, blank):
    text, before = "", None
    for number in classes:
        if number != before and number != blank:
            text += characters[number]
        before = number
    return text


def scores(classes, count):
    """Return [1, places, classes] whose highest scores are the classes."""
    array = np.random.default_rng(0).uniform(0, 0.5, (1, len(classes), count)).astype(np.float32)
    array[0, np.arange(len(classes)), classes] = 1
    return array


@pytest.mark.parametrize(("blank", "number"), [("first", 0), ("last", 4), (2, 2)])
def test_every_short_sequence_is_read_as_by_a_loop(blank, number) -> None:
    characters = [*ALPHABET]
    characters.insert(number, "")
    reader = Ctc(ALPHABET, blank=blank)
    for length in range(1, 5):
        for classes in itertools.product(range(5), repeat=length):
            assert reader.text({"o": scores(list(classes), 5)}) == by_loop(classes, characters, number)


def test_axes_may_have_any_order_and_the_space_follows_where_there_is_one_class_more() -> None:
    classes = [1, 1, 0, 1, 5, 2, 4, 0, 0, 3]
    array = scores(classes, 6)
    shaped = [
        array,
        array.transpose(1, 0, 2),
        array.transpose(0, 2, 1),
        array[:, :, np.newaxis],
        array.transpose(2, 0, 1),
    ]
    assert {Ctc(ALPHABET).text({"o": each}) for each in shaped} == {"aa be\u0301ç"}
    assert Ctc(ALPHABET).text({"o": scores([1, 2], 5)}) == "ab"
    assert Ctc(ALPHABET, after="?!").text({"o": scores([1, 5, 6], 7)}) == "a?!"
    assert Ctc(ALPHABET, blank="last").text({"o": scores([0, 5, 0, 4], 6)}) == "aa "


def test_square_output_has_its_classes_last_unless_said() -> None:
    array = scores([1, 2, 3, 0, 4], 5)
    assert Ctc(ALPHABET).text({"o": array}) == "abçe\u0301"
    assert Ctc(ALPHABET, class_axis=1).text({"o": array.transpose(0, 2, 1)}) == "abçe\u0301"
    assert Ctc(ALPHABET, class_axis=-2).text({"o": array.transpose(0, 2, 1)}) == "abçe\u0301"


def test_whole_numbers_are_the_classes() -> None:
    assert Ctc(ALPHABET).text({"o": np.array([[1, 1, 0, 2, 5, 99, -1, 2]])}) == "ab b"
    assert Ctc(ALPHABET, blank="last", after="").text({"o": np.array([[0, 4, 0]], np.int32)}) == "aa"


def test_no_score_that_is_nan_wins_and_nothing_but_nan_is_a_blank() -> None:
    nan, inf = math.nan, math.inf
    rows = [[nan, -inf, nan, nan, nan], [nan] * 5, [nan, 0.5, inf, 1, nan], [-inf] * 5, [0, nan, 0.1, 0.1, nan]]
    assert Ctc(ALPHABET).text({"o": np.array([rows], np.float32)}) == "abb"


def test_no_places_are_no_text() -> None:
    assert Ctc(ALPHABET).text({"o": np.zeros((1, 0, 5), np.float32)}) == ""


@pytest.mark.parametrize(
    ("outputs", "options", "message"),
    [
        (
            {"o": (1, 9, 97)},
            {},
            r"4 characters and the blank make 5 \(or with a space 6\) classes a place; .*'o' \[1, 9, 97\].*dataset.alphabet",
        ),
        ({"o": (1, 9, 6)}, {"after": "?!"}, "alphabet of 4 characters and 2 after it and the blank make 7 classes"),
        ({"o": (2, 9, 5)}, {}, "expected an output"),
        (
            {"o": (1, 9, 5), "p": (1, 9, 5)},
            {},
            r"several outputs may be the text: 'o' \[1, 9, 5\], 'p' .*metric.output=NAME",
        ),
        ({"o": (1, 9, 5)}, {"output": "q"}, r"metric.output: the model has no output 'q'; it has 'o' \[1, 9, 5\]"),
        ({"o": (1, 9, 7), "p": (1, 9, 5)}, {"output": "o"}, r"got 'o' \[1, 9, 7\]\."),
        ({"o": (1, 9, 5)}, {"class_axis": 1}, "expected an output"),
    ],
)
def test_outputs_that_the_alphabet_does_not_fit_are_refused(outputs, options, message) -> None:
    arrays = {name: np.zeros(shape, np.float32) for name, shape in outputs.items()}
    with pytest.raises(ConfigError, match=message):
        Ctc(ALPHABET, **options).text(arrays)


def test_only_output_that_fits_is_read() -> None:
    outputs = {"features": np.zeros((1, 9, 64), np.float32), "text": scores([1, 0, 2], 5)}
    assert Ctc(ALPHABET).text(outputs) == "ab"
