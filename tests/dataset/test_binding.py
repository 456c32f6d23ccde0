"""Items meet a model's inputs."""

from __future__ import annotations

import numpy as np
import pytest

from runner.dataset.binding import bind, fixed_batch
from runner.dataset.item import ONLY_INPUT, Item
from runner.errors import DatasetError
from runner.session import InputSpec

F32 = np.dtype(np.float32)
IMAGE = InputSpec("input:0", (None, 3, 4, 5), F32)


def only(array: np.ndarray) -> Item:
    return Item({ONLY_INPUT: array}, None)


def test_one_array_goes_to_the_only_input_whatever_its_name() -> None:
    array = np.random.default_rng(0).normal(size=(3, 4, 5))
    feeds = bind(only(array), (IMAGE,), name="a")
    assert list(feeds) == ["input:0"]
    assert feeds["input:0"].dtype == np.float32 and feeds["input:0"].shape == (1, 3, 4, 5)
    assert np.array_equal(feeds["input:0"][0], array.astype(np.float32))


def test_open_dimensions_take_any_size() -> None:
    spec = InputSpec("x", (None, 3, None, None), F32)
    assert bind(only(np.zeros((3, 7, 9))), (spec,), name="a")["x"].shape == (1, 3, 7, 9)


def test_the_models_type_is_used() -> None:
    spec = InputSpec("ids", (1, 4), np.dtype(np.int64))
    feed = bind(only(np.array([1.0, 2.0, 3.0, 4.0], np.float32)), (spec,), name="a")["ids"]
    assert feed.dtype == np.int64 and feed.tolist() == [[1, 2, 3, 4]]


def test_strided_arrays_become_contiguous() -> None:
    array = np.zeros((5, 4, 3), np.float32).T
    assert bind(only(array), (IMAGE,), name="a")["input:0"].flags["C_CONTIGUOUS"]


def test_fixed_batch_is_filled_with_the_item() -> None:
    spec = InputSpec("x", (3, 2), F32)
    feed = bind(only(np.array([1.0, 2.0])), (spec,), name="a")["x"]
    assert feed.tolist() == [[1, 2], [1, 2], [1, 2]]


@pytest.mark.parametrize(
    ("shape", "batch"),
    [((None, 3), 1), ((1, 3), 1), ((32, 3), 32), ((), 1)],
    ids=["open", "one", "32", "no batch axis"],
)
def test_fixed_batch_is_the_models_or_one(shape: tuple[int | None, ...], batch: int) -> None:
    assert fixed_batch((InputSpec("x", shape, F32),)) == batch


def test_several_inputs_are_matched_by_name() -> None:
    specs = (InputSpec("a", (None, 2), F32), InputSpec("b", (2, 3), F32))
    item = Item({"b": np.ones(3), "a": np.zeros(2), "unused": np.zeros(9)}, None)
    feeds = bind(item, specs, name="first")
    assert {key: array.shape for key, array in feeds.items()} == {"a": (1, 2), "b": (2, 3)}
    assert feeds["b"].tolist() == [[1, 1, 1], [1, 1, 1]]


def test_one_array_for_several_inputs_is_refused_with_their_names() -> None:
    specs = (InputSpec("a", (None, 2), F32), InputSpec("b", (None, 2), F32))
    with pytest.raises(DatasetError, match="gives one array an item, but the model has 2 inputs: a, b"):
        bind(only(np.zeros(2)), specs, name="first")


def test_input_without_an_array_is_named_with_what_there_is() -> None:
    specs = (InputSpec("a", (None, 2), F32), InputSpec("b", (None, 2), F32))
    with pytest.raises(DatasetError, match="no array for the model input 'b'; the dataset has a, c"):
        bind(Item({"a": np.zeros(2), "c": np.zeros(2)}, None), specs, name="first")


@pytest.mark.parametrize(
    ("shape", "expected", "got"),
    [
        ((3, 4, 6), "3x4x5", "3x4x6"),
        ((4, 5, 3), "3x4x5", "4x5x3"),
        ((4, 5), "3x4x5", "4x5"),
        ((1, 3, 4, 5), "3x4x5", "1x3x4x5"),
    ],
)
def test_wrong_shape_is_refused_with_item_and_both_shapes(shape: tuple[int, ...], expected: str, got: str) -> None:
    with pytest.raises(DatasetError) as error:
        bind(only(np.zeros(shape)), (IMAGE,), name="cat.png")
    assert str(error.value) == (
        f"dataset: item cat.png has shape {got}, but the model input 'input:0' takes {expected} an item. "
        "Set dataset.preprocess (resize, crop, layout) to fit."
    )


def test_open_dimensions_are_shown_as_question_marks() -> None:
    with pytest.raises(DatasetError, match=r"takes 3x\?x\? an item"):
        bind(only(np.zeros((1, 4, 4))), (InputSpec("x", (None, 3, None, None), F32),), name="a")


@pytest.mark.parametrize(
    ("values", "dtype", "shown"),
    [
        (np.array([0.5, 1.0]), np.int64, "0.5"),
        (np.array([1, 2**40]), np.int32, "1099511627776"),
        (np.array([1, -1]), np.uint8, "-1"),
        (np.array([1.0, np.nan]), np.int32, "nan"),
    ],
    ids=["fraction", "too large", "negative", "nan"],
)
def test_integer_input_does_not_cut_or_wrap_values(values: np.ndarray, dtype: type, shown: str) -> None:
    with pytest.raises(DatasetError) as error:
        bind(only(values), (InputSpec("ids", (None, 2), np.dtype(dtype)),), name="a[3]")
    assert str(error.value) == (
        f"dataset: item a[3] holds {shown}, but the model input 'ids' takes {np.dtype(dtype)}. "
        "Set dataset.preprocess to fit, or dataset.preprocess_inputs to leave this input as stored."
    )


def test_large_whole_numbers_reach_an_integer_input_as_they_are() -> None:
    feed = bind(only(np.array([2**53 + 1])), (InputSpec("ids", (None, 1), np.dtype(np.int64)),), name="a")["ids"]
    assert feed.tolist() == [[2**53 + 1]]
