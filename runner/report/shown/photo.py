"""The photo of an item as it was taken, in a size for a page."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image

from runner.dataset.frame import Size
from runner.dataset.input_settings import beneath
from runner.dataset.item import Dataset
from runner.dataset.open_image import open_image
from runner.dataset.photos import Photos
from runner.errors import DatasetError
from runner.report.contact_sheet import picture

# Pixels of the longer side: at most, and at least, where whole pixels are repeated.
SIDE, LEAST = 480, 240


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """A photo in a size for a page.

    Attributes:
        image: of mode RGB.
        scale: (vertical, horizontal) pixels of it a pixel of the photo.
    """

    image: Image.Image
    scale: tuple[float, float]


def photo(dataset: Dataset, index: int) -> Photo | None:
    """Return an item's photo, turned upright where the preprocessing does that; None where it has none, or it is gone."""
    given = beneath(dataset)
    if not isinstance(given, Photos):
        return None
    try:
        upright = given.preprocess.exif == "apply"
        whole = open_image(given.paths[index].read_bytes(), given.title(index), upright=upright).convert("RGB")
    except (OSError, DatasetError):
        return None  # A job of hours has its result; a file that was moved meanwhile is no fault of it.
    return sized(whole)


def sized(whole: Image.Image) -> Photo:
    """Return an image in a size for a page."""
    longer = max(whole.size)
    times = max(1, LEAST // longer) if longer < LEAST else min(1.0, SIDE / longer)
    width, height = (max(1, round(length * times)) for length in whole.size)
    kind = Image.Resampling.NEAREST if times >= 1 else Image.Resampling.BICUBIC
    return Photo(whole.resize((width, height), kind), (height / whole.height, width / whole.width))


def as_seen(dataset: Dataset, index: int) -> Image.Image | None:
    """Return an item's photo, or else what the model takes, stretched, where that is an image; None where neither is."""
    found = photo(dataset, index)
    if found is not None:
        return found.image
    image = picture(dataset.item(index).arrays)
    return None if image is None else sized(image).image


def at_size(image: Image.Image, size: Size) -> Image.Image:
    """Return an image at (height, width)."""
    return image.resize((size[1], size[0]), Image.Resampling.BICUBIC)


def jpeg(image: Image.Image) -> bytes:
    """Return an image as JPEG, its colours in full resolution: thin lines are drawn in it."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=85, subsampling=0)
    return stream.getvalue()


def png(image: Image.Image) -> bytes:
    """Return an image as PNG."""
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True)
    return stream.getvalue()
