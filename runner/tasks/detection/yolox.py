"""YOLOX's head: a box, an objectness and class probabilities at every place of three grids."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from runner.dataset.frame import Size
from runner.errors import ConfigError
from runner.evaluation.outputs import Outputs
from runner.tasks.detection.formats import usual
from runner.tasks.detection.head import STRIDES, around, grid_places, only_output, refuse_thresholds, scored, told
from runner.tasks.detection.nms import suppressed, surest
from runner.tasks.detection.postprocess import Detections

_FAMILY = "yolox"
# Around a place, in strides, raw centres lie within this; decoded ones of a whole input go far beyond.
_RAW = 16.0


@dataclass(frozen=True, slots=True)
class Yolox:
    """Reads [1, places, 5 + classes]: x, y, log w, log h in strides from a place, objectness, class probabilities.

    A box's score is objectness times probability. A place has one class, its likeliest, as in YOLOX's own evaluation
    (``yolox/utils/boxes.py``: postprocess, with 0.01 and 0.65); with ``multi_label`` all that are likely enough, as in its
    ``multiclass_nms``.

    Attributes:
        score: boxes at or below it are left out.
        iou: above which the less sure of two boxes of a class goes.
        most: boxes an item.
        multi_label: whether a place may hold boxes of several classes.
        decoded: whether the export decodes boxes itself (``--decode_in_inference``): centre x, centre y, width, height in
            pixels.
        strides: of the grids, in the order of the places.
        output: name of the output; the only one by default.
    """

    score: float = 0.01
    iou: float = 0.65
    most: int = 100
    multi_label: bool = False
    decoded: bool = False
    strides: list[int] = field(default_factory=lambda: list(STRIDES))
    output: str | None = None

    def __post_init__(self) -> None:
        refuse_thresholds(self.score, self.iou, self.most)
        if not self.strides or min(self.strides) < 1:
            raise ConfigError(f"postprocess.strides: expected whole numbers of 1 or more, got {self.strides}.")

    def detections(self, outputs: Outputs, size: Size) -> Detections:
        """Return the boxes of one item; see ``Postprocess``."""
        head = self._head(outputs, size)
        likely = np.flatnonzero(head[:, 4] > self.score)  # a probability makes no score larger
        rows = head[likely]
        with np.errstate(invalid="ignore", over="ignore"):
            scores = rows[:, 4:5] * rows[:, 5:]
            sure, classes = scored(scores, self.score, multi_label=self.multi_label)
            corners = around(self._boxes(rows, likely, size))
        found = surest(corners[sure], scores[sure, classes], classes, len(sure))
        return suppressed(found, self.iou, self.most)

    def check(self, outputs: Outputs, size: Size) -> None:
        """Refuse boxes that are decoded where raw ones are expected, and the other way round."""
        if self._head(outputs, size).shape[0] < 2 or max(size) <= _RAW * 2:
            return
        centres = np.abs(self._head(outputs, size)[:, :2])
        finite = centres[np.isfinite(centres)]
        furthest = float(finite.max(initial=0.0))
        # A place where nothing is found may say anything.
        if len(finite) and (usual(finite) > _RAW) != self.decoded:
            raise ConfigError(
                f"postprocess.decoded: expected {'pixels' if self.decoded else 'strides from a place'}, as "
                f"decoded={str(self.decoded).lower()} has it, got centres up to {furthest:.3g} in {told(outputs)}. "
                f"Set postprocess.decoded={str(not self.decoded).lower()}."
            )

    def classes_told(self, outputs: Outputs, size: Size) -> int:
        """Return how many classes the head has."""
        return int(self._head(outputs, size).shape[1] - 5)

    def _head(self, outputs: Outputs, size: Size) -> NDArray[np.floating]:
        head = only_output(outputs, self.output, _FAMILY, "[1, places, 5 + classes]")
        places = grid_places(size, self.strides)
        if head.shape[0] != places or head.shape[1] < 6:
            raise ConfigError(
                f"postprocess: {_FAMILY} reads an output [1, {places}, 5 + classes] for an input of {size[0]}x{size[1]} and "
                f"strides {', '.join(map(str, self.strides))}; got {told(outputs)}. Set postprocess.strides, or choose "
                "another postprocess."
            )
        return head

    def _boxes(self, rows: NDArray[np.floating], places: NDArray[np.int64], size: Size) -> NDArray[np.float64]:
        """Return centre x, centre y, width, height in pixels."""
        boxes = np.asarray(rows[:, :4], np.float64)
        if self.decoded:
            return boxes
        corner, stride = _grid(size, self.strides)
        steps = stride[places][:, np.newaxis]
        return np.concatenate([(boxes[:, :2] + corner[places]) * steps, np.exp(boxes[:, 2:]) * steps], axis=1)


def _grid(size: Size, strides: list[int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each place's (column, row), shape (places, 2), and its stride."""
    corners, steps = [], []
    for stride in strides:
        rows, columns = np.mgrid[: size[0] // stride, : size[1] // stride]
        corners.append(np.stack([columns, rows], axis=-1).reshape(-1, 2).astype(np.float64))
        steps.append(np.full(len(corners[-1]), float(stride)))
    return np.concatenate(corners), np.concatenate(steps)
