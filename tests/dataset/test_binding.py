"""Items meet a model's inputs."""

from __future__ import annotations

import numpy as np
import pytest

from runner.dataset.binding import bind, first_rows, fixed_batch, repeats
from runner.dataset.item import ONLY_INPUT, Item
from runner.errors import ConfigError, DatasetError
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
    specs = (InputSpec("a", (2, 2), F32), InputSpec("b", (2, 3), F32))
    item = Item({"b": np.ones(3), "a": np.zeros(2), "unused": np.zeros(9)}, None)
    feeds = bind(item, specs, name="first")
    assert {key: array.shape for key, array in feeds.items()} == {"a": (2, 2), "b": (2, 3)}
    assert feeds["b"].tolist() == [[1, 1, 1], [1, 1, 1]] and repeats(item, specs) == 2


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
        ((4, 5), "3x4x5", "4x5"),
        ((1, 3, 4, 6), "3x4x5", "1x3x4x6"),
        ((1, 1, 3, 4, 5), "3x4x5", "1x1x3x4x5"),
    ],
)
def test_wrong_shape_is_refused_with_item_and_both_shapes(shape: tuple[int, ...], expected: str, got: str) -> None:
    with pytest.raises(DatasetError) as error:
        bind(only(np.zeros(shape)), (IMAGE,), name="cat.png")
    assert str(error.value) == (
        f"dataset: item cat.png has shape {got}, but the model input 'input:0' takes {expected} an item. "
        "Set dataset.preprocess (resize, crop, letterbox, layout) to fit."
    )


