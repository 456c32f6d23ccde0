"""The photo as it was taken, in a size for a page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from runner.dataset.input_settings import InputSettings
from runner.dataset.photos import Photos
from runner.dataset.preprocess import ImagePreprocess
from runner.report.shown.photo import as_seen, photo
from tests.data import Items, random_pixels, write_image


class Named(Photos):
    def name(self, index: int) -> str:
        return self.paths[index].name

    def describe(self) -> str:
        return "photos"


def test_large_photos_become_480_on_their_longer_side_whatever_the_model_takes(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.png", random_pixels(600, 1200))
    dataset = InputSettings(Named([path], ImagePreprocess(resize=[32, 32])))
    found = photo(dataset, 0)
    assert found is not None
    assert found.image.size == (480, 240) and found.scale == (240 / 600, 480 / 1200)


def test_small_photos_are_shown_pixel_for_pixel(tmp_path: Path) -> None:
    pixels = random_pixels(20, 30)
    found = photo(Named([write_image(tmp_path / "a.png", pixels)], None), 0)
    assert found is not None and found.scale == (8.0, 8.0)
    assert np.array_equal(np.asarray(found.image)[4::8, 4::8], pixels)


def test_a_photo_is_upright_where_boxes_are(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(random_pixels(300, 500)).save(tmp_path / "a.jpg", exif=exif)
    for turn, size in (("apply", (300, 500)), ("ignore", (500, 300))):
        found = photo(Named([tmp_path / "a.jpg"], ImagePreprocess(exif=turn)), 0)
        assert found is not None
        assert (found.image.width < found.image.height) == (size[0] < size[1])


def test_what_is_no_photo_is_shown_as_the_model_sees_it_or_not_at_all(tmp_path: Path) -> None:
    assert photo(Items(np.zeros((1, 3, 9, 9), np.float32)), 0) is None
    seen = as_seen(Items(np.zeros((1, 3, 9, 9), np.float32)), 0)
    assert seen is not None and seen.width == seen.height
    assert as_seen(Items(np.zeros((1, 7), np.float32)), 0) is None
    assert photo(Named([tmp_path / "gone.png"], None), 0) is None
