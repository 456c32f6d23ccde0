"""YOLO's label files: which boxes a photo has, where its file is, what classes are called, and what is refused."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from runner.dataset.coco import CocoDataset
from runner.dataset.item import ONLY_INPUT
from runner.dataset.truth import ClassNames
from runner.dataset.yolo import YoloDataset
from runner.errors import DatasetError
from tests.data import random_pixels, write_image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three photos of 40 x 20 in two folders, of which one has no label file and one an empty one."""
    for name in ("images/a.png", "images/val/b.png", "images/val/c.png", "images/.hidden/d.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(tmp_path / name, random_pixels(20, 40))
    (tmp_path / "images" / "notes.txt").write_text("no photo")
    (tmp_path / "labels" / "val").mkdir(parents=True)
    (tmp_path / "labels" / "a.txt").write_text(
        "2 0.5 0.5 0.25 0.5\n\n0 0.1 0.2 0.3 0.1 0.2 0.9 0.15 0.5\n", encoding="utf-8-sig"
    )
    (tmp_path / "labels" / "val" / "b.txt").write_text("")
    return tmp_path


def dataset(folder: Path, **options) -> YoloDataset:
    return YoloDataset(str(folder / "images"), **options)


def labelled(folder: Path, text: str, **options) -> YoloDataset:
    """Return the dataset with other lines for its first photo."""
    (folder / "labels" / "a.txt").write_text(text)
    return dataset(folder, **options)


def test_boxes_are_the_lines_in_pixels_and_a_polygon_the_box_around_it(folder: Path) -> None:
    data = dataset(folder)
    assert [data.name(index) for index in range(len(data))] == ["a.png", "val/b.png", "val/c.png"]
    boxes = data.label(0)
    np.testing.assert_allclose(boxes.corners, [[15, 5, 25, 15], [4, 2, 12, 18]], rtol=1e-12)
    assert (boxes.classes.tolist(), boxes.crowd.tolist()) == ([2, 0], [False, False])
    np.testing.assert_allclose(boxes.areas, [100, 128], rtol=1e-12)
    assert boxes.frame.photo == (20, 40)
    for index in (1, 2):
        assert data.label(index).corners.shape == (0, 4)
    assert data.item(0).arrays[ONLY_INPUT].shape == (3, 20, 40) and data.item(0).label.content == boxes.content


def test_label_folder_follows_from_the_photos_or_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(YoloDataset(str(folder / "images" / "val"))) == 2
    (folder / "images").rename(folder / "photos")
    assert len(YoloDataset(str(folder / "photos"), labels=str(folder / "labels"))) == 3
    with pytest.raises(
        DatasetError, match=r"dataset.labels: .*photos has no part 'images' that 'labels' could.*dataset.labels=DIR"
    ):
        YoloDataset(str(folder / "photos"))
    (folder / "images").mkdir()
    (folder / "photos" / "a.png").rename(folder / "images" / "a.png")
    monkeypatch.chdir(folder)
    assert YoloDataset("images").describe() == folder.name


def test_photos_without_a_label_file_are_counted_in_the_log(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    dataset(folder)
    assert "images: 1 of 3 photos have no label file in" in caplog.text


@pytest.mark.parametrize("file", ["list", "names.txt", "data.yaml", "mapped.yml"])
def test_names_are_a_list_or_a_file_of_three_kinds(folder: Path, file: str) -> None:
    (folder / "names.txt").write_text("cat\nstop sign \nno\n\n")
    (folder / "data.yaml").write_text("path: x\nnames: [cat, stop sign, 'no']\n")
    (folder / "mapped.yml").write_text("names:\n  0: cat\n  2: 'no'\n  1: stop sign\n")
    names = ["cat", "stop sign", "no"] if file == "list" else str(folder / file)
    data = dataset(folder, names=names)
    assert isinstance(data, ClassNames) and data.class_names == ("cat", "stop sign", "no")
    assert dataset(folder).class_names == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 0.5 0.5 0.1", "expected 'class cx cy width height'.*got '0 0.5 0.5 0.1'"),
        ("0 0.5 0.5 0.1 0.1 0.9", "expected 'class cx cy width height', or 'class' and the x y of three points"),
        ("0 a b c d", "expected 'class cx cy width height'.*got '0 a b c d'"),
        ("0.5 0.5 0.5 0.1 0.1", "expected a class number of 0 to 1000000, got"),
        ("-1 0.5 0.5 0.1 0.1", "expected a class number of 0 to 1000000, got"),
        ("1e300 0.5 0.5 0.1 0.1", "expected a class number of 0 to 1000000, got"),
        ("inf 0.5 0.5 0.1 0.1", "expected a class number of 0 to 1000000, got"),
        ("0 20 10 4 4", "expected shares of the photo, 0 to 1, no pixels, got '0 20 10 4 4'"),
        ("0 0.5 nan 0.1 0.1", "expected shares of the photo"),
        ("0 0.5 0.5 -0.005 0.1", "expected a width and a height that are not negative"),
        ("3 0.5 0.5 0.1 0.1", "expected a class number below 3, as dataset.names has so many, got '3 0.5"),
    ],
)
def test_bad_line_is_refused_with_its_file_and_number(folder: Path, text: str, message: str) -> None:
    with pytest.raises(DatasetError, match=rf"^dataset.labels: .*a.txt:2: {message}"):
        labelled(folder, f"0 0.5 0.5 0.1 0.1\n{text}\n", names=["a", "b", "c"])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("absent.txt", None, "absent.txt cannot be read: No such file"),
        ("names.txt", "\n", "expected the classes' names, class 0 first, got none"),
        ("names.txt", "cat\n\ndog\n", "names, class 0 first, got a blank one, number 1"),
        ("data.yaml", "a: [", "data.yaml is no YAML"),
        ("data.yaml", "nc: 3", "expected 'names', a list or a mapping.*got none"),
        ("data.yaml", "names: cat", "expected 'names', a list or a mapping.*got str"),
        ("data.yaml", "names: {1: cat, 2: dog}", "expected 'names' to number the classes 0 to 1, got 1, 2"),
    ],
)
def test_names_that_are_none_are_refused(folder: Path, name: str, text: str | None, message: str) -> None:
    if text is not None:
        (folder / name).write_text(text)
    with pytest.raises(DatasetError, match=rf"^dataset.names: .*{message}"):
        dataset(folder, names=str(folder / name))


