"""``metric=auto``: the measure of the task that the items' truth shows; and what a metric needs from beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from runner.dataset.input_settings import beneath
from runner.dataset.item import Dataset
from runner.dataset.text_lines import HasAlphabet
from runner.dataset.truth import Boxes, ClassMap
from runner.errors import ConfigError
from runner.evaluation.accuracy import TopK
from runner.evaluation.metric import Metric
from runner.tasks.detection.mean_average_precision import MeanAveragePrecision
from runner.tasks.detection.postprocess import Postprocess
from runner.tasks.regression.mean_absolute_error import MeanAbsoluteError
from runner.tasks.segmentation.miou import MeanIou
from runner.tasks.text.character_errors import CharacterErrors


@dataclass(frozen=True, slots=True)
class OfTask:
    """``metric=auto``: ``map`` where items have boxes, ``miou`` class maps, ``text`` texts, ``mae`` numbers, else ``top1``.

    Attributes:
        output: judge this output of the model; one of boxes is named in the postprocess.
    """

    output: str | None = None

    def metric(self, dataset: Dataset) -> Metric:
        """Return the metric for a dataset, by the truth of its first item."""
        truth = dataset.label(0)
        if isinstance(truth, Boxes):
            return MeanAveragePrecision()
        if isinstance(truth, ClassMap):
            return MeanIou(output=self.output)
        if isinstance(truth, str):
            return CharacterErrors(output=self.output)
        if isinstance(truth, Mapping):
            return MeanAbsoluteError(None if self.output is None else [self.output])
        return TopK(output=self.output)


def completed(metric: Metric, dataset: Dataset, postprocess: Postprocess | None) -> Metric:
    """Return a metric with what it needs from beside it: the reading of boxes, the alphabet of a dataset.

    Raises:
        ConfigError: boxes are to be read, and neither the metric nor the data knows of any.
    """
    if postprocess is not None:
        if not isinstance(metric, MeanAveragePrecision) and isinstance(dataset.label(0), Boxes):
            # A sweep over metrics, of which others look at outputs as they are.
            return metric
        if not isinstance(metric, MeanAveragePrecision):
            raise ConfigError(
                f"postprocess: boxes are read for metric=map, and the metric is {metric.name}. Choose metric=map and data with "
                "boxes (dataset=coco or dataset=yolo), or leave postprocess out."
            )
        return replace(metric, postprocess=postprocess)
    given = beneath(dataset)
    if isinstance(metric, CharacterErrors) and isinstance(given, HasAlphabet):
        return metric.with_alphabet(given.alphabet)
    return metric
