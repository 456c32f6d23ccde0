"""COCO's format: which boxes a photo has, how classes are numbered, and what is refused."""

from __future__ import annotations

import json
import logging
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from runner.dataset.coco import CocoDataset
from runner.dataset.geometry import Letterbox
from runner.dataset.item import ONLY_INPUT, digest
from runner.dataset.preprocess import ImagePreprocess
from runner.dataset.truth import ClassNames
from runner.errors import DatasetError
from tests.data import random_pixels, write_image

CONTENT: dict[str, Any] = {
    "info": {"year": 2017},
    "images": [
        {"id": 9, "file_name": "b.png", "width": 40, "height": 30},
        {"id": 2, "file_name": "more/a.png", "width": 20, "height": 50},
        {"id": 5, "file_name": "c.png"},
    ],
    "categories": [{"id": 90, "name": "toothbrush"}, {"id": 1, "name": "person"}, {"id": 13, "name": "stop sign"}],
    "annotations": [
        {"id": 1, "image_id": 2, "category_id": 90, "bbox": [1, 2, 3.5, 4], "area": 7.5, "iscrowd": 0},
        {"id": 2, "image_id": 9, "category_id": 1, "bbox": [0, 0, 40, 30], "iscrowd": 1, "segmentation": {}},
        {"id": 3, "image_id": 2, "category_id": 13, "bbox": [5, 6, 0, 1], "area": 0},
    ],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The photos that CONTENT lists, and two that it does not."""
    (tmp_path / "photos" / "more").mkdir(parents=True)
    for name, height, width in (("b", 30, 40), ("more/a", 50, 20), ("c", 10, 10), ("d", 8, 8), ("more/e", 8, 8)):
        write_image(tmp_path / "photos" / f"{name}.png", random_pixels(height, width))
    return tmp_path


def dataset(folder: Path, content: Any = CONTENT, preprocess: ImagePreprocess | None = None) -> CocoDataset:
    path = folder / "instances.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return CocoDataset(str(folder / "photos"), str(path), preprocess)


def test_boxes_are_those_of_the_photo_and_classes_go_by_rising_id(folder: Path) -> None:
    data = dataset(folder)
    assert [data.name(index) for index in range(len(data))] == ["b.png", "more/a.png", "c.png"]
    assert isinstance(data, ClassNames) and data.class_names == ("person", "stop sign", "toothbrush")
    crowd, two, none = (data.label(index) for index in range(3))
    assert two.corners.tolist() == [[1, 2, 4.5, 6], [5, 6, 5, 7]]
    assert (two.classes.tolist(), two.areas.tolist(), two.crowd.tolist()) == ([2, 1], [7.5, 0], [False, False])
    assert (crowd.corners.tolist(), crowd.areas.tolist(), crowd.crowd.tolist()) == ([[0, 0, 40, 30]], [1200], [True])
    assert (none.corners.shape, none.classes.shape, none.areas.shape, none.crowd.shape) == ((0, 4), (0,), (0,), (0,))
    assert none.classes.dtype == np.int64 and none.crowd.dtype == np.bool_


def test_frame_is_the_preprocessings_and_items_are_the_photos(folder: Path) -> None:
    preprocess = ImagePreprocess(letterbox=Letterbox([60, 80], "center"))
    data = dataset(folder, preprocess=preprocess)
    assert data.label(0).frame == preprocess.frame((30, 40))
    assert data.item(1).arrays[ONLY_INPUT].shape == (3, 60, 80)
    assert data.item(1).label.content == data.label(1).content != dataset(folder).label(1).content
    assert digest(data.label(0)) != digest(data.label(1))
    assert data.describe() == "instances"


def test_photos_that_are_not_listed_are_counted_in_the_log(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    dataset(folder)
    assert "photos: 2 photos are not listed in" in caplog.text


def changed(section: str, entry: int, **values: Any) -> dict[str, Any]:
    """Return CONTENT with some values of an entry changed; None takes one out."""
    content = deepcopy(CONTENT)
    for key, value in values.items():
        if value is None:
            del content[section][entry][key]
        else:
            content[section][entry][key] = value
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"instances.json:1: expected a JSON object, got"),
        ("[]", r"expected one JSON object, got \[\]"),
        ('{"images": [], "images": []}', "repeated"),
        (
            {"images": []},
            r"expected a list 'annotations' of objects with image_id, category_id, bbox.*got the sections images",
        ),
        ({**CONTENT, "images": 3}, "expected a list 'images'.*got entries of another kind"),
        ({**CONTENT, "categories": [1]}, "expected a list 'categories'.*got entries of another kind"),
        ({**CONTENT, "images": [], "annotations": []}, "expected at least one entry in 'images', got none"),
        (changed("images", 1, id=None), r"images\[1\]: expected a whole number as id, got none"),
        (changed("images", 1, id=9), "expected each id once in 'images', got 1 again"),
        (changed("images", 1, file_name="b.png"), "expected each image once, got b.png again"),
        (changed("images", 1, file_name=None), r"images\[1\]: expected text as file_name, got none"),
        (changed("images", 1, width="20"), r'images\[1\]: expected a whole number as width, got "20"'),
        (changed("categories", 0, id=1), "expected each id once in 'categories', got 1 again"),
        (changed("categories", 0, name=None), r"categories\[0\]: expected text as name, got none"),
        (changed("annotations", 1, image_id=7), r"annotations\[1\]: expected image_id of a listed image, got 7"),
        (
            changed("annotations", 1, category_id=2),
            r"annotations\[1\]: expected category_id of a listed category, got 2",
        ),
        (
            changed("annotations", 1, category_id=True),
            r"annotations\[1\]: expected a whole number as category_id, got true",
        ),
        (changed("annotations", 1, bbox=None), r"annotations\[1\]: expected bbox of \[x, y, width, height\].*got none"),
        (changed("annotations", 1, bbox=[1, 2, 3]), r"annotations\[1\]: expected bbox of .*got \[1, 2, 3\]"),
        (
            changed("annotations", 1, bbox=[1, 2, -3, 4]),
            r"annotations\[1\]: expected bbox .*not negative, got \[1, 2, -3, 4\]",
        ),
        (changed("annotations", 1, bbox=[1, 2, float("nan"), 4]), "expected finite numbers, got NaN"),
        (
            changed("annotations", 1, bbox=[1e308, 0, 1e308, 4]),
            r"annotations\[1\]: expected bbox of .*got \[1e\+308, 0",
        ),
        (
            changed("annotations", 1, area=1e300),
            r"annotations\[1\]: expected an area that is not negative, got 1e\+300",
        ),
        (changed("annotations", 1, area=-1), r"annotations\[1\]: expected an area that is not negative, got -1"),
        (changed("annotations", 1, iscrowd=2), r"annotations\[1\]: expected iscrowd of 0 or 1, got 2"),
    ],
)
def test_file_that_is_not_as_coco_has_it_is_refused_with_where(folder: Path, content: Any, message: str) -> None:
    with pytest.raises(DatasetError, match=message) as caught:
        dataset(folder, content)
    assert str(caught.value).startswith("dataset.annotations: ")


def test_byte_order_mark_is_no_part_of_the_file(folder: Path) -> None:
    assert dataset(folder, "\ufeff" + json.dumps(CONTENT)).class_names == ("person", "stop sign", "toothbrush")


def test_missing_files_are_named(folder: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"dataset.images: 1 of 3 images listed in .*instances.json do not exist in .*: gone.png"
    ):
        dataset(folder, changed("images", 0, file_name="gone.png"))
    with pytest.raises(DatasetError, match=r"dataset.annotations: .*absent.json cannot be read: No such file"):
        CocoDataset(str(folder / "photos"), str(folder / "absent.json"))
    with pytest.raises(DatasetError, match=r"dataset.images: .*absent is no folder"):
        CocoDataset(str(folder / "absent"), str(folder / "instances.json"))


def test_photo_of_another_size_than_listed_is_refused(folder: Path) -> None:
    data = dataset(folder, changed("images", 0, width=41))
    with pytest.raises(DatasetError, match=r"b.png is listed with 41x30 pixels, but the file has 40x30"):
        data.label(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(random_pixels(30, 40)).save(folder / "photos" / "b.png", exif=exif)
    assert dataset(folder).label(0).frame.photo == (30, 40)
    with pytest.raises(
        DatasetError, match=r"but the file has 30x40, .*turned by its EXIF orientation: see dataset.preprocess.exif"
    ):
        dataset(folder, preprocess=ImagePreprocess(exif="apply")).label(0)
