"""A file of annotations in COCO's format: ``images``, ``annotations``, ``categories``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner.dataset.frame import Size
from runner.errors import DatasetError, RecordError
from runner.printable import shown
from runner.strict_json import is_number, parse_object, read_text

KEY = "dataset.annotations"
# What no photo has: numbers beyond leave what areas of boxes can hold.
_MOST_PIXELS = 1e7
# Characters of a value in a message.
_SHOWN = 80
_SECTIONS = {"images": "id, file_name", "annotations": "image_id, category_id, bbox", "categories": "id, name"}


@dataclass(frozen=True, slots=True, eq=False)
class CocoImage:
    """An image and its boxes.

    Attributes:
        file: its name, below the folder of images.
        size: (height, width) as the file says; None where it says nothing.
        corners: x1, y1, x2, y2 of its boxes, shape (n, 4).
        classes: int64 of shape (n,).
        areas: of shape (n,).
        crowd: of shape (n,).
    """

    file: str
    size: Size | None
    corners: NDArray[np.float64]
    classes: NDArray[np.int64]
    areas: NDArray[np.float64]
    crowd: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class CocoFile:
    """The images of a file, in its order, and the categories' names, by rising id."""

    images: tuple[CocoImage, ...]
    class_names: tuple[str, ...]


def read_coco(path: Path) -> CocoFile:
    """Return what a file says; classes are numbered by rising category id, 0 first, so that ids may have gaps.

    Raises:
        DatasetError: the file is missing or no JSON, a part of it is missing, of another type, negative or not finite, an id
            stands twice, or an annotation is of an image or a category that is not listed. Names the entry.
    """
    sections = _sections(path)
    names = {
        _whole(path, where, each, "id"): _text(path, where, each, "name") for where, each in sections["categories"]
    }
    _refuse_repeated(path, "categories", len(names), len(sections["categories"]))
    ids = sorted(names)
    numbers = {category: number for number, category in enumerate(ids)}
    images = {_whole(path, where, each, "id"): (where, each) for where, each in sections["images"]}
    _refuse_repeated(path, "images", len(images), len(sections["images"]))
    found: dict[int, list[tuple[float, ...]]] = {image: [] for image in images}
    for where, each in sections["annotations"]:
        image, category = (_whole(path, where, each, key) for key in ("image_id", "category_id"))
        if image not in found:
            raise _wrong(path, where, "image_id of a listed image", image)
        if category not in numbers:
            raise _wrong(path, where, "category_id of a listed category", category)
        found[image].append((*_box(path, where, each), numbers[category]))
    return CocoFile(
        tuple(_image(path, *images[image], rows) for image, rows in found.items()), tuple(names[each] for each in ids)
    )


def _image(path: Path, where: str, entry: Mapping[str, Any], rows: list[tuple[float, ...]]) -> CocoImage:
    x, y, width, height, area, crowd, classes = np.array(rows, np.float64).reshape(-1, 7).T
    size = tuple(entry.get(key) for key in ("height", "width"))
    for key, side in zip(("height", "width"), size, strict=True):
        if side is not None and not (is_number(side) and side == int(side) >= 0):
            raise _wrong(path, where, f"a whole number as {key}", side)
    return CocoImage(
        file=_text(path, where, entry, "file_name"),
        size=(int(size[0]), int(size[1])) if size[0] and size[1] else None,
        corners=np.stack([x, y, x + width, y + height], axis=1),
        classes=classes.astype(np.int64),
        areas=area.copy(),
        crowd=crowd != 0,
    )


def _box(path: Path, where: str, entry: Mapping[str, Any]) -> tuple[float, ...]:
    """Return x, y, width, height, area, crowd of an annotation."""
    box = entry.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_pixels, box)) or min(box[2:]) < 0:
        raise _wrong(path, where, "bbox of [x, y, width, height] in pixels, width and height not negative", box)
    area = entry.get("area", box[2] * box[3])
    if not _is_pixels(area, _MOST_PIXELS**2) or area < 0:
        raise _wrong(path, where, "an area that is not negative", area)
    crowd = entry.get("iscrowd", 0)
    if crowd not in (0, 1):
        raise _wrong(path, where, "iscrowd of 0 or 1", crowd)
    return (*box, area, crowd)


def _is_pixels(value: object, most: float = _MOST_PIXELS) -> bool:
    return is_number(value) and abs(float(value)) <= most  # type: ignore[arg-type]


def _sections(path: Path) -> dict[str, list[tuple[str, Mapping[str, Any]]]]:
    """Return the entries of each section, each with the words for where it stands."""
    try:
        content = parse_object(read_text(path, KEY).removeprefix("\ufeff"), shown(path))
    except RecordError as error:
        raise DatasetError(f"{KEY}: {str(error).removeprefix(f'{KEY}: ')}") from error
    found = {}
    for section, keys in _SECTIONS.items():
        entries = content.get(section)
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            got = f"the sections {', '.join(content) or 'none'}" if entries is None else "entries of another kind"
            raise DatasetError(
                f"{KEY}: {shown(path)}: expected a list '{section}' of objects with {keys}, as COCO's "
                f"instances_*.json has it; got {got}."
            )
        found[section] = [(f"{section}[{number}]", entry) for number, entry in enumerate(entries)]
    for section in ("images", "categories"):
        if not found[section]:
            raise DatasetError(f"{KEY}: {shown(path)}: expected at least one entry in '{section}', got none.")
    return found


def _whole(path: Path, where: str, entry: Mapping[str, Any], key: str) -> int:
    value = entry.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong(path, where, f"a whole number as {key}", value)
    return value


def _text(path: Path, where: str, entry: Mapping[str, Any], key: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value:
        raise _wrong(path, where, f"text as {key}", value)
    return value


def _refuse_repeated(path: Path, section: str, ids: int, entries: int) -> None:
    if ids != entries:
        raise DatasetError(f"{KEY}: {shown(path)}: expected each id once in '{section}', got {entries - ids} again.")


def _wrong(path: Path, where: str, expected: str, got: object) -> DatasetError:
    return DatasetError(
        f"{KEY}: {shown(path)}: {where}: expected {expected}, got {'none' if got is None else _shortened(got)}."
    )


def _shortened(got: object) -> str:
    """Return a value as JSON has it, so that a text is told from a number; of a long one the beginning."""
    text = json.dumps(got, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
