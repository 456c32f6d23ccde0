"""The heads of YOLOv5 and YOLOv7, decoded: a box in pixels, an objectness and class probabilities at every place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runner.dataset.frame import Size
from runner.errors import ConfigError
from runner.evaluation.outputs import Outputs
from runner.tasks.detection.head import (
    CANDIDATES,
    GRIDS,
    around,
    grid_places,
    only_output,
    refuse_thresholds,
    scored,
    told,
)
from runner.tasks.detection.nms import suppressed, surest
from runner.tasks.detection.postprocess import Detections

_FAMILY = "yolov5"
_SHAPE = "[1, places, 5 + classes]"
# What a probability may be beyond 1 by rounding.
_ROUNDING = 0.01


@dataclass(frozen=True, slots=True)
class Yolov5:
    """Reads [1, places, 5 + classes]: centre x, centre y, width, height in pixels, objectness, class probabilities.

    The defaults are those of YOLOv5's ``val.py``: a place may hold boxes of several classes, whose scores are objectness times
    probability.

    Attributes:
        score: boxes at or below it are left out.
        iou: above which the less sure of two boxes of a class goes.
        most: boxes an item.
        multi_label: whether a place may hold boxes of several classes, or only one of its likeliest.
        classes: how many there are, where more follows them (masks, keypoints); None where nothing does.
        output: name of the output; the only one by default.
    """

    score: float = 0.001
    iou: float = 0.6
    most: int = 300
    multi_label: bool = True
    classes: int | None = None
    output: str | None = None

    def __post_init__(self) -> None:
        refuse_thresholds(self.score, self.iou, self.most)
        if self.classes is not None and self.classes < 1:
            raise ConfigError(f"postprocess.classes: expected 1 or more, or null, got {self.classes}.")

    def detections(self, outputs: Outputs, size: Size) -> Detections:
        """Return the boxes of one item; see ``Postprocess``."""
        head = self._head(outputs, size)
        rows = head[head[:, 4] > self.score]  # a probability makes no score larger
        with np.errstate(invalid="ignore", over="ignore"):
            scores = rows[:, 4:5] * rows[:, 5:]
            sure, classes = scored(scores, self.score, multi_label=self.multi_label)
            corners = around(rows)
        return suppressed(surest(corners[sure], scores[sure, classes], classes, CANDIDATES), self.iou, self.most)

    def check(self, outputs: Outputs, size: Size) -> None:
        """Refuse channels that are no objectness and no class's probability."""
        head = self._head(outputs, size)
        furthest = float(np.nanmax(np.abs(head[:, 4:] - 0.5), initial=0.0))
        if furthest > 0.5 + _ROUNDING:
            raise ConfigError(
                f"postprocess: {_FAMILY} reads an objectness and class probabilities of 0 to 1 behind the box, got values "
                f"{furthest - 0.5:.3g} beyond that in {told(outputs)}. Where masks or keypoints follow the classes, set "
                "postprocess.classes=N; a head that gives no probabilities needs a Sigmoid, or a class of your own."
            )

    def classes_told(self, outputs: Outputs, size: Size) -> int:
        """Return how many classes the head has."""
        return int(self._head(outputs, size).shape[1] - 5)

    def _head(self, outputs: Outputs, size: Size) -> NDArray[np.floating]:
        head = only_output(outputs, self.output, _FAMILY, _SHAPE)
        grids = [grid_places(size, strides) for strides in GRIDS]
        channels = 5 + (self.classes or 1)
        if head.shape[1] < channels or all(head.shape[0] % places for places in grids if places):
            of = "" if self.classes is None else f" of {self.classes} classes"
            raise ConfigError(
                f"postprocess: {_FAMILY} reads an output {_SHAPE}{of}, of {3 * grids[0]} places for an input of "
                f"{size[0]}x{size[1]}; got {told(outputs)}. For a head without an objectness choose postprocess=yolov8, for "
                "boxes that went through NMS nms_inside."
            )
        return head if self.classes is None else head[:, :channels]
