"""An area between two axes, with its grid and what is written beside them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from runner.report.charts.axis import Axis
from runner.report.charts.drawing import line, text

WIDTH = 720
LEFT, RIGHT, TOP, BOTTOM = 80, 18, 40, 56
# Marks on an axis below that would lie on each other on a phone: every second one is for wide screens.
_CROWDED = 7


@dataclass(frozen=True, slots=True)
class Area:
    """Where a plane lies in its picture."""

    left: float
    right: float
    top: float
    bottom: float


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """Two axes on an area.

    Attributes:
        area: of the picture.
        across: the axis from left to right.
        up: the axis from bottom to top.
    """

    area: Area
    across: Axis
    up: Axis

    def x(self, value: float) -> float:
        """Return where a value lies from left to right."""
        return self.area.left + self.across.place(value) * (self.area.right - self.area.left)

    def y(self, value: float) -> float:
        """Return where a value lies from top to bottom; what is beyond the axis, or infinite, lies on its edge."""
        place = min(1.0, max(0.0, self.up.place(value))) if math.isfinite(value) else float(value > 0)
        return self.area.bottom - place * (self.area.bottom - self.area.top)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return where a point lies."""
        return self.x(x), self.y(y)

    def rows(self, svg: ET.Element, title: str, shown: Callable[[float], str] = "{:g}".format) -> None:
        """Draw the lines of the axis from bottom to top, with what they stand for, and its title above, if any."""
        for value in self.up.marks:
            line(svg, [(self.area.left, self.y(value)), (self.area.right, self.y(value))], "grid")
            text(svg, (self.area.left - 7, self.y(value) + 4.5), shown(value), "soft", anchor="end")
        if title:
            text(svg, (4, self.area.top - 20), title)

    def columns(
        self, svg: ET.Element, title: str, shown: Callable[[float], str] = "{:g}".format, *, lines: bool = True
    ) -> None:
        """Write what stands below the axis from left to right, with or without its lines, and its title below."""
        crowded = len(self.across.marks) > _CROWDED
        for number, value in enumerate(self.across.marks):
            if lines:
                line(svg, [(self.x(value), self.area.top), (self.x(value), self.area.bottom)], "grid")
            kind = "soft wide" if crowded and number % 2 else "soft"
            text(svg, (self.x(value), self.area.bottom + 22), shown(value), kind, anchor="middle")
        text(svg, ((self.area.left + self.area.right) / 2, self.area.bottom + 46), title, anchor="middle")
