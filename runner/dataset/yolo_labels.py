"""YOLO's label files: ``class cx cy w h`` a line, as shares of the photo's width and height."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runner.errors import DatasetError
from runner.printable import shown

KEY = "dataset.labels"
_EXPECTED = "'class cx cy width height', or 'class' and the x y of three points or more, as shares of the photo"
# Tools write what lies at the edge a little beyond it.
_BEYOND = 0.01
_MOST_CLASS = 1_000_000


def read_yolo_labels(path: Path, classes: int | None) -> NDArray[np.float64]:
    """Return a file's boxes [n, (class, x1, y1, x2, y2)] as shares of the photo; blank lines are skipped.

    A polygon, of which segments are written, becomes the box around it.

    Args:
        path: of the file.
        classes: how many there are; None where that is not known.

    Raises:
        DatasetError: the file cannot be read, or a line is malformed: names it by its number.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise DatasetError(f"{KEY}: {shown(path)} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{KEY}: {shown(path)} is no UTF-8 text: {error.reason} at byte {error.start}.") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            rows.append(_box(line, classes))
        except ValueError as error:
            raise DatasetError(f"{KEY}: {shown(path)}:{number}: {error}, got '{shown(line.strip())[:80]}'.") from error
    return np.array(rows, np.float64).reshape(-1, 5)


def _box(line: str, classes: int | None) -> tuple[float, ...]:
    """Return (class, x1, y1, x2, y2) of a line; a ValueError says what was expected."""
    try:
        number, *places = map(float, line.split())
    except ValueError as error:
        raise ValueError(f"expected {_EXPECTED}") from error
    polygon = len(places) >= 6 and len(places) % 2 == 0
    if len(places) != 4 and not polygon:
        raise ValueError(f"expected {_EXPECTED}")
    if not number.is_integer() or not 0 <= number <= _MOST_CLASS:
        raise ValueError(f"expected a class number of 0 to {_MOST_CLASS}")
    if classes is not None and number >= classes:
        raise ValueError(f"expected a class number below {classes}, as dataset.names has so many")
    if not all(math.isfinite(place) and -_BEYOND <= place <= 1 + _BEYOND for place in places):
        raise ValueError("expected shares of the photo, 0 to 1, no pixels")
    if polygon:
        return (number, min(places[::2]), min(places[1::2]), max(places[::2]), max(places[1::2]))
    x, y, width, height = places
    if min(width, height) < 0:
        raise ValueError("expected a width and a height that are not negative")
    return (number, x - width / 2, y - height / 2, x + width / 2, y + height / 2)