def test_missing_folders_and_labels_are_told(folder: Path) -> None:
    with pytest.raises(DatasetError, match=r"dataset.images: .*absent is no folder"):
        YoloDataset(str(folder / "absent"))
    with pytest.raises(DatasetError, match=r"dataset.labels: .*absent is no folder"):
        dataset(folder, labels=str(folder / "absent"))
    with pytest.raises(DatasetError, match=r"dataset.images: .*labels holds no image"):
        YoloDataset(str(folder / "labels"))
    with pytest.raises(
        DatasetError, match=r"none of the 3 photos in .*images has a label file in .*val; expected a.txt"
    ):
        dataset(folder, labels=str(folder / "images" / "val"))
    (folder / "labels" / "a.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(DatasetError, match=r"a.txt is no UTF-8 text"):
        dataset(folder)


@pytest.mark.zoo
def test_both_formats_give_the_same_boxes_of_the_same_photos(zoo: Path) -> None:
    folder = zoo / "coco_val128"
    yolo = YoloDataset(str(folder / "images"))
    coco = CocoDataset(str(folder / "images"), str(folder / "instances.json"))
    assert len(yolo) == len(coco) == 128
    for index in range(128):
        mine, other = yolo.label(index), coco.label(index)
        assert (yolo.name(index), mine.frame, mine.classes.tolist()) == (
            coco.name(index),
            other.frame,
            other.classes.tolist(),
        )
        np.testing.assert_allclose(mine.corners, other.corners, atol=0.02)  # hundredths of a pixel in the one
