"""The measure of segmenters: intersection over union, mean over classes, in percent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from runner.dataset.item import Truth
from runner.dataset.truth import ClassMap
from runner.errors import ConfigError
from runner.evaluation.accuracy import PERCENTAGE_POINTS
from runner.evaluation.metric import Scores, below_target
from runner.evaluation.outputs import NO_ANSWER, ClassScores, Outputs
from runner.tasks.segmentation.class_output import ClassOutput, Layout
from runner.tasks.segmentation.pixel_counts import PixelCounts, drawn_mean_overlaps
from runner.tasks.segmentation.resolution import at_input, shown_pixels
from runner.wording import say


@dataclass(frozen=True, slots=True)
class MeanIou:
    """Intersection over union of pixels, summed over items, mean over the classes that occur in the truth of those items.

    Its loss, in percentage points, is below 0 where the quantized model does better. Each pixel of a mask, in the mask's own
    resolution, is held against the nearest place of the output, so larger masks weigh more; or each pixel of the model's input
    against the nearest pixel of the mask and the nearest place of the output, so all weigh alike.

    An item's row is ``(class, right, true, said)`` of each class that is true or said of a pixel, by rising class: as long as
    the item has classes. Without any pixel that counts the metric is no number, and there is no loss.

    Attributes:
        output: name of the output that holds the map; the only one that fits by default.
        layout: of its scores ``nchw`` or ``nhwc``, or ``map`` where it holds numbers of classes; None for what fits.
        resolution: in which pixels are counted, the ``mask``'s own or the model's ``input``'s.
        threshold: where a pixel has one score alone, above which it is of class 1; None: 0.5, of probabilities.
    """

    output: str | None = None
    layout: Layout | None = None
    resolution: Literal["mask", "input"] = "mask"
    threshold: float | None = None
    name = "miou"
    unit = PERCENTAGE_POINTS
    needs_labels = True
    needs_classes = False
    needs_reference = False

    def __post_init__(self) -> None:
        if self.resolution not in ("mask", "input"):
            raise ConfigError(f"metric.resolution: expected mask or input, got {self.resolution}.")
        _ = self._reads  # which refuses what it does not know

    def why_not(self, truth: Truth) -> str | None:
        """Return what was expected of a truth that is no class map."""
        return None if isinstance(truth, ClassMap) else "class maps (dataset=masks)"

    def check_outputs(self, outputs: Outputs, truth: Truth) -> None:
        """Refuse outputs that hold no map, or tell fewer classes than a mask holds.

        Raises:
            ConfigError: says what was expected, what the outputs are, and what to set.
        """
        self._reads.check(outputs, truth)

    def score(
        self, outputs: Outputs, reference: Outputs, label: Truth, classes: ClassScores | None
    ) -> NDArray[np.float64]:
        """Return an item's row, see ``PixelCounts.row``."""
        truth = label if self.resolution == "mask" else at_input(label)
        return PixelCounts.of(truth, self._reads.classes(outputs, label.frame.taken)).row()

    def aggregate(self, scores: Scores) -> float:
        """Return the mean over classes in percent; NaN where no pixel counts."""
        return PixelCounts.total(scores).mean_overlap()

    def loss(self, float_scores: Scores, scores: Scores) -> float:
        """Return how many percentage points are lost; 0 where no pixel counts."""
        difference = self.aggregate(float_scores) - self.aggregate(scores)
        return 0.0 if math.isnan(difference) else difference

    def accepts(self, float_scores: Scores, scores: Scores, target: float) -> bool:
        """Return whether the loss is below the target."""
        return below_target(self.loss(float_scores, scores), target)

    def figures(self, scores: Scores) -> Mapping[str, float]:
        """Return the share of pixels that are right, in percent."""
        accuracy = PixelCounts.total(scores).accuracy()
        return {} if math.isnan(accuracy) else {"pixel_accuracy": accuracy}

    def by_class(self, scores: Scores) -> Mapping[int, float]:
        """Return intersection over union in percent of each class that occurs in the truth, by its number."""
        total = PixelCounts.total(scores)
        return dict(zip(total.true_classes.tolist(), (100.0 * total.overlap()).tolist(), strict=True))

    def resampled_losses(self, float_scores: Scores, scores: Scores, draws: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the loss over each draw of items; see ``Resampled``."""
        times = np.stack([np.bincount(draw, minlength=len(scores)) for draw in draws])
        lost = drawn_mean_overlaps(float_scores, times) - drawn_mean_overlaps(scores, times)
        return np.nan_to_num(lost, nan=0.0)

    def cost(self, before: NDArray[np.float64], after: NDArray[np.float64]) -> float | None:
        """Return by how many points the item's own mean over classes fell; None where every count is the same."""
        if np.array_equal(before, after):
            return None
        return self.loss(before[np.newaxis], after[np.newaxis])

    def words(self, row: NDArray[np.float64]) -> Mapping[str, str]:
        """Return the item's own figures, and how many classes are in its truth."""
        total = PixelCounts.total(row[np.newaxis])
        if not len(total.true_classes):
            return {"pixel_accuracy": say("no pixel counts"), "miou": "", "classes": "0"}
        return {
            "pixel_accuracy": f"{total.accuracy():.1f} %",
            "miou": f"{total.mean_overlap():.1f} %",
            "classes": str(len(total.true_classes)),
        }

    def answer(self, outputs: Outputs, truth: Truth, side: int) -> NDArray[np.int32]:
        """Return the class that is said of each pixel of the mask; ``NO_ANSWER`` where none is, or the input has not got it."""
        said = self._reads.classes(outputs, truth.frame.taken)
        cells = truth.frame.cells((said.shape[0], said.shape[1]))
        rows, columns = (of[places] for of, places in zip(cells, shown_pixels(truth.classes.shape, side), strict=True))
        held = (rows >= 0)[:, np.newaxis] & (columns >= 0)
        return np.where(held, said[rows][:, columns], NO_ANSWER).astype(np.int32)

    @property
    def _reads(self) -> ClassOutput:
        return ClassOutput(self.output, self.layout, self.threshold)
