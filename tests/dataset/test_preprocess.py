"""Pixels to numbers: the formula bit for bit, geometry against Pillow."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from PIL import Image

from runner.dataset.preprocess import ArrayPreprocess, ImagePreprocess, Normalize
from runner.errors import ConfigError, DatasetError
from tests.small_data import random_pixels

IMAGENET = {"scale": 1 / 255, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
SETTINGS = [
    pytest.param({}, id="nothing"),
    pytest.param(IMAGENET, id="imagenet"),
    pytest.param({"scale": 1.0, "mean": 127.5, "std": 127.5}, id="minus one to one"),
    pytest.param({"scale": 0.0078125, "mean": 1.0}, id="pixel / 128 - 1"),
    pytest.param({"scale": 0.1, "mean": [0.3, -0.7, 11.0], "std": 0.017}, id="mean per channel, one std"),
    pytest.param({"mean": 3.3, "std": [0.1, 1e-3, 1e3]}, id="one mean, std per channel"),
]


def formula(byte: int, channel: int, *, scale: float = 1.0, mean: object = 0.0, std: object = 1.0) -> np.float32:
    """Return ``(x * scale - mean) / std``, each step rounded to float32."""
    mean_c = mean[channel] if isinstance(mean, list) else mean
    std_c = std[channel] if isinstance(std, list) else std
    return (np.float32(byte) * np.float32(scale) - np.float32(mean_c)) / np.float32(std_c)


@pytest.mark.parametrize("settings", SETTINGS)
def test_every_byte_of_every_channel_gives_the_formula_bit_for_bit(settings: dict) -> None:
    pixels = np.broadcast_to(np.arange(256, dtype=np.uint8).reshape(1, 16, 16), (3, 16, 16))
    result = ImagePreprocess(**settings).normalize(pixels)
    assert result.dtype == np.float32 and result.shape == (3, 16, 16)
    for channel, byte in itertools.product(range(3), range(256)):
        assert result[channel].flat[byte].tobytes() == formula(byte, channel, **settings).tobytes()


@pytest.mark.parametrize("settings", SETTINGS)
def test_table_and_direct_computation_give_the_same_bits(settings: dict) -> None:
    pixels = random_pixels(9, 7).transpose(2, 0, 1)
    assert np.array_equal(ImagePreprocess(**settings).normalize(pixels), Normalize(**settings)(pixels))


def test_channels_are_first_and_red_is_the_first() -> None:
    pixels = random_pixels(4, 5)
    result = ImagePreprocess().pixels(Image.fromarray(pixels))
    assert np.array_equal(result, np.moveaxis(pixels, 2, 0))


def test_bgr_reverses_the_channels_before_mean_and_std_apply() -> None:
    pixels = random_pixels(4, 5)
    preprocess = ImagePreprocess(channel_order="bgr", mean=[1.0, 2.0, 3.0])
    result = preprocess.normalize(preprocess.pixels(Image.fromarray(pixels)))
    assert np.array_equal(result[0], pixels[:, :, 2].astype(np.float32) - 1)
    assert np.array_equal(result[2], pixels[:, :, 0].astype(np.float32) - 3)


@pytest.mark.parametrize(
    ("size", "resize", "expected"),
    [
        pytest.param((30, 20), 10, (15, 10), id="wide: short side is the height"),
        pytest.param((20, 30), 10, (10, 15), id="tall: short side is the width"),
        pytest.param((20, 20), 10, (10, 10), id="square"),
        pytest.param((10, 7), 14, (20, 14), id="enlarged"),
        pytest.param((500, 333), 256, (384, 256), id="rounded"),
        pytest.param((30, 20), [7, 9], (9, 7), id="height and width"),
    ],
)
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear", "nearest"])
def test_resize_is_pillows_at_the_expected_size(
    size: tuple[int, int], resize: int | list[int], expected: tuple[int, int], interpolation: str
) -> None:
    image = Image.fromarray(random_pixels(size[1], size[0]))
    result = ImagePreprocess(resize=resize, interpolation=interpolation).pixels(image)
    wanted = image.resize(expected, getattr(Image.Resampling, interpolation.upper()))
    assert np.array_equal(result, np.moveaxis(np.asarray(wanted), 2, 0))


@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 8), (8, 11), (13, 10)])
def test_crop_takes_the_middle(height: int, width: int) -> None:
    pixels = random_pixels(height, width)
    result = ImagePreprocess(crop=6).pixels(Image.fromarray(pixels))
    top, left = (height - 6) // 2, (width - 6) // 2
    assert np.array_equal(result, np.moveaxis(pixels[top : top + 6, left : left + 6], 2, 0))


def test_crop_comes_after_resize() -> None:
    image = Image.fromarray(random_pixels(20, 40))
    result = ImagePreprocess(resize=10, crop=10).pixels(image)
    wanted = np.asarray(image.resize((20, 10), Image.Resampling.BICUBIC))[:, 5:15]
    assert np.array_equal(result, np.moveaxis(wanted, 2, 0))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1"])
def test_other_colour_modes_become_three_channels(mode: str) -> None:
    image = Image.fromarray(random_pixels(6, 5)).convert(mode)
    assert np.array_equal(ImagePreprocess().pixels(image), np.moveaxis(np.asarray(image.convert("RGB")), 2, 0))


def test_crop_larger_than_the_image_is_refused_with_both_sizes() -> None:
    with pytest.raises(DatasetError, match=r"the image has 9x5 pixels, less than dataset\.preprocess\.crop=6"):
        ImagePreprocess(crop=6).pixels(Image.fromarray(random_pixels(5, 9)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resize": [1, 2, 3]}, r"resize: expected a number or \[height, width\], got \[1, 2, 3\]"),
        ({"resize": 0}, r"resize: expected a number or \[height, width\], got 0"),
        ({"resize": [8, -1]}, r"resize: expected a number or \[height, width\], got \[8, -1\]"),
        ({"crop": 0}, r"crop: expected 1 or more, got 0"),
        ({"mean": [1.0, 2.0]}, r"mean: expected one number or three \(RGB\), got 2"),
        ({"std": [1.0, 2.0, 3.0, 4.0]}, r"std: expected one number or three \(RGB\), got 4"),
        ({"std": 0.0}, r"std: expected no zero, got 0\.0"),
        ({"std": [1.0, 0.0, 1.0]}, r"std: expected no zero, got \[1\.0, 0\.0, 1\.0\]"),
        ({"channel_order": "BGR"}, r"channel_order: expected rgb or bgr, got BGR"),
        ({"interpolation": "cubic"}, r"interpolation: expected bicubic, bilinear, nearest or opencv, got cubic"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_impossible_image_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=r"dataset\.preprocess\." + message):
        ImagePreprocess(**options)


def test_array_is_kept_as_stored_by_default() -> None:
    array = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    assert np.array_equal(ArrayPreprocess()(array), array)


def test_nhwc_moves_the_last_axis_first_and_mean_follows_the_channels() -> None:
    array = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    result = ArrayPreprocess(layout="nhwc", mean=[1.0, 2.0, 3.0])(array)
    assert result.dtype == np.float32 and result.flags["C_CONTIGUOUS"]
    for channel in range(3):
        assert np.array_equal(result[channel], array[:, :, channel].astype(np.float32) - np.float32(channel + 1))


def test_values_per_channel_apply_to_a_vector_of_features() -> None:
    result = ArrayPreprocess(mean=[1.0, 2.0], std=[2.0, 4.0])(np.array([5, 10]))
    assert result.tolist() == [2.0, 2.0]


def test_as_many_values_as_channels_are_expected() -> None:
    with pytest.raises(ConfigError, match=r"dataset\.preprocess\.mean: .*one a channel \(2\), got 3"):
        ArrayPreprocess(mean=[1.0, 2.0, 3.0])(np.zeros((2, 4, 4)))


def test_unknown_layout_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"dataset\.preprocess\.layout: expected nchw or nhwc, got NHWC"):
        ArrayPreprocess(layout="NHWC")


@pytest.mark.parametrize(
    "change",
    [
        {"resize": 9},
        {"resize": [9, 9]},
        {"crop": 4},
        {"channel_order": "bgr"},
        {"interpolation": "nearest"},
        {"scale": 0.5},
        {"mean": 1.0},
        {"std": [1.0, 1.0, 2.0]},
    ],
    ids=str,
)
def test_each_image_option_is_part_of_the_settings(change: dict) -> None:
    assert ImagePreprocess(**change).settings() != ImagePreprocess().settings()


@pytest.mark.parametrize("change", [{"layout": "nhwc"}, {"scale": 0.5}, {"mean": 1.0}, {"std": 2.0}], ids=str)
def test_each_array_option_is_part_of_the_settings(change: dict) -> None:
    assert ArrayPreprocess(**change).settings() != ArrayPreprocess().settings()
