"""Boxes drawn into a photo: three colours, and three kinds of lines for who does not tell the colours apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from PIL import Image, ImageDraw, ImageFont

from runner.wording import Said, say

Whose = Literal["truth", "float", "int8"]


@dataclass(frozen=True, slots=True)
class Look:
    """How boxes of one kind are drawn.

    Attributes:
        colour: as ``#rrggbb``.
        line: the kind, as a style sheet calls it.
        width: in pixels.
        dash: pixels drawn and left out; (0, 0) for all drawn.
    """

    colour: str
    line: str
    width: int
    dash: tuple[int, int] = (0, 0)


WHOSE: dict[Whose, Said] = {"truth": say("truth"), "float": say("float"), "int8": say("int8")}
# Told apart by people who do not see red, green or blue (M. Okabe and K. Ito, 2008), brightened to stand out of photos.
LOOKS: dict[Whose, Look] = {
    "truth": Look("#00d8a0", "solid", 4),
    "float": Look("#2f8fff", "dashed", 3, (10, 7)),
    "int8": Look("#ff7a00", "dotted", 3, (4, 4)),
}
# Of a true box of which nothing changed.
_OTHER = "#b9f3e2"
_EDGE = "#000000"


@dataclass(frozen=True, slots=True)
class DrawnBox:
    """A box in pixels of the picture: x1, y1, x2, y2; what is not ``marked`` is there for orientation."""

    corners: tuple[float, float, float, float]
    whose: Whose
    marked: bool = True


def draw_boxes(image: Image.Image, boxes: Sequence[DrawnBox], tags: Sequence[tuple[float, float, int]] = ()) -> None:
    """Draw boxes into an image, in their order, and over them numbers at places (x, y)."""
    draw = ImageDraw.Draw(image)
    for box in boxes:
        x1, y1, x2, y2 = _within(box.corners, image)
        look = LOOKS[box.whose]
        if not box.marked:
            draw.rectangle((x1, y1, x2, y2), outline=_OTHER, width=1)
            continue
        if look.dash == (0, 0):
            draw.rectangle((x1, y1, x2, y2), outline=_EDGE, width=look.width + 2)
        for line in _outline((x1, y1, x2, y2), look):
            draw.rectangle(line, fill=look.colour)
    font = ImageFont.load_default(12)
    for x, y, number in tags:
        text = str(number)
        width, height = 8 * len(text) + 6, 15
        left, top = min(max(0, round(x)), image.width - width), min(max(0, round(y)), image.height - height)
        draw.rectangle((left, top, left + width, top + height), fill=_EDGE)
        draw.text((left + 4, top), text, fill="#ffffff", font=font)


def _within(corners: tuple[float, float, float, float], image: Image.Image) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = (round(corner) for corner in corners)
    right, bottom = image.width - 1, image.height - 1
    x1, y1 = min(max(x1, 0), right), min(max(y1, 0), bottom)
    return x1, y1, min(max(x2, x1), right), min(max(y2, y1), bottom)


def _outline(box: tuple[int, int, int, int], look: Look) -> Iterator[tuple[int, int, int, int]]:
    """Yield the rectangles that a box's sides are drawn as, inwards."""
    x1, y1, x2, y2 = box
    inner = look.width - 1
    for start, end in _dashes(x1, x2, look.dash):
        yield start, y1, end, min(y1 + inner, y2)
        yield start, max(y2 - inner, y1), end, y2
    for start, end in _dashes(y1, y2, look.dash):
        yield x1, start, min(x1 + inner, x2), end
        yield max(x2 - inner, x1), start, x2, end


def _dashes(start: int, end: int, dash: tuple[int, int]) -> Iterator[tuple[int, int]]:
    on, off = dash
    if not on:
        yield start, end
        return
    for place in range(start, end + 1, on + off):
        yield place, min(place + on - 1, end)
