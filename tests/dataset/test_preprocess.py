"""Pixels to numbers: the formula bit for bit, geometry against Pillow."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from runner.dataset.geometry import Letterbox, opencv_bilinear
from runner.dataset.preprocess import ArrayPreprocess, ImagePreprocess, Normalize
from runner.errors import ConfigError, DatasetError
from runner.session import InputSpec
from tests.data import random_pixels

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
        {"channels": "gray"},
        {"layout": "nhwc"},
        {"rounding": "torchvision"},
        {"letterbox": Letterbox([8, 8])},
    ],
    ids=str,
)
def test_each_image_option_is_part_of_the_settings(change: dict) -> None:
    assert ImagePreprocess(**change).settings() != ImagePreprocess().settings()


@pytest.mark.parametrize("change", [{"layout": "nhwc"}, {"scale": 0.5}, {"mean": 1.0}, {"std": 2.0}], ids=str)
def test_each_array_option_is_part_of_the_settings(change: dict) -> None:
    assert ArrayPreprocess(**change).settings() != ArrayPreprocess().settings()


def test_gray_is_pillows_luma_and_has_one_channel() -> None:
    image = Image.fromarray(random_pixels(20, 30))
    preprocess = ImagePreprocess(channels="gray", resize=[10, 12], scale=0.5, mean=[3.0], std=2.0)
    pixels = preprocess.pixels(image)
    wanted = np.asarray(image.convert("L").resize((12, 10), Image.Resampling.BICUBIC))
    assert pixels.shape == (1, 10, 12) and np.array_equal(pixels[0], wanted)
    result = preprocess.normalize(pixels)
    assert result.dtype == np.float32 and np.array_equal(
        result[0], (wanted.astype(np.float32) * np.float32(0.5) - 3) / 2
    )


@pytest.mark.parametrize("channels", ["rgb", "bgr", "gray"])
@pytest.mark.parametrize("interpolation", ["bilinear", "opencv"])
def test_channels_last_hold_the_same_numbers(channels: str, interpolation: str) -> None:
    image = Image.fromarray(random_pixels(9, 14))
    options = {"resize": [5, 6], "interpolation": interpolation, "channels": channels}
    options |= {"mean": [1.0]} if channels == "gray" else {"mean": [1.0, 2.0, 3.0]}
    first, last = ImagePreprocess(**options), ImagePreprocess(**options, layout="nhwc")
    result = last.normalize(last.pixels(image))
    assert result.flags["C_CONTIGUOUS"]
    assert np.array_equal(result, first.normalize(first.pixels(image)).transpose(1, 2, 0))


def test_channels_is_the_new_name_of_channel_order() -> None:
    old, new = ImagePreprocess(channel_order="bgr"), ImagePreprocess(channels="bgr")
    image = Image.fromarray(random_pixels(4, 5))
    assert old.settings() == new.settings() and np.array_equal(old.pixels(image), new.pixels(image))
    # What is kept and recorded of today's data stays valid.
    assert ImagePreprocess().settings() == [None, None, "rgb", "bicubic", 1.0, 0.0, 1.0]


# cv2.resize of OpenCV 5.0.0 on these five rows of four.
OPENCV_SOURCE = [[67, 37, 18, 118], [11, 131, 86, 78], [21, 186, 69, 82], [90, 92, 57, 249], [101, 40, 104, 137]]
OPENCV_RESULTS = [
    [[48, 58, 64, 45, 73, 105], [21, 104, 167, 88, 76, 82], [97, 77, 62, 83, 131, 174]],
    [
        *[[62, 27, 101], [52, 54, 94], [34, 99, 82], [39, 117, 79], [48, 128, 80]],
        *[[72, 98, 156], [90, 74, 207], [91, 73, 160], [91, 72, 131]],
    ],
]


@pytest.mark.parametrize("expected", OPENCV_RESULTS, ids=["wider and lower", "narrower and higher"])
def test_opencvs_filter_gives_opencvs_bytes(expected: list[list[int]]) -> None:
    image = Image.fromarray(np.array(OPENCV_SOURCE, np.uint8))
    size = [len(expected), len(expected[0])]
    gray = ImagePreprocess(channels="gray", resize=size, interpolation="opencv").pixels(image)
    assert gray[0].tolist() == expected
    colour = ImagePreprocess(resize=size, interpolation="opencv").pixels(image)
    assert all(plane.tolist() == expected for plane in colour)


def test_opencvs_filter_leaves_an_image_of_the_size_alone() -> None:
    pixels = random_pixels(7, 5)
    assert np.array_equal(opencv_bilinear(pixels, (7, 5)), pixels)


@pytest.mark.parametrize(
    ("image", "place", "size", "corner"),
    [
        pytest.param((30, 40), "center", (30, 40), (5, 0), id="as large as it is, two bars"),
        pytest.param((80, 40), "center", (40, 20), (0, 10), id="halved, bars at the sides"),
        pytest.param((31, 40), "center", (31, 40), (4, 0), id="odd rest: the smaller bar is above"),
        pytest.param((10, 13), "center", (31, 40), (4, 0), id="enlarged, rounded"),
        pytest.param((10, 13), "corner", (30, 40), (0, 0), id="enlarged, cut"),
        pytest.param((80, 40), "corner", (40, 20), (0, 0), id="halved, in the corner"),
        pytest.param((1000, 1), "corner", (40, 1), (0, 0), id="never nothing"),
    ],
)
def test_letterbox_holds_the_whole_image(
    image: tuple[int, int], place: str, size: tuple[int, int], corner: tuple[int, int]
) -> None:
    source = Image.fromarray(random_pixels(*image))
    preprocess = ImagePreprocess(letterbox=Letterbox([40, 40], place, 7), interpolation="bilinear")
    result = preprocess.pixels(source)
    wanted = np.full((3, 40, 40), 7, np.uint8)
    (top, left), (height, width) = corner, size
    resized = np.asarray(source.resize((width, height), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    wanted[:, top : top + height, left : left + width] = resized
    assert np.array_equal(result, wanted)


@pytest.mark.parametrize(
    ("shape", "asked", "order", "layout", "said"),
    [
        ((None, 3, 8, 8), {}, "rgb", "nchw", []),
        ((None, 1, 28, 28), {}, "gray", "nchw", ["channels=gray"]),
        ((1, 224, 224, 3), {}, "rgb", "nhwc", ["layout=nhwc"]),
        ((None, None, None, 3), {}, "rgb", "nhwc", ["layout=nhwc"]),
        ((None, 28, 28, 1), {}, "gray", "nhwc", ["channels=gray", "layout=nhwc"]),
        ((None, 28, 28, 1), {"channels": "gray"}, "gray", "nhwc", ["layout=nhwc"]),
        ((None, 3, 32, 1), {}, "rgb", "nchw", []),
        ((None, 3, 8, 3), {}, "rgb", "nchw", []),
        ((None, 1, 8, 3), {}, "gray", "nchw", ["channels=gray"]),
        ((None, 1, 8, 3), {"mean": [1.0, 2.0, 3.0]}, "rgb", "nhwc", ["layout=nhwc"]),
        ((None, 3, 8, 3), {"layout": "nhwc"}, "rgb", "nhwc", []),
        ((None, None, None, None), {}, "rgb", "nchw", []),
        ((None, 224, 224, 3), {"channel_order": "bgr"}, "bgr", "nhwc", ["layout=nhwc"]),
        ((None, 784), {}, "rgb", None, []),
    ],
)
def test_what_is_left_open_is_settled_by_the_models_input(
    shape: tuple, asked: dict, order: str, layout: str | None, said: list[str]
) -> None:
    preprocess, chosen = ImagePreprocess(**asked).fitted(InputSpec("x", shape, np.dtype(np.float32)))
    assert (preprocess.order, preprocess.layout) == (order, layout)
    assert [sentence.removeprefix("dataset.preprocess.").partition(",")[0] for sentence in chosen] == said
    for sentence in chosen:
        assert "as the model input 'x' takes " in sentence


@pytest.mark.parametrize(
    ("shape", "asked", "message"),
    [
        (
            (None, 1, 28, 28),
            {"channels": "rgb"},
            "dataset.preprocess: images have 3 channels, first, but the model input 'x' takes 1x28x28. "
            "Set dataset.preprocess.channels=gray, with one number as mean and std.",
        ),
        (
            (None, 1, 28, 28),
            {"mean": [1.0, 2.0, 3.0]},
            "dataset.preprocess: images have 3 channels, first, but the model input 'x' takes 1x28x28. "
            "Set dataset.preprocess.channels=gray, with one number as mean and std.",
        ),
        (
            (None, 8, 8, 3),
            {"layout": "nchw"},
            "dataset.preprocess: images have 3 or 1 channels, first, but the model input 'x' takes 8x8x3. "
            "Set dataset.preprocess.layout=nhwc.",
        ),
        (
            (None, 3, 8, 8),
            {"layout": "nhwc", "channels": "bgr"},
            "dataset.preprocess: images have 3 channels, last, but the model input 'x' takes 3x8x8. "
            "Set dataset.preprocess.layout=nchw.",
        ),
        (
            (None, 3, 8, 8),
            {"channels": "gray"},
            "dataset.preprocess: images have 1 channels, first, but the model input 'x' takes 3x8x8. "
            "Set dataset.preprocess.channels=rgb (or bgr).",
        ),
        (
            (None, 12, 8, 8),
            {},
            "dataset.preprocess: images have 3 or 1 channels, first, but the model input 'x' takes 12x8x8, which is no image "
            "of 1 or 3 channels. Give arrays instead: dataset=npz or dataset=npy.",
        ),
    ],
    ids=["gray model", "gray model, three means", "channels last", "channels first", "colour model", "twelve channels"],
)
def test_model_of_other_channels_names_the_option(shape: tuple, asked: dict, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        ImagePreprocess(**asked).fitted(InputSpec("x", shape, np.dtype(np.float32)))
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ImagePreprocess(channels="grey"), r"channels: expected rgb, bgr or gray, got grey"),
        (lambda: ImagePreprocess(layout="hwc"), r"layout: expected nchw or nhwc, got hwc"),
        (lambda: ImagePreprocess(rounding="up"), r"rounding: expected nearest or torchvision, got up"),
        (lambda: ImagePreprocess(channels="gray", mean=[1.0] * 3), r"mean: expected one number \(gray\), got 3"),
        (lambda: ImagePreprocess(channels="rgb", std=[1.0]), r"std: expected one number or three \(RGB\), got 1"),
        (
            lambda: ImagePreprocess(channels="rgb", channel_order="bgr"),
            r"channels: expected one of channels=rgb and channel_order=bgr, an older name of it; got both",
        ),
        (lambda: ImagePreprocess(resize=8, letterbox=Letterbox([8, 8])), r"letterbox: expected no resize and no crop"),
        (lambda: Letterbox([8]), r"letterbox\.size: expected \[height, width\], got \[8\]"),
        (lambda: Letterbox([8, 0]), r"letterbox\.size: expected \[height, width\], got \[8, 0\]"),
        (lambda: Letterbox([8, 8], "left"), r"letterbox\.place: expected center or corner, got left"),
        (lambda: Letterbox([8, 8], value=256), r"letterbox\.value: expected 0 to 255, got 256"),
    ],
    ids=range(11),
)
def test_options_that_contradict_one_another_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=r"dataset\.preprocess\." + message):
        make()


@pytest.mark.parametrize(
    ("shape", "size", "told"),
    [
        ((1, 3, 416, 320), (416, 320), ["[416,320], as the model input 'images' takes 3x416x320"]),
        ((None, 416, 416, 3), (416, 416), ["layout=nhwc", "[416,416], as the model input 'images' takes 416x416x3"]),
        ((None, 3, None, None), (640, 640), []),
        ((1, 3, 640, 640), (640, 640), []),
    ],
    ids=["fixed", "channels last", "open", "usual"],
)
def test_letterbox_without_a_size_gets_the_models(
    shape: tuple[int | None, ...], size: tuple[int, int], told: list[str]
) -> None:
    asked = ImagePreprocess(letterbox=Letterbox())
    fitted, chosen = asked.fitted(InputSpec("images", shape, np.dtype(np.float32)))
    photo = Image.fromarray(np.zeros((30, 60, 3), np.uint8))
    assert fitted.pixels(photo).shape == (3, *size) and fitted.frame((30, 60)).taken == size
    assert len(chosen) == len(told) and all(part in said for part, said in zip(told, chosen, strict=True))
    given = ImagePreprocess(letterbox=Letterbox([64, 32]))
    assert given.fitted(InputSpec("images", shape, np.dtype(np.float32)))[0].frame((30, 60)).taken == (64, 32)
