"""Presets of preprocessing on every dataset of images, against the formulas of the projects that they are named after."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hydra.core.global_hydra import GlobalHydra
from numpy.typing import NDArray
from PIL import Image

from runner.dataset.preprocess import ImagePreprocess
from runner.session import InputSpec
from tests.app.conftest import Command
from tests.app.test_compose import composed, job
from tests.data import random_pixels

Pixels = NDArray[np.uint8]
# Wide, tall, square; sides of which halves and cut fractions are hard to get right.
SIZES = [(333, 500), (427, 285), (256, 256), (301, 640)]
CONF = Path(__file__).resolve().parents[2] / "conf" / "dataset" / "preprocess"


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    GlobalHydra.instance().clear()
    yield
    GlobalHydra.instance().clear()


def torchvision(pixels: Pixels) -> NDArray:
    """torchvision/transforms/_presets.py ImageClassification, functional.py: resize 256, center_crop 224, normalize."""
    height, width = pixels.shape[:2]
    short, long = sorted((height, width))
    other = int(256 * long / short)
    image = Image.fromarray(pixels).resize((256, other) if width <= height else (other, 256), Image.Resampling.BILINEAR)
    top, left = round((image.height - 224) / 2.0), round((image.width - 224) / 2.0)
    x = np.asarray(image.crop((left, top, left + 224, top + 224))).transpose(2, 0, 1) / 255
    return (x - np.reshape([0.485, 0.456, 0.406], (3, 1, 1))) / np.reshape([0.229, 0.224, 0.225], (3, 1, 1))


def keras_tf(pixels: Pixels) -> NDArray:
    """keras/src/applications/imagenet_utils.py, mode tf."""
    return pixels.transpose(2, 0, 1) / 127.5 - 1.0


def keras_caffe(pixels: Pixels) -> NDArray:
    """The same file, mode caffe."""
    return pixels[..., ::-1].transpose(2, 0, 1) - np.reshape([103.939, 116.779, 123.68], (3, 1, 1))


def bilinear(pixels: Pixels, height: int, width: int) -> NDArray:
    """What cv2.INTER_LINEAR computes, in real numbers: half-pixel centres, two neighbours, the edge repeated."""

    def weights(source: int, target: int) -> NDArray:
        place = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
        return np.maximum(0, 1 - np.abs(place[:, None] - np.arange(source)))

    return np.einsum(
        "ih,hwc,jw->ijc", weights(pixels.shape[0], height), pixels, weights(pixels.shape[1], width), optimize=True
    )


def yolox(pixels: Pixels) -> NDArray:
    """yolox/data/data_augment.py preproc, on what cv2.imread gives."""
    image = pixels[..., ::-1]
    padded = np.ones((640, 640, 3)) * 114
    r = min(640 / image.shape[0], 640 / image.shape[1])
    height, width = int(image.shape[0] * r), int(image.shape[1] * r)
    padded[:height, :width] = bilinear(image, height, width)
    return padded.transpose(2, 0, 1)


def ultralytics(pixels: Pixels) -> NDArray:
    """ultralytics/data/augment.py LetterBox(auto=False, center=True), then BGR to RGB and / 255."""
    r = min(640 / pixels.shape[0], 640 / pixels.shape[1])
    width, height = round(pixels.shape[1] * r), round(pixels.shape[0] * r)
    dw, dh = (640 - width) / 2, (640 - height) / 2
    top, left = round(dh - 0.1), round(dw - 0.1)
    padded = np.full((top + height + round(dh + 0.1), left + width + round(dw + 0.1), 3), 114.0)
    padded[top : top + height, left : left + width] = bilinear(pixels, height, width)
    return padded.transpose(2, 0, 1) / 255


# Of OpenCV's fixed point a level at most is lost; else a rounding of float32.
FORMULAS: dict[str, tuple[Callable[[Pixels], NDArray], float]] = {
    "raw": (lambda pixels: pixels.transpose(2, 0, 1), 0),
    "imagenet": (torchvision, 1e-5),
    "tf": (keras_tf, 1e-6),
    "caffe": (keras_caffe, 1e-5),
    "yolox": (yolox, 1.0),
    "ultralytics": (ultralytics, 1.0 / 255),
}


def png(pixels: Pixels) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Pixels]]:
    folder = tmp_path_factory.mktemp("photos")
    pixels = [random_pixels(*size, seed=number) for number, size in enumerate(SIZES)]
    for kind in ("flat", "tree/a"):
        (folder / kind).mkdir(parents=True)
        for number, image in enumerate(pixels):
            (folder / kind / f"{number}.png").write_bytes(png(image))
    table = {"image": [png(image) for image in pixels], "label": [0] * len(pixels)}
    pq.write_table(pa.table(table), folder / "photos.parquet")
    return folder, pixels


DATASETS = {
    "image_folder": lambda folder: ["dataset=image_folder", f"dataset.images={folder}/flat"],
    "class_tree": lambda folder: ["dataset=class_tree", f"dataset.images={folder}/tree"],
    "parquet": lambda folder: ["dataset=parquet", f"dataset.path={folder}/photos.parquet"],
}


def test_every_preset_has_its_formula() -> None:
    assert sorted(FORMULAS) == sorted(path.stem for path in CONF.glob("*.yaml"))


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("preset", FORMULAS)
def test_preset_gives_the_projects_numbers(preset: str, dataset: str, photos: tuple[Path, list[Pixels]]) -> None:
    folder, pixels = photos
    mode = "acc_auto" if dataset == "image_folder" else "convert_qat"
    built = job(f"mode={mode}", *DATASETS[dataset](folder), f"dataset/preprocess={preset}").dataset
    formula, close = FORMULAS[preset]
    # One image a composition where the formula is the same for all; every size meets every preset on one dataset.
    for index in range(len(pixels)) if dataset == "image_folder" else (1,):
        (got,) = built.item(index).arrays.values()
        expected = formula(pixels[index])
        assert got.shape == expected.shape and got.dtype == np.float32
        difference = np.abs(got - expected)
        assert difference.max() <= close * 1.01, (index, difference.max())
        if preset in ("yolox", "ultralytics"):
            assert difference.mean() < close / 2.5  # and on the average no more than rounding to whole levels costs


@pytest.mark.parametrize("preset", FORMULAS)
def test_channels_last_are_the_same_numbers(preset: str, photos: tuple[Path, list[Pixels]]) -> None:
    line = [*DATASETS["image_folder"](photos[0]), f"dataset/preprocess={preset}"]
    first, last = (job(*line, f"dataset.preprocess.layout={layout}").dataset for layout in ("nchw", "nhwc"))
    (a,), (b,) = (built.item(0).arrays.values() for built in (first, last))
    assert b.shape[2] == 3 and np.array_equal(a.transpose(1, 2, 0), b)
    assert first.fingerprint(0) != last.fingerprint(0)


def test_single_option_beside_a_preset_wins(photos: tuple[Path, list[Pixels]]) -> None:
    line = DATASETS["class_tree"](photos[0])
    for order in (["dataset/preprocess=yolox", "dataset.preprocess.letterbox.size=[416,320]"], None):
        built = job(*line, *(order or ["dataset.preprocess.letterbox.size=[416,320]", "dataset/preprocess=yolox"]))
        assert built.dataset.item(0).arrays[""].shape == (3, 416, 320)
    caffe = composed(*line, "dataset/preprocess=caffe", "dataset.preprocess.resize=[224,224]")["dataset"]["preprocess"]
    assert (caffe["resize"], caffe["channels"], caffe["mean"]) == ([224, 224], "bgr", [103.939, 116.779, 123.68])


def test_raw_is_what_stands_without_a_preset(photos: tuple[Path, list[Pixels]]) -> None:
    for line in DATASETS.values():
        assert composed(*line(photos[0])) == composed(*line(photos[0]), "dataset/preprocess=raw")
    assert job(*DATASETS["image_folder"](photos[0])).dataset.preprocess == ImagePreprocess()


def test_calibration_data_has_a_preset_of_its_own(photos: tuple[Path, list[Pixels]]) -> None:
    built = job(
        *DATASETS["parquet"](photos[0]),
        *["+dataset@calibration.dataset=image_folder", f"calibration.dataset.images={photos[0]}/flat"],
        "dataset/preprocess@calibration.dataset.preprocess=tf",
    )
    assert built.calibration.dataset.preprocess.mean == 1.0 and built.dataset.preprocess.mean == 0.0


@pytest.mark.parametrize("dataset", ["npz", "npy", "bin"])
def test_data_that_takes_no_preset_says_so(dataset: str, run: Command) -> None:
    ended = run(f"dataset={dataset}", "dataset/preprocess=imagenet")
    assert ended.status == 2 and "presets are for images: dataset=image_folder, class_tree or parquet" in ended.err


def test_shipped_images_take_a_preset_and_single_options_like_others() -> None:
    assert job("dataset=digits").dataset.preprocess == job("dataset=digits", "dataset/preprocess=tf").dataset.preprocess
    assert job("dataset=digits", "dataset/preprocess=raw").dataset.preprocess.scale == 1.0
    assert job("dataset=digits", "dataset.preprocess.resize=48").dataset.preprocess.resize == 48


def test_unknown_preset_is_refused_with_the_nearest(run: Command) -> None:
    ended = run("dataset=image_folder", "dataset.images=x", "dataset/preprocess=imagnet")
    assert ended.status == 2 and "Did you mean dataset/preprocess=imagenet?" in ended.err
    assert "Available: caffe, imagenet, raw, tf, ultralytics, yolox." in ended.err


def test_model_of_another_layout_is_met_by_every_preset(photos: tuple[Path, list[Pixels]]) -> None:
    spec = InputSpec("image", (None, 224, 224, 3), np.dtype(np.float32))
    for preset in FORMULAS:
        built = job(*DATASETS["parquet"](photos[0]), f"dataset/preprocess={preset}").dataset
        takes = "as the model input 'image' takes 224x224x3"
        size = [f"dataset.preprocess.letterbox.size=[224,224], {takes}"] if preset in ("yolox", "ultralytics") else []
        assert built.fit_to([spec]) == [f"dataset.preprocess.layout=nhwc, {takes}", *size]
        assert built.item(0).arrays[""].shape[2] == 3
