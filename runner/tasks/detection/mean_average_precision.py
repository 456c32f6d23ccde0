"""The measure of detectors: COCO's AP at overlaps of 0.50 to 0.95, in percent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runner.dataset.item import Truth
from runner.dataset.truth import Boxes, highest_class
from runner.errors import ConfigError
from runner.evaluation.accuracy import PERCENTAGE_POINTS
from runner.evaluation.metric import Scores, below_target
from runner.evaluation.outputs import ClassScores, Outputs
from runner.tasks.detection.average_precision import AREAS, AveragePrecision, average_precision
from runner.tasks.detection.changes import Seen, cost
from runner.tasks.detection.postprocess import KnowsClasses, KnowsOtherHeads, Postprocess
from runner.tasks.detection.resampling import ResampledPrecision
from runner.tasks.detection.rows import ItemBoxes

POSTPROCESSES = "yolox, yolov5, yolov8, nms_inside, ssd, or a class of your own"


@dataclass(frozen=True, slots=True)
class MeanAveragePrecision:
    """AP over classes and overlaps, as COCO has it.

    Its loss, in percentage points, is below 0 where the quantized model does better. An item's row holds the boxes that were
    found and those that are true, see ``ItemBoxes``. Items without any true box give an AP that is no number, and no loss.

    Attributes:
        postprocess: reads boxes out of outputs.
    """

    postprocess: Postprocess | None = None
    name = "map"
    unit = PERCENTAGE_POINTS
    needs_labels = True
    needs_classes = False
    needs_reference = False
    output = None

    def why_not(self, truth: Truth) -> str | None:
        """Return what was expected of a truth that holds no boxes."""
        return None if isinstance(truth, Boxes) else "boxes (dataset=coco or dataset=yolo)"

    def check_outputs(self, outputs: Outputs, truth: Truth) -> None:
        """Refuse outputs that the postprocess does not read.

        Raises:
            ConfigError: there is no postprocess, or the outputs are not those of its family.
        """
        postprocess, size = self._reads(), truth.frame.taken
        if isinstance(postprocess, KnowsOtherHeads):
            postprocess.check(outputs, size)
        postprocess.detections(outputs, size)
        if isinstance(postprocess, KnowsClasses):
            told, most = postprocess.classes_told(outputs, size), highest_class(truth)
            if most >= told:
                raise ConfigError(
                    f"metric=map: the data holds boxes of class {most}, but the model tells {told} classes, 0 to {told - 1}. "
                    "Number the data's classes as the model does (dataset.names, the categories of a COCO file by rising id)"
                )

    def score(
        self, outputs: Outputs, reference: Outputs, label: Truth, classes: ClassScores | None
    ) -> NDArray[np.float64]:
        """Return an item's row, as ``ItemBoxes.row`` lays it out."""
        return ItemBoxes.of(label, self._reads().detections(outputs, label.frame.taken)).row()

    def aggregate(self, scores: Scores) -> float:
        """Return AP in percent; NaN where no item has a true box."""
        return average_precision(scores).percent()

    def loss(self, float_scores: Scores, scores: Scores) -> float:
        """Return how many percentage points of AP are lost; 0 where no item has a true box."""
        return _difference(self.aggregate(float_scores), self.aggregate(scores))

    def accepts(self, float_scores: Scores, scores: Scores, target: float) -> bool:
        """Return whether the loss is below the target."""
        return below_target(self.loss(float_scores, scores), target)

    def figures(self, scores: Scores) -> Mapping[str, float]:
        """Return AP at overlaps of 0.50 and 0.75, and of small, medium and large boxes; without those that nothing tells."""
        found = average_precision(scores)
        told = {"map50": found.percent(overlap=0), "map75": found.percent(overlap=5)}
        told |= {f"map_{name}": found.percent(area=area) for area, name in enumerate(AREAS) if area}
        return {name: value for name, value in told.items() if not math.isnan(value)}

    def by_class(self, scores: Scores) -> Mapping[int, float]:
        """Return AP in percent of each class that occurs in the truth, by its number."""
        found = average_precision(scores)
        each = {
            int(number): AveragePrecision(
                found.classes[place : place + 1], found.values[:, place : place + 1]
            ).percent()
            for place, number in enumerate(found.classes)
        }
        return {number: value for number, value in each.items() if not math.isnan(value)}

    def resampled_losses(self, float_scores: Scores, scores: Scores, draws: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the loss over each draw of items; see ``Resampled``."""
        float_ap, ap = (
            ResampledPrecision([ItemBoxes.from_row(row) for row in rows]) for rows in (float_scores, scores)
        )
        times = (np.bincount(draw, minlength=len(scores)) for draw in draws)
        return np.array([_difference(float_ap.percent(each), ap.percent(each)) for each in times])

    def cost(self, before: NDArray[np.float64], after: NDArray[np.float64]) -> float | None:
        """Return what the change of a photo's boxes costs; see ``changes.cost``."""
        return cost(before, after)

    def words(self, row: NDArray[np.float64]) -> Mapping[str, str]:
        """Return ``3 of 4 found, 1 false``: at an overlap of 0.5, by boxes of a score of at least 0.25."""
        return {"boxes": Seen.of(row).words()}

    def _reads(self) -> Postprocess:
        if self.postprocess is None:
            raise ConfigError(
                "postprocess: metric=map needs to know how boxes are read out of the model's outputs; expected "
                f"postprocess={POSTPROCESSES.replace(', ', ' | ').replace(' | or a', ' or a')}, got none."
            )
        return self.postprocess


def _difference(float_ap: float, ap: float) -> float:
    return 0.0 if math.isnan(float_ap) or math.isnan(ap) else float_ap - ap
