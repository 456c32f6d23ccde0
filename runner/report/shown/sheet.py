"""The drawn items in one picture, as a file."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from runner.figure import Part, Swatch
from runner.report.caption_font import caption, default_font
from runner.report.contact_sheet import COLOURS
from runner.report.shown.drawn import Drawn
from runner.report.shown.photo import png

_MARGIN, _LINE = 10, 16
# Width of a picture where an item has one, and where it has several, beside each other.
_ALONE, _BESIDE = 320, 240
_COLUMNS = 4


def sheet(drawn: Sequence[Drawn], legend: Sequence[Part] = ()) -> bytes | None:
    """Return a PNG of items with what became of each; None where none has a picture.

    A name whose letters no font has is told by the item's number.
    """
    shown = [each for each in drawn if each.pictures]
    if not shown:
        return None
    most = max(len(each.pictures) for each in shown)
    side = _ALONE if most == 1 else _BESIDE
    across = min(_COLUMNS, len(shown)) if most == 1 else 1
    blocks = [_block(each, side, most) for each in shown]
    rows = [blocks[start : start + across] for start in range(0, len(blocks), across)]
    heights = [max(block.height for block in row) + _MARGIN for row in rows]
    width = across * (blocks[0].width + _MARGIN) + _MARGIN
    head = _MARGIN + (_LINE if any(isinstance(part, Swatch) for part in legend) else 0)
    whole = Image.new("RGB", (width, head + sum(heights)), "white")
    _legend(whole, legend)
    top = head
    for row, height in zip(rows, heights, strict=True):
        for place, block in enumerate(row):
            whole.paste(block, (_MARGIN + place * (block.width + _MARGIN), top))
        top += height
    return png(whole)


def _block(each: Drawn, side: int, most: int) -> Image.Image:
    font = default_font()
    small = [_fitted(shown.image, side) for shown in each.pictures]
    height = max(image.height for image in small)
    block = Image.new("RGB", (most * side + (most - 1) * _MARGIN, height + 2 * _LINE), "white")
    draw, item = ImageDraw.Draw(block), each.item
    for place, (image, shown) in enumerate(zip(small, each.pictures, strict=True)):
        left = place * (side + _MARGIN)
        block.paste(image, (left, 0))
        if most > 1:
            draw.text((left, height + 1), shown.shows.split(":")[0], fill="#555555", font=font)
    at, told = height + (_LINE if most > 1 else 1), f"  {item.effect}, cost {item.cost:.3g}"
    name, its_font = caption(item.name, item.index, block.width - font.getlength(told))
    draw.text((0, at), name, fill=COLOURS[item.effect], font=its_font)
    draw.text((its_font.getlength(name), at), told, fill=COLOURS[item.effect], font=font)
    return block


def _fitted(image: Image.Image, side: int) -> Image.Image:
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BICUBIC)


def _legend(whole: Image.Image, legend: Sequence[Part]) -> None:
    """Draw samples of lines and areas, and the text behind each, as far as the picture is wide."""
    draw, font, left = ImageDraw.Draw(whole), default_font(), _MARGIN
    for part in legend:
        if isinstance(part, Swatch):
            on, off = {"dashed": (8, 4), "dotted": (3, 3)}.get(part.line, (30, 0))
            for start in range(left, left + 30, on + off):
                draw.rectangle((start, 11, min(start + on - 1, left + 29), 14), fill=part.colour)
            left += 34
        elif isinstance(part, str):
            text = part.split(".")[0]
            draw.text((left, 4), text, fill="#222222", font=font)
            left += round(font.getlength(text)) + 14
