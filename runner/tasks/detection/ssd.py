"""Heads of two outputs, as SSD's: decoded boxes and the scores of every class at every place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runner.dataset.frame import Size
from runner.errors import ConfigError
from runner.evaluation.outputs import Outputs
from runner.tasks.detection.formats import Order, corners_of, refuse_order, refuse_other_unit, that_holds_boxes
from runner.tasks.detection.head import CANDIDATES, refuse_thresholds, scored, told
from runner.tasks.detection.nms import suppressed, surest
from runner.tasks.detection.postprocess import Detections


@dataclass(frozen=True, slots=True)
class Ssd:
    """Reads boxes [1, places, 4] and probabilities [1, places, classes], of which one class may be the background.

    A place may hold boxes of several classes, as in SSD's own evaluation, whose thresholds are the defaults. The other classes
    are numbered in their order, 0 first, without the background.

    Attributes:
        score: boxes at or below it are left out.
        iou: above which the less sure of two boxes of a class goes.
        most: boxes an item.
        background: the class that is none; None where every class is one.
        order: of a box's numbers: ``xyxy``, ``yxyx``, ``xywh`` from the top left corner, or ``cxcywh``.
        normalized: whether they are shares of the input's width and height, or pixels.
        boxes: name of the output that holds them; the one whose last axis is 4 by default.
        scores: name of the other.
    """

    score: float = 0.01
    iou: float = 0.45
    most: int = 200
    background: int | None = 0
    order: Order = "xyxy"
    normalized: bool = True
    boxes: str | None = None
    scores: str | None = None

    def __post_init__(self) -> None:
        refuse_thresholds(self.score, self.iou, self.most)
        refuse_order(self.order)
        if self.background is not None and self.background < 0:
            raise ConfigError(f"postprocess.background: expected 0 or more, or null, got {self.background}.")

    def detections(self, outputs: Outputs, size: Size) -> Detections:
        """Return the boxes of one item; see ``Postprocess``."""
        boxes, scores = self._heads(outputs)
        if self.background is not None:
            scores = np.delete(scores, self.background, axis=1)
        with np.errstate(invalid="ignore", over="ignore"):
            sure, classes = scored(scores, self.score, multi_label=True)
            corners = corners_of(boxes[sure], self.order, size, normalized=self.normalized)
        return suppressed(surest(corners, scores[sure, classes], classes, CANDIDATES), self.iou, self.most)

    def check(self, outputs: Outputs, size: Size) -> None:
        """Refuse boxes in another unit, and scores that are no probabilities."""
        boxes, scores = self._heads(outputs)
        refuse_other_unit(boxes, outputs, normalized=self.normalized, every_place=True)
        least, most = float(np.nanmin(scores, initial=0.0)), float(np.nanmax(scores, initial=0.0))
        if least < -0.01 or most > 1.01:
            raise ConfigError(
                f"postprocess: ssd reads probabilities of 0 to 1, got scores from {least:.3g} to {most:.3g} in "
                f"{told(outputs)}. A head that gives no probabilities needs a Softmax, or a class of your own."
            )

    def classes_told(self, outputs: Outputs, size: Size) -> int:
        """Return how many classes there are beside the background."""
        return int(self._heads(outputs)[1].shape[1]) - (self.background is not None)

    def _heads(self, outputs: Outputs) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Return boxes [places, 4] and scores [places, classes]."""
        for key in (name for name in (self.boxes, self.scores) if name is not None and name not in outputs):
            raise ConfigError(f"postprocess: the model has no output '{key}'; it has {told(outputs)}.")
        if None in (self.boxes, self.scores) and len(outputs) != 2:
            raise ConfigError(
                "postprocess: ssd reads two outputs, boxes [1, places, 4] and scores [1, places, classes]; got "
                f"{told(outputs)}. Name them: postprocess.boxes=NAME postprocess.scores=NAME."
            )
        boxes = self.boxes or that_holds_boxes(outputs, [name for name in outputs if name != self.scores])
        scores = self.scores or next((name for name in outputs if name != boxes), None)
        if boxes is None or scores is None or not _fit(outputs[boxes], outputs[scores], self.background):
            raise ConfigError(
                "postprocess: ssd reads boxes [1, places, 4] and scores [1, places, classes] of as many places, with the class "
                f"postprocess.background={'null' if self.background is None else self.background} among them; got "
                f"{told(outputs)}. Name them: postprocess.boxes=NAME postprocess.scores=NAME."
            )
        return outputs[boxes][0], outputs[scores][0]


def _fit(boxes: NDArray[np.floating], scores: NDArray[np.floating], background: int | None) -> bool:
    shaped = boxes.ndim == scores.ndim == 3 and boxes.shape[0] == scores.shape[0] == 1 and boxes.shape[2] == 4
    return shaped and boxes.shape[1] == scores.shape[1] and (background is None or 0 <= background < scores.shape[2])