@pytest.mark.parametrize(
    ("inputs", "shape", "side"),
    [
        ((1, 3, 4, 5), (3, 4, 6), "[4,5]"),
        ((1, 3, 4, 5), (3, 5, 4), "[4,5]"),
        ((1, 4, 5, 3), (9, 9, 3), "[4,5]"),
        ((1, 1, 28, 28), (1, 32, 32), "[28,28]"),
    ],
)
def test_photos_of_another_size_are_refused_with_the_size_that_fits(
    inputs: tuple[int, ...], shape: tuple[int, ...], side: str
) -> None:
    with pytest.raises(DatasetError) as error:
        bind(only(np.zeros(shape)), (InputSpec("x", inputs, F32),), name="cat.png")
    assert str(error.value).endswith(
        f" an item. Of photos set dataset.preprocess.resize={side}, or a crop or letterbox of that size."
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


H = InputSpec("h", (2, 1, 4), F32)
ROW = InputSpec("x", (1, 8), F32)
RATE = InputSpec("rate", (), np.dtype(np.int64))
STATE = np.arange(8, dtype=np.float32).reshape(2, 1, 4)


def message(arrays: dict, specs: tuple, batch_axis: dict | None = None) -> str:
    with pytest.raises((DatasetError, ConfigError)) as error:
        bind(Item(arrays, None, batch_axis or {}), specs, name="a[0]")
    return str(error.value)


@pytest.mark.parametrize(
    ("shape", "array"),
    [
        ((2, 1, 4), STATE),
        ((None, 3, 4, 5), np.ones((1, 3, 4, 5))),
        ((None, 8), np.ones((6, 8))),
        ((2, None), np.ones((2, 9))),
        ((), np.array(3.0)),
        ((4,), np.arange(4)),
    ],
    ids=["state", "image with its batch", "nodes of a graph", "edges of a graph", "scalar", "vector"],
)
def test_array_of_the_inputs_rank_is_its_whole_shape(shape: tuple, array: np.ndarray) -> None:
    (feed,) = bind(only(array), (InputSpec("x", shape, F32),), name="a").values()
    assert feed.shape == array.shape and np.array_equal(feed, array)
    assert repeats(only(array), (InputSpec("x", shape, F32),)) == 1


def test_state_and_scalar_stand_beside_a_row() -> None:
    item = Item({"x": np.ones(8), "h": STATE, "rate": np.int64(16000)}, None)
    feeds = bind(item, (ROW, H, RATE), name="a")
    assert {key: array.shape for key, array in feeds.items()} == {"x": (1, 8), "h": (2, 1, 4), "rate": ()}
    assert np.array_equal(feeds["h"], STATE) and feeds["rate"] == 16000


def test_state_of_one_layer_is_never_repeated_for_the_others() -> None:
    assert message({"x": np.ones(8), "h": STATE[0]}, (ROW, H)) == (
        "dataset: item a[0] has shape 1x4, but the model input 'h' takes 2x1x4, and its first axis is no batch that all inputs "
        "share ('x' takes 1x8), so an item is not repeated along it. Give items of the whole shape 2x1x4, or say which axis is "
        "the batch: dataset.batch_axis={h: AXIS}."
    )
    assert "axis 0 is no batch that all inputs share" in message({"x": np.ones(8), "h": STATE[0]}, (ROW, H), {"h": 0})
    # An open first axis beside it is a batch of 1 too.
    assert "no batch that all" in message({"x": np.ones(8), "h": STATE[0]}, (InputSpec("x", (None, 8), F32), H))


def test_state_without_its_batch_axis_is_refused_until_the_axis_is_said() -> None:
    arrays = {"x": np.ones(8), "h": STATE[:, 0]}
    assert message(arrays, (ROW, H)).endswith(
        "takes 2x1x4. If its batch is axis 1, say so: dataset.batch_axis={h: 1}; items of the whole shape 2x1x4 are taken too."
    )
    feeds = bind(Item(arrays, None, {"h": 1}), (ROW, H), name="a")
    assert feeds["h"].shape == (2, 1, 4) and np.array_equal(feeds["h"], STATE)


def test_axis_that_is_said_is_the_only_reading() -> None:
    assert message({"x": np.ones(8), "h": STATE}, (ROW, H), {"h": 1}).endswith(
        "has shape 2x1x4, but the model input 'h' takes 2x4 an item, and the batch as axis 1 (dataset.batch_axis.h=1)."
    )
    assert message({"x": np.ones(8)}, (ROW,), {"x": None}).endswith(
        "takes 1x8, every axis of it (dataset.batch_axis.x=null)."
    )


def test_fixed_batch_along_another_axis_is_filled_with_the_item() -> None:
    specs = (InputSpec("x", (3, 8), F32), InputSpec("h", (2, 3, 4), F32))
    item = Item({"x": np.ones(8), "h": STATE[:, 0]}, None, {"h": 1})
    feeds = bind(item, specs, name="a")
    assert feeds["h"].shape == (2, 3, 4) and all(np.array_equal(feeds["h"][:, row], STATE[:, 0]) for row in range(3))
    assert repeats(item, specs) == 3
    assert [array.shape for array in first_rows([np.ones((3, 5)), np.ones((2, 3, 4))], 3)] == [(1, 5), (2, 3, 4)]


def test_state_as_the_first_input_is_no_batch_of_the_model() -> None:
    item = Item({"h": STATE, "x": np.ones(8)}, None)
    assert fixed_batch((H, ROW)) == 1 and repeats(item, (H, ROW)) == 1


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        ({"hh": 1}, "dataset.batch_axis: the model has no input 'hh'. Did you mean 'h'? It has x, h, rate."),
        ({"h": 3}, "dataset.batch_axis.h: expected an axis from 0 to 2, or null, got 3."),
        ({"h": -1}, "dataset.batch_axis.h: expected an axis from 0 to 2, or null, got -1."),
        ({"rate": 0}, "dataset.batch_axis.rate: expected null, since it is a scalar, got 0."),
    ],
    ids=["unknown", "too large", "negative", "of a scalar"],
)
def test_axis_that_does_not_exist_is_refused(axes: dict, expected: str) -> None:
    assert message({"x": np.ones(8), "h": STATE, "rate": np.array(1)}, (ROW, H, RATE), axes) == expected


def test_array_for_a_scalar_is_refused_with_what_to_do() -> None:
    assert message({"x": np.ones(8), "rate": np.ones(1)}, (ROW, RATE)).endswith(
        "takes a scalar. Give a number an item, or fix the input: dataset.constants={rate: VALUE}."
    )


def test_number_still_is_a_row_of_one() -> None:
    assert bind(only(np.float32(3)), (InputSpec("x", (None, 1), F32),), name="a")["x"].tolist() == [[3.0]]
    assert bind(only(np.float32(3)), (InputSpec("x", (None,), F32),), name="a")["x"].tolist() == [3.0]


def test_channels_that_lie_elsewhere_are_named() -> None:
    last = InputSpec("x", (None, 4, 5, 3), F32)
    assert message({"input:0": np.zeros((4, 5, 3))}, (IMAGE,)).endswith("set dataset.preprocess.layout=nhwc.")
    assert message({"x": np.zeros((3, 4, 5))}, (last,)).endswith("as numpy.moveaxis(x, 1, -1) gives them.")
