"""Parts of a picture inside a page, which gives the colours: the same picture is right on a light and on a dark ground.

Pictures are as wide as their place allows, down to a phone, where their texts grow against the rest (``style.py``): what there
is no room for then is of the class ``wide``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from xml.etree import ElementTree as ET

from runner.printable import printable
from runner.wording import spoken

# Of a letter, on average, in the unit of a picture.
LETTER = 6.6


def picture(width: float, height: float, shows: str, kind: str = "") -> ET.Element:
    """Return an empty picture with what it shows, for whoever cannot see it; the size is for where no page gives another."""
    size = {"viewBox": f"0 0 {width:g} {height:g}", "width": f"{width:g}", "height": f"{height:g}"}
    looks = {"role": "img", "aria-label": printable(spoken(shows))} | ({"class": kind} if kind else {})
    return ET.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", **looks, **size})


def text(
    parent: ET.Element, at: tuple[float, float], words: str, kind: str = "", *, anchor: str = "start", longest: int = 0
) -> ET.Element:
    """Add a text; one with more characters than ``longest`` is cut, and whole where the pointer rests on it; 0 cuts none."""
    place = {"x": _number(at[0]), "y": _number(at[1])}
    looks = {"text-anchor": anchor} if anchor != "start" else {}
    element = ET.SubElement(parent, "text", place | looks | ({"class": kind} if kind else {}))
    words = printable(spoken(words))
    element.text = words
    if 0 < longest < len(words):
        element.text = f"{words[: longest - 1]}…"
        ET.SubElement(element, "title").text = words
    return element


def line(parent: ET.Element, points: Iterable[tuple[float, float]], kind: str) -> ET.Element:
    """Add a line through points."""
    through = " ".join(f"{_number(x)},{_number(y)}" for x, y in points)
    return ET.SubElement(parent, "polyline", {"points": through, "class": kind})


def rectangle(parent: ET.Element, start: tuple[float, float], end: tuple[float, float], kind: str) -> ET.Element:
    """Add a rectangle between two opposite corners."""
    (x1, x2), (y1, y2) = (sorted(pair) for pair in zip(start, end, strict=True))
    size = {"width": _number(x2 - x1), "height": _number(y2 - y1)}
    return ET.SubElement(parent, "rect", {"x": _number(x1), "y": _number(y1), **size, "class": kind})


def dot(parent: ET.Element, at: tuple[float, float], radius: float, kind: str) -> ET.Element:
    """Add a circle."""
    place = {"cx": _number(at[0]), "cy": _number(at[1]), "r": _number(radius)}
    return ET.SubElement(parent, "circle", {**place, "class": kind})


def cross(parent: ET.Element, at: tuple[float, float], reach: float, kind: str) -> ET.Element:
    """Add a cross of two diagonals."""
    x, y, size = at[0] - reach, at[1] - reach, _number(2 * reach)
    path = f"M{_number(x)} {_number(y)}l{size} {size}m0 -{size}l-{size} {size}"
    return ET.SubElement(parent, "path", {"d": path, "class": kind})


def mark(parent: ET.Element, told: str) -> ET.Element:
    """Return a group whose parts say the same where the pointer rests on them."""
    group = ET.SubElement(parent, "g", {"class": "mark"})
    ET.SubElement(group, "title").text = "\n".join(printable(said) for said in spoken(told).split("\n"))
    return group


def without_common_start(names: Sequence[str]) -> list[str]:
    """Return names without the folders that all of them begin with, as in ``mobilenet/``."""
    parts = [name.split("/") for name in names]
    shared = 0
    for together in zip(*(folders[:-1] for folders in parts), strict=False):
        if len(set(together)) > 1:
            break
        shared += 1
    return ["/".join(folders[shared:]) for folders in parts]


def ending(name: str, longest: int) -> str:
    """Return a name that is not longer than so many characters: its end tells more of a layer than its beginning."""
    return name if len(name) <= longest else f"…{name[1 - longest :]}"


def written(svg: ET.Element) -> str:
    """Return the picture's text."""
    return ET.tostring(svg, encoding="unicode")


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
