"""Levels of images from what their channels hold, and what they are worth to the layer that reads them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.calibration.collect import collect
from runner.calibration.minmax import MinMax
from runner.calibration.quantize import quantize_layers
from runner.convert.fake_quant import fake_quant_model
from runner.correction.pixel_codes import choose_levels, levels_of
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.errors import DatasetError
from runner.graph.layers import find_layers
from runner.graph.pixel_codes import with_whole_pixels
from runner.targets.ascend.limits import ASCEND
from tests.data import Items, normal_items
from tests.models import for_all, onnx_text, prepared, run_plain

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (24, 3, 9, 9))
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def normalized(pixels: np.ndarray, mean: np.ndarray = MEAN, std: np.ndarray = STD) -> np.ndarray:
    """Return images as most models of photos want them."""
    shape = (-1, 1, 1)
    return (pixels.astype(np.float32) / np.float32(255) - mean.astype(np.float32).reshape(shape)) / std.astype(
        np.float32
    ).reshape(shape)


def network(seed: int = 0) -> tuple:
    return prepared(
        onnx_text(
            "g (float[N,3,9,9] x) => (float[N,5,H,W] z) { z = Conv <pads = [1,1,1,1]> (x, w, b) }",
            w=np.random.default_rng(seed).normal(size=(5, 3, 3, 3)).astype(np.float32),
            b=np.ones(5, np.float32),
        )
    )


def chosen(x: np.ndarray, **options: object) -> dict:
    graph, _ = network()
    return dict(choose_levels(graph, Subset.whole(Items(x)), engine=Engine(), **options))


def channel(places: object, zero: float = 0.3, step: float = 0.017) -> np.ndarray:
    return np.unique((zero + np.asarray(places) * step).astype(np.float32))


def test_normalized_photos_have_the_levels_of_their_pixels() -> None:
    levels = chosen(normalized(PIXELS))["z"]
    np.testing.assert_allclose(levels.step, 1 / 255 / STD, rtol=1e-5)
    lowest = -round(255 * MEAN.mean())
    assert levels.lowest == lowest
    np.testing.assert_allclose(levels.zero, (-lowest / 255 - MEAN) / STD, rtol=1e-4)


def test_one_scale_for_all_channels_is_enough_where_zero_is_a_level() -> None:
    assert chosen(PIXELS.astype(np.float32)) == {}
    assert chosen(normalized(PIXELS, np.zeros(3), np.ones(3))) == {}


def test_zero_between_two_levels_is_not_a_code() -> None:
    levels = chosen(PIXELS.astype(np.float32) / np.float32(127.5) - 1)["z"]
    np.testing.assert_allclose(levels.step, 1 / 127.5, rtol=1e-5)
    np.testing.assert_allclose(np.abs(levels.zero), 0.5 / 127.5, rtol=1e-4)
    assert levels.lowest in (-127, -128)


def test_what_is_no_image_of_256_levels_is_left_alone() -> None:
    assert chosen(normal_items(4, 3, 9, 9)) == {}
    between = normalized(PIXELS)
    between[3, 1, 4, 4] += 0.004  # as interpolation leaves it
    assert chosen(between) == {}


def test_image_that_is_not_finite_is_named() -> None:
    broken = normalized(PIXELS)
    broken[2, 0, 0, 0] = np.nan
    with pytest.raises(DatasetError, match=r"item item 2 holds 1 value\(s\) .* the activation 'x' made of it"):
        chosen(broken)


def test_layer_that_stays_float_needs_no_codes() -> None:
    assert chosen(normalized(PIXELS), left_alone=["z"]) == {}


def test_progress_counts_every_item() -> None:
    told: list[int] = []
    chosen(normalized(PIXELS), progress=told.append)
    assert told == list(range(1, len(PIXELS) + 1))


def test_more_values_than_an_image_has_end_the_look() -> None:
    told: list[int] = []
    assert chosen(normal_items(24, 3, 9, 9), progress=told.append) == {}
    assert told == [1, 2, 3]  # of 81 places a channel each


def test_value_that_one_item_alone_holds_has_a_code() -> None:
    dark = PIXELS // 4
    dark[17, 1, 2, 3] = 255
    mean = np.full(3, 0.1)
    levels = chosen(normalized(dark, mean))["z"]
    place = (normalized(np.full((1, 3, 1, 1), 255), mean)[0, 1, 0, 0] - levels.zero[1]) / levels.step[1]
    assert place == pytest.approx(levels.lowest + 255, abs=1e-3)


@given(st.integers(0, 254), st.data())
def test_codes_cover_all_that_was_seen_and_what_is_left_over_lies_on_both_sides(low: int, data: st.DataObject) -> None:
    high = data.draw(st.integers(low + 1, 255))
    seen = channel(np.arange(low, high + 1), zero=-1.9)
    levels = levels_of([seen])
    if levels is None:  # padding would have no code
        line = (-1.9 + low * 0.017, -1.9 + high * 0.017)
        assert not line[0] < 0 < line[1]
        return
    places = (seen - levels.zero[0]) / levels.step[0]
    np.testing.assert_allclose(places, np.rint(places), atol=0.03)
    below, above = np.rint(places[0]) - levels.lowest, levels.lowest + 255 - np.rint(places[-1])
    assert below >= 0
    assert above >= 0
    assert abs(below - above) <= 1
    assert levels.step[0] <= 0.0171


def test_few_values_leave_room_for_those_between_them() -> None:
    levels = levels_of([np.array([0, 1], np.float32)])
    assert levels is not None
    np.testing.assert_allclose(levels.step, 1 / 255)
    assert levels.zero == pytest.approx((0,))
    assert levels.lowest == 0


@pytest.mark.parametrize(
    "channels",
    [
        pytest.param([channel([3])], id="a single value"),
        pytest.param([channel([0, 1, 2.4, 255])], id="not evenly spaced"),
        pytest.param([channel([0, 1, 300])], id="too far apart"),
        pytest.param([channel(range(256)), channel([0, 0.5, 255])], id="one channel of two"),
        pytest.param([channel(range(10), zero=1000.0, step=1.0)], id="zero is out of reach"),
    ],
)
def test_values_without_levels(channels: list[np.ndarray]) -> None:
    assert levels_of(channels) is None


def test_first_layer_loses_nothing_but_its_weights_precision() -> None:
    x = normalized(PIXELS)
    graph, _ = network()
    items = range(len(x))

    def quantized_output(model: object) -> tuple[np.ndarray, np.ndarray]:
        layers = find_layers(model, ASCEND)
        seen = collect(layers.on(model), Subset(Items(x), items), observers=for_all(layers, MinMax()), engine=Engine())
        form = quantize_layers(layers.on(model), seen).form
        fake = fake_quant_model(layers.on(model), form, multiply=False)
        layer = form.layers["z"]
        weight = layer.weight * np.float32(layer.record.weight_scales).reshape(-1, 1, 1, 1)
        return np.concatenate([z for (z,) in run_plain(fake, x, ["z"])]), weight

    pixels = choose_levels(graph, Subset(Items(x), items), engine=Engine())
    whole, weight = quantized_output(with_whole_pixels(graph, pixels))
    # The oracle: the float image under the dequantized weights, in units of the image again.
    levels = pixels["z"]
    step = np.float32(levels.step).reshape(1, 3, 1, 1)
    only_weights, _ = prepared(
        onnx_text(
            "g (float[N,3,9,9] x) => (float[N,5,H,W] z) { z = Conv <pads = [1,1,1,1]> (x, w, b) }",
            w=(weight / step).astype(np.float32),
            b=np.ones(5, np.float32),
        )
    )
    exact = np.concatenate([z for (z,) in run_plain(only_weights, x, ["z"])])
    inner = (..., slice(1, -1), slice(1, -1))  # padding is 0, which need not be a level
    shift = np.mean((whole - exact)[inner], axis=(0, 2, 3), keepdims=True)  # the bias was of the float weights
    np.testing.assert_allclose((whole - shift)[inner], exact[inner], atol=1e-3)
