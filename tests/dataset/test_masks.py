"""Masks: the numbers that files hold, which image is whose, where a mask lies in the input."""

from __future__ import annotations

import io
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from runner.dataset.masks import MasksDataset
from runner.dataset.open_image import open_indices
from runner.dataset.preprocess import ImagePreprocess
from runner.dataset.truth import ClassMap, ClassNames
from runner.errors import DatasetError
from tests.data import random_pixels, write_image

NUMBERS = np.array([[0, 1, 20], [255, 7, 7]], np.uint8)


def encoded(image: Image.Image, form: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def palette(numbers, colours=None) -> Image.Image:
    image = Image.fromarray(np.asarray(numbers, np.uint8), "L").convert("L")
    image = image.copy()
    image.putpalette(
        np.random.default_rng(0).integers(0, 256, 768).astype(np.uint8).tobytes() if colours is None else colours
    )
    return image


def folders(tmp_path: Path, names=("a", "b"), size=(2, 3)) -> tuple[str, str]:
    images, masks = tmp_path / "images", tmp_path / "masks"
    for folder in (images, masks):
        folder.mkdir(exist_ok=True)
    for seed, name in enumerate(names):
        write_image(images / f"{name}.bmp", random_pixels(*size, seed))
        (masks / f"{name}.png").write_bytes(encoded(Image.fromarray(NUMBERS)))
    return str(images), str(masks)


@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP"])
def test_indices_of_a_palette_are_the_classes_and_not_its_colours(form) -> None:
    image = palette(NUMBERS)
    assert image.mode == "P"
    assert open_indices(encoded(image, form), "m").tolist() == NUMBERS.tolist()


def test_palette_of_few_bits_and_with_a_transparent_entry() -> None:
    few = np.array([[0, 1, 3], [2, 1, 0]], np.uint8)
    for options in ({"bits": 2}, {"bits": 4}, {"transparency": 1}):
        assert open_indices(encoded(palette(few), **options), "m").tolist() == few.tolist()


@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP"])
def test_gray_values_are_the_classes(form) -> None:
    assert open_indices(encoded(Image.fromarray(NUMBERS), form), "m").tolist() == NUMBERS.tolist()


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_gray_of_16_bits_keeps_its_numbers(form) -> None:
    wide = np.array([[0, 257, 26000], [65535, 7, 1]], np.uint16)
    read = open_indices(encoded(Image.fromarray(wide), form), "m")
    assert read.dtype == np.uint16 and read.tolist() == wide.tolist()


@pytest.mark.parametrize(("bits", "numbers"), [(1, [[0, 1], [1, 0]]), (2, [[0, 3], [1, 2]]), (4, [[0, 15], [7, 2]])])
def test_gray_of_few_bits_is_not_spread_over_a_byte(bits, numbers) -> None:
    assert open_indices(gray_png(bits, numbers), "m").tolist() == numbers


def gray_png(bits: int, numbers: list[list[int]]) -> bytes:
    """Return a PNG of few gray bits, byte by byte, as Pillow writes none."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    width = len(numbers[0])
    rows = b""
    for row in numbers:
        packed = 0
        for number in row:
            packed = packed << bits | number
        length = (width * bits + 7) // 8
        rows += b"\0" + (packed << (length * 8 - width * bits)).to_bytes(length, "big")
    head = struct.pack(">IIBBBBB", width, len(numbers), bits, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_whole_numbers_of_32_bits_within_16_are_taken_and_others_refused() -> None:
    image = Image.fromarray(np.array([[0, 40000]], np.int32))
    assert open_indices(encoded(image, "TIFF"), "m").tolist() == [[0, 40000]]
    for wrong in (-1, 70000):
        image = Image.fromarray(np.array([[0, wrong]], np.int32))
        with pytest.raises(DatasetError, match=rf"^m holds numbers from .*{wrong}.*; expected classes of 0 to 65535"):
            open_indices(encoded(image, "TIFF"), "m")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            encoded(Image.new("RGB", (2, 2))),
            r"^m holds colours \(RGB\), where the number of a pixel's class was expected.*as gray PNG",
        ),
        (encoded(Image.new("RGBA", (2, 2))), r"colours \(RGBA\)"),
        (encoded(Image.new("LA", (2, 2))), r"colours \(LA\)"),
        (encoded(Image.new("F", (2, 2)), "TIFF"), "m holds floats"),
        (
            encoded(Image.new("L", (2, 2)), "JPEG"),
            "m is JPEG, which does not keep the numbers of classes.*expected a mask as PNG",
        ),
        (encoded(Image.new("L", (2, 2)), "PPM"), "m is PPM"),
        (b"", "m cannot be read as an image: it has 0 bytes"),
        (encoded(Image.new("L", (99, 99)))[:50], "m cannot be read as an image"),
    ],
)
def test_what_is_no_mask_is_refused(source, message) -> None:
    with pytest.raises(DatasetError, match=message):
        open_indices(source, "m")


def test_an_item_is_a_mask_with_its_image(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    images, masks = folders(tmp_path)
    write_image(tmp_path / "images" / "c.bmp", random_pixels(2, 3, 9))
    (tmp_path / "masks" / "._a.png").write_bytes(b"of a system")
    with caplog.at_level(logging.INFO, logger="runner"):
        data = MasksDataset(images, masks)
    assert "1 of 3 images have no mask" in caplog.text
    assert (len(data), data.name(1), data.describe()) == (2, "b.bmp", tmp_path.name)
    item = data.item(0)
    assert next(iter(item.arrays.values())).tolist() == random_pixels(2, 3, 0).transpose(2, 0, 1).tolist()
    truth = item.label
    assert isinstance(truth, ClassMap) and isinstance(data, ClassNames) and data.class_names == ()
    assert truth.classes.tolist() == NUMBERS.tolist() and truth.ignore == 255
    assert truth.content != data.label(0).__class__(truth.classes + np.uint8(1), 255, truth.frame).content


def test_masks_in_folders_belong_to_the_images_in_the_same_folders(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        folders(tmp_path / folder, names=("a",))
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
        for folder in ("x", "y"):
            (tmp_path / folder / kind).rename(tmp_path / kind / folder)
    data = MasksDataset(str(tmp_path / "images"), str(tmp_path / "masks"))
    assert [data.name(index) for index in range(2)] == ["x/a.bmp", "y/a.bmp"]


def test_mask_lies_where_its_photo_does_whatever_its_size(tmp_path: Path) -> None:
    images, masks = folders(tmp_path, names=("a",), size=(8, 6))
    data = MasksDataset(images, masks, preprocess=ImagePreprocess(resize=[4, 12], crop=4))
    frame = data.label(0).frame
    # A mask of 2x3 over a photo of 8x6, resized to 4x12, of which columns 4 to 8 are taken.
    assert (frame.photo, frame.taken, frame.scale, frame.offset) == ((2, 3), (4, 4), (2.0, 4.0), (0.0, -4.0))
    rows, columns = frame.cells((4, 4))
    assert rows.tolist() == [1, 3] and columns.tolist() == [-1, 2, -1]


def test_classes_have_names_from_a_list_or_a_file(tmp_path: Path) -> None:
    images, masks = folders(tmp_path)
    names = [f"class {number}" for number in range(21)]
    (tmp_path / "names.txt").write_text("\n".join(names))
    for given in (names, str(tmp_path / "names.txt")):
        data = MasksDataset(images, masks, classes=given)
        assert data.class_names == tuple(names) and data.label(0).classes.max() == 255
    with pytest.raises(
        DatasetError,
        match=r"masks.*a\.png holds class 20; expected 0 to 2, .*dataset.classes.*, or 255, dataset.ignore",
    ):
        MasksDataset(images, masks, classes=names[:3]).label(0)
    with pytest.raises(DatasetError, match="holds class 255; expected 0 to 20"):
        MasksDataset(images, masks, classes=names, ignore=None).label(0)
    with pytest.raises(DatasetError, match=r"dataset.classes: .*none\.txt cannot be read"):
        MasksDataset(images, masks, classes=str(tmp_path / "none.txt"))


def test_folders_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    images, masks = folders(tmp_path)
    for arguments, message in (
        ((images, str(tmp_path / "no")), r"dataset.masks: .*no is no folder; expected the folder that holds the masks"),
        (
            (str(tmp_path / "no"), masks),
            r"dataset.images: .*no is no folder; expected the folder that holds the images",
        ),
        ((images, images), "dataset.masks: .* holds the photos too; expected a folder of its own"),
    ):
        with pytest.raises(DatasetError, match=message):
            MasksDataset(*arguments)
    (tmp_path / "masks" / "extra.png").write_bytes(encoded(Image.fromarray(NUMBERS)))
    with pytest.raises(
        DatasetError, match=r"1 of 3 masks have no image of the same name in .*: extra\.png\. Remove them"
    ):
        MasksDataset(images, masks)
    (tmp_path / "masks" / "extra.png").unlink()
    (tmp_path / "masks" / "a.tif").write_bytes(encoded(Image.fromarray(NUMBERS), "TIFF"))
    with pytest.raises(DatasetError, match="several masks of one image"):
        MasksDataset(images, masks)
    (tmp_path / "masks" / "a.tif").unlink()
    write_image(tmp_path / "images" / "b.png", random_pixels(2, 3))
    with pytest.raises(DatasetError, match=r"holds 2 images called b for the mask b\.png; expected one"):
        MasksDataset(images, masks)


def test_mask_that_lies_on_its_side_is_refused(tmp_path: Path) -> None:
    images, masks = folders(tmp_path, size=(3, 2))
    with pytest.raises(
        DatasetError, match=r"a\.png has 3x2 pixels, its photo 2x3, so one of them lies on its side.*preprocess.exif"
    ):
        MasksDataset(images, masks).label(0)


def test_mask_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    images, masks = folders(tmp_path)
    (tmp_path / "masks" / "b.png").write_bytes(encoded(Image.new("RGB", (3, 2))))
    with pytest.raises(DatasetError, match=r"dataset.masks: .*b\.png holds colours"):
        MasksDataset(images, masks).label(1)
