"""What may be true of an item beside a class: boxes, a class a pixel. A text is a ``str``, numbers are arrays by name."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from runner.dataset.frame import Frame


@runtime_checkable
class Known(Protocol):
    """A truth that is more than a plain value, and tells two of its kind apart."""

    @property
    def content(self) -> str:
        """Return a digest of all that results depend on."""
        ...


@runtime_checkable
class ClassNames(Protocol):
    """A dataset that knows what its classes are called."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Return the names, class 0 first; none where they are not known."""
        ...


def highest_class(truth: object) -> int:
    """Return the highest class that a truth of boxes or of a map holds; -1 where it holds none, or is of another kind."""
    if isinstance(truth, Boxes):
        return int(truth.classes.max(initial=-1))
    if isinstance(truth, ClassMap):
        counted = truth.classes if truth.ignore is None else truth.classes[truth.classes != truth.ignore]
        return int(counted.max()) if counted.size else -1
    return -1


@dataclass(frozen=True, slots=True, eq=False)
class Boxes:
    """What is to be found in a photo.

    Attributes:
        corners: x1, y1, x2, y2 in the photo's pixels, float64 of shape (n, 4).
        classes: int64 of shape (n,).
        areas: by which COCO tells small from large, of the segment where that is known, float64 of shape (n,).
        crowd: whether a box stands for many, in which any number of detections is right, of shape (n,).
        frame: where the photo lies in the model's input.
    """

    corners: NDArray[np.float64]
    classes: NDArray[np.int64]
    areas: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    frame: Frame

    @property
    def content(self) -> str:
        """Return a digest of all of it."""
        return _digest(self.corners, self.classes, self.areas, self.crowd, said=repr(self.frame))


@dataclass(frozen=True, slots=True, eq=False)
class ClassMap:
    """The class of each pixel of a photo.

    Attributes:
        classes: whole numbers of shape (height, width), the photo's size or the mask's own.
        ignore: the class of pixels that do not count; None where all do.
        frame: where the mask lies in the model's input.
    """

    classes: NDArray[np.integer[Any]]
    ignore: int | None
    frame: Frame

    @property
    def content(self) -> str:
        """Return a digest of all of it."""
        return _digest(self.classes, said=f"{self.ignore} {self.frame!r}")


def _digest(*arrays: NDArray[Any], said: str) -> str:
    hasher = hashlib.sha256(said.encode())
    for array in arrays:
        hasher.update(f"{array.dtype.str}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return hasher.hexdigest()
