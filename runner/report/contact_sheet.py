"""A picture of the worst flips: what the model saw, what it answered before and what it answers now."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from runner.dataset.item import Dataset
from runner.report.caption_font import Font, caption, default_font
from runner.report.flips import Flip

SHEET = "flips.png"
_MOST = 24
_COLUMNS = 6
_TILE = 160
_MARGIN = 10
_LINE = 15
COLOURS = {"lost": (176, 32, 32), "gained": (24, 120, 56), "changed": (64, 64, 64)}


def contact_sheet(found: Sequence[Flip], dataset: Dataset) -> bytes | None:
    """Return a PNG of the first 24 flips, or None where there is none or the items are no images.

    Each tile is the model's own input, stretched from its least to its greatest value; below it the item's name, the
    label, and both answers with their margins.
    """
    tiles = [(flip, picture(dataset.item(flip.index).arrays)) for flip in found[:_MOST]]
    if not tiles or any(image is None for _, image in tiles):
        return None
    rows = -(-len(tiles) // _COLUMNS)
    columns = min(_COLUMNS, len(tiles))
    width, height = _TILE + _MARGIN, _TILE + 4 * _LINE + _MARGIN
    sheet = Image.new("RGB", (columns * width + _MARGIN, rows * height + _MARGIN), "white")
    draw = ImageDraw.Draw(sheet)
    for place, (flip, image) in enumerate(tiles):
        assert image is not None  # checked above
        left, top = _MARGIN + place % _COLUMNS * width, _MARGIN + place // _COLUMNS * height
        sheet.paste(_fitted(image), (left, top))
        for line, (text, font) in enumerate(_caption(flip)):
            draw.text((left, top + _TILE + 2 + line * _LINE), text, fill=COLOURS[flip.effect], font=font)
    stream = io.BytesIO()
    sheet.save(stream, "PNG")
    return stream.getvalue()


def picture(arrays: Mapping[str, NDArray[Any]]) -> Image.Image | None:
    """Return an item's only array as an image, or None where it is none: 1 or 3 channels, first or last."""
    values = list(arrays.values())
    if len(values) != 1:
        return None
    array = np.squeeze(np.asarray(values[0], np.float32))
    if array.ndim == 3 and array.shape[0] in (1, 3):
        array = array.transpose(1, 2, 0)
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)) or min(array.shape[:2]) < 8:
        return None
    low, high = float(array.min()), float(array.max())
    scaled = (array - low) * (255.0 / (high - low) if high > low else 0.0)
    return Image.fromarray(np.rint(scaled).astype(np.uint8)).convert("RGB")


def _fitted(image: Image.Image) -> Image.Image:
    scale = _TILE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    # Small inputs are shown as the pixels that they are.
    kind = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BICUBIC
    tile = Image.new("RGB", (_TILE, _TILE), (235, 235, 235))
    tile.paste(image.resize(size, kind), ((_TILE - size[0]) // 2, (_TILE - size[1]) // 2))
    return tile


def _caption(flip: Flip) -> list[tuple[str, Font]]:
    label = "no label" if flip.label is None else f"label {flip.label}"
    lines = (
        f"{label}, {flip.effect}",
        f"was {flip.before.category}  by {flip.before.margin:.3f}",
        f"now {flip.after.category}  by {flip.after.margin:.3f}",
    )
    return [caption(flip.name, flip.index, _TILE), *((line, default_font()) for line in lines)]
