"""Image folders: which images, in which order, and which one is at fault."""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from runner.dataset.image_folder import ImageFolder
from runner.dataset.item import ONLY_INPUT, dataset_fingerprint
from runner.dataset.preprocess import ImagePreprocess
from runner.errors import DatasetError
from tests.data import random_pixels, write_image


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with three images whose names do not sort like their labels."""
    folder = tmp_path / "images"
    folder.mkdir()
    for seed, name in enumerate(["c.png", "a.png", "my b.png"]):
        write_image(folder / name, random_pixels(8, 6, seed))
    (tmp_path / "labels.txt").write_text("c.png 2\na.png 0\nmy b.png 1\n")
    return folder


def labelled(images: Path, **options: object) -> ImageFolder:
    return ImageFolder(str(images), str(images.parent / "labels.txt"), ImagePreprocess(**options))


def test_labelled_images_come_in_the_label_files_order(images: Path) -> None:
    data = labelled(images)
    assert len(data) == 3
    assert [(data.name(i), data.label(i)) for i in range(3)] == [("c.png", 2), ("a.png", 0), ("my b.png", 1)]
    assert data.describe() == "images"


def test_unlabelled_images_come_sorted_by_name_without_other_files(images: Path) -> None:
    (images / "notes.txt").write_text("no image")
    (images / "folder.png").mkdir()
    data = ImageFolder(str(images))
    assert [(data.name(i), data.label(i)) for i in range(len(data))] == [
        ("a.png", None),
        ("c.png", None),
        ("my b.png", None),
    ]


def test_hidden_files_and_those_of_systems_are_no_images_and_are_named_in_the_log(
    images: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "runner")
    for name in ("._a.png", ".hidden.png", "Thumbs.db", "desktop.ini", ".DS_Store"):
        (images / name).write_bytes(b"\0\x05\x16\x07")
    data = ImageFolder(str(images))
    assert [data.name(index) for index in range(len(data))] == ["a.png", "c.png", "my b.png"]
    assert [record.getMessage() for record in caplog.records] == [
        f"{images}: 2 hidden files or files of a system are no images: ._a.png, .hidden.png"
    ]


def test_hidden_file_is_an_image_where_it_is_asked_for(images: Path) -> None:
    write_image(images / "hidden.png", random_pixels(4, 4)).rename(images / ".hidden.png")
    (images.parent / "labels.txt").write_text(".hidden.png 1\n")
    for data in (ImageFolder(str(images / ".hidden.png")), labelled(images)):
        assert len(data) == 1 and data.item(0).arrays[ONLY_INPUT].shape == (3, 4, 4)


def test_listed_name_is_found_in_another_spelling_and_shown_as_listed(images: Path) -> None:
    listed = ["caf\u00e9.png", "数据.png", "-rf *.png"]
    stored = ["cafe\u0301.png", os.fsdecode("数据.png".encode("gbk")), "-rf *.png"]
    for seed, name in enumerate(stored):
        write_image(images / name, random_pixels(5, 4, seed))
    (images.parent / "labels.txt").write_text("".join(f"{name} 1\n" for name in listed), encoding="utf-8")
    data = labelled(images)
    assert [data.name(index) for index in range(3)] == listed
    for index in range(3):
        assert np.array_equal(data.item(index).arrays[ONLY_INPUT].transpose(1, 2, 0), random_pixels(5, 4, index))


def test_listed_name_that_no_file_can_have_is_missing(images: Path) -> None:
    (images.parent / "labels.txt").write_text(f"a.png 0\n{'x' * 300}.png 1\n")
    with pytest.raises(DatasetError, match=r"1 of 2 images listed in .* do not exist in"):
        labelled(images)
    with pytest.raises(DatasetError, match="is no folder; expected the folder that holds the images"):
        ImageFolder(f"/{'x' * 5000}")


def test_names_of_any_bytes_are_shown_as_text(images: Path) -> None:
    names = [
        os.fsdecode(b"\xca\xfd.png"),
        "a\nb.png",
        "x" * 251 + ".png",
        "-a.png",
        "caf\u00e9.png",
        "caf\u0065\u0301.png",
    ]
    for path in images.iterdir():
        path.unlink()
    for seed, name in enumerate(names):
        write_image(images / name, random_pixels(4, 4, seed))
    data = ImageFolder(str(images))
    shown = [data.name(index) for index in range(len(data))]
    assert {r"\xca\xfd.png", r"a\nb.png", "-a.png"} < set(shown) and len(set(shown)) == len(names)
    for index, name in enumerate(shown):
        assert name.encode("utf-8") and len(name.splitlines()) == 1
        assert data.item(index).arrays[ONLY_INPUT].shape == (3, 4, 4)


def test_one_file_is_the_only_item(images: Path) -> None:
    data = ImageFolder(str(images / "a.png"))
    assert [(data.name(i), data.label(i)) for i in range(len(data))] == [("a.png", None)]
    assert data.describe() == "a"
    assert np.array_equal(data.item(0).arrays[ONLY_INPUT], ImageFolder(str(images)).item(0).arrays[ONLY_INPUT])


def test_item_is_the_file_read_with_pillow(images: Path) -> None:
    item = labelled(images, scale=0.5, mean=1.0).item(2)
    wanted = np.asarray(Image.open(images / "my b.png")).astype(np.float32).transpose(2, 0, 1) * np.float32(0.5) - 1
    assert list(item.arrays) == [ONLY_INPUT] and item.label == 1
    assert np.array_equal(item.arrays[ONLY_INPUT], wanted)


def test_second_reading_gives_the_same_array(images: Path) -> None:
    data = labelled(images, resize=4)
    first, second = data.item(0).arrays[ONLY_INPUT], data.item(0).arrays[ONLY_INPUT]
    assert np.array_equal(first, second)


def test_many_threads_read_what_one_reads(images: Path) -> None:
    data, fresh = labelled(images), labelled(images)
    order = [0, 1, 2] * 20
    with ThreadPoolExecutor(8) as pool:
        arrays = list(pool.map(lambda index: data.item(index).arrays[ONLY_INPUT], order))
    assert all(np.array_equal(array, fresh.item(i).arrays[ONLY_INPUT]) for i, array in zip(order, arrays, strict=True))


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"dataset\.images: .*/gone is no folder; expected the folder that holds the"
    ):
        ImageFolder(str(tmp_path / "gone"))


def test_folder_without_an_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(DatasetError, match=r"holds no image; expected files such as \.png or \.jpg"):
        ImageFolder(str(tmp_path))


@pytest.mark.parametrize(
    ("count", "listed"),
    [(1, "gone0.png."), (3, "gone0.png, gone1.png, gone2.png."), (5, "gone0.png, gone1.png, gone2.png ….")],
)
def test_listed_images_that_do_not_exist_are_counted_and_named(images: Path, count: int, listed: str) -> None:
    labels = images.parent / "labels.txt"
    labels.write_text("a.png 0\n" + "".join(f"gone{i}.png 1\n" for i in range(count)))
    with pytest.raises(DatasetError) as error:
        labelled(images)
    assert str(error.value) == (
        f"dataset.images: {count} of {count + 1} images listed in {labels} do not exist in {images}: {listed} Set "
        "dataset.images to the folder that the listed names are below."
    )


def test_image_smaller_than_the_crop_is_named_with_its_size(images: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"a\.png: the image has 6x8 pixels, less than dataset\.preprocess\.crop=7\."
    ):
        labelled(images, crop=7).item(1)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "webp", "gif", "ppm"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_truncated_image_is_named(tmp_path: Path, suffix: str, share: float) -> None:
    path = write_image(tmp_path / f"cut.{suffix}", random_pixels(20, 20))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DatasetError, match=rf"dataset\.images: .*cut\.{suffix} cannot be read as an image: "):
        ImageFolder(str(tmp_path)).item(0)


@pytest.mark.parametrize("content", [b"P6", b"P6\n2 x\n255\n", b"hello"], ids=["header only", "no number", "text"])
def test_file_that_is_no_image_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "fake.ppm").write_bytes(content)
    with pytest.raises(DatasetError, match=r"fake\.ppm cannot be read as an image: "):
        ImageFolder(str(tmp_path)).item(0)


def fingerprints(data: ImageFolder) -> list[str]:
    return [data.fingerprint(index) for index in range(len(data))]


def test_fingerprint_does_not_change_with_the_files_time(images: Path) -> None:
    before = fingerprints(labelled(images))
    for path in images.iterdir():
        os.utime(path, (1, 1))
    assert fingerprints(labelled(images)) == before
    assert len(set(before)) == 3


def test_fingerprint_of_the_changed_image_alone_changes_with_its_content(images: Path) -> None:
    before = fingerprints(labelled(images))
    pixels = random_pixels(8, 6, 1)
    pixels[3, 2, 1] ^= 1
    write_image(images / "a.png", pixels)
    after = fingerprints(labelled(images))
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True]


def test_label_changes_the_digest_of_the_dataset_and_not_the_items(images: Path) -> None:
    before = labelled(images)
    items, whole = fingerprints(before), dataset_fingerprint(before, [0, 1, 2])
    (images.parent / "labels.txt").write_text("c.png 2\na.png 0\nmy b.png 7\n")
    after = labelled(images)
    assert fingerprints(after) == items
    assert sorted(fingerprints(ImageFolder(str(images)))) == sorted(items)
    assert dataset_fingerprint(after, [0, 1, 2]) != whole


@pytest.mark.parametrize("change", [{"mean": 1.0}, {"crop": 4}, {"channel_order": "bgr"}, {"resize": 5}], ids=str)
def test_every_fingerprint_changes_with_the_preprocessing(images: Path, change: dict) -> None:
    before, after = fingerprints(labelled(images)), fingerprints(labelled(images, **change))
    assert not set(before) & set(after)


def test_fingerprint_of_a_dataset_depends_on_items_and_order(images: Path) -> None:
    data = labelled(images)
    digests = {dataset_fingerprint(data, order) for order in ([0, 1, 2], [1, 0, 2], [0, 1], [0])}
    assert len(digests) == 4
    assert dataset_fingerprint(labelled(images), [0, 1, 2]) in digests
