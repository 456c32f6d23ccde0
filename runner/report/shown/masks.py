"""Masks side by side: the photo, what is true of its pixels, what the float model says and what the quantized one does."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from runner.dataset.item import Dataset
from runner.dataset.truth import ClassMap
from runner.evaluation.outputs import NO_ANSWER
from runner.figure import Part, Swatch
from runner.modes.result import AnswerPair
from runner.modes.scoring.shown_answers import SIDE
from runner.report.changed_items import ChangedItem
from runner.report.class_names import called, class_names
from runner.report.shown.drawn import Drawn, Shown
from runner.report.shown.photo import as_seen, at_size
from runner.tasks.segmentation.resolution import shown_pixels
from runner.wording import listed, recalled, say

_IGNORED, _NO_ANSWER = (150, 150, 150), (255, 255, 255)
# Smaller maps are shown with their pixels repeated.
_LEAST = 160
# By which hues, around the circle, differ most from those before.
_GOLDEN = 0.61803398875
_LEGEND = 16


def masks_drawn(
    items: Sequence[ChangedItem], dataset: Dataset, answers: Mapping[int, AnswerPair]
) -> list[Drawn] | None:
    """Return the items of which both models' maps are known; None where there is none.

    Args:
        items: that changed, worst first.
        dataset: theirs.
        answers: what both models say of each pixel, by the item's position, of at most ``SIDE`` pixels a side.
    """
    names = class_names(dataset)
    found = []
    for item in items:
        truth, pair = dataset.label(item.index), answers.get(item.change.position)
        if pair is not None and isinstance(truth, ClassMap):
            found.append(_drawn(item, truth, pair, dataset, names))
    return found or None


def _drawn(item: ChangedItem, truth: ClassMap, pair: AnswerPair, dataset: Dataset, names: Sequence[str]) -> Drawn:
    rows, columns = shown_pixels(truth.classes.shape, SIDE)
    maps = [truth.classes[rows][:, columns].astype(np.int64), *(said.astype(np.int64) for said in pair)]
    ignored = np.zeros(maps[0].shape, np.bool_) if truth.ignore is None else maps[0] == truth.ignore
    words = [
        listed([say("{key} {value}", key=recalled(key), value=value) for key, value in told.items()])
        for told in (item.before, item.after)
    ]
    shows = [say("truth"), say("float: {words}", words=words[0]), say("int8: {words}", words=words[1])]
    pictures = [
        Shown(map_picture(each, ignored if place == 0 else None), said, photo=False)
        for place, (each, said) in enumerate(zip(maps, shows, strict=True))
    ]
    seen = as_seen(dataset, item.index)
    if seen is not None:
        size = pictures[0].image.size
        pictures.insert(0, Shown(at_size(seen, (size[1], size[0])), say("photo")))
    return Drawn(item, pictures, [_legend(maps, ignored, names)])


def map_picture(classes: NDArray[np.int64], ignored: NDArray[np.bool_] | None = None) -> Image.Image:
    """Return a map in its classes' colours, white where it says nothing, gray where its pixels are ignored."""
    numbers, places = np.unique(classes, return_inverse=True)
    colours = np.array([colour(int(number)) for number in numbers], np.uint8)
    pixels = colours[places.reshape(classes.shape)]
    if ignored is not None:
        pixels[ignored] = _IGNORED
    image = Image.fromarray(pixels)
    times = max(1, _LEAST // max(image.size))
    return image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)


@cache
def colour(number: int) -> tuple[int, int, int]:
    """Return a class's colour, the same on every page: class 0, often the background, is dark."""
    if number == NO_ANSWER:
        return _NO_ANSWER
    if number == 0:
        return 32, 32, 40
    strong = number % 2
    red, green, blue = colorsys.hsv_to_rgb(number * _GOLDEN % 1, 0.9 if strong else 0.6, 0.95 if strong else 0.8)
    return round(red * 255), round(green * 255), round(blue * 255)


def _legend(maps: Sequence[NDArray[Any]], ignored: NDArray[np.bool_], names: Sequence[str]) -> list[Part]:
    """Return the classes that are seen, those of most pixels first."""
    shown = np.concatenate([maps[0][~ignored].reshape(-1), *(said.reshape(-1) for said in maps[1:])])
    numbers, counts = np.unique(shown, return_counts=True)
    most_first = [int(number) for number in numbers[np.argsort(-counts, kind="stable")] if number != NO_ANSWER]
    parts: list[Part] = []
    for number in most_first[:_LEGEND]:
        parts += [Swatch(_hex(colour(number))), called(number, names)]
    if len(most_first) > _LEGEND:
        parts.append(say(" and {count} classes more", count=len(most_first) - _LEGEND))
    parts += [Swatch(_hex(_IGNORED)), say("ignored")] if ignored.any() else []
    return parts + ([Swatch(_hex(_NO_ANSWER)), say("no answer")] if NO_ANSWER in numbers else [])


def _hex(rgb: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*rgb)
