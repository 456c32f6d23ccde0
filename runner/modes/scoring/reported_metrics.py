"""The metrics that a job reports: the deciding one, then the usual ones."""

from __future__ import annotations

import onnx_ir as ir

from runner.evaluation.accuracy import Agreement, TopK
from runner.evaluation.amct_evaluator import AmctEvaluator
from runner.evaluation.distance import Kl, Sqnr, SqnrOfEvery
from runner.evaluation.metric import Metric
from runner.graph.output_kind import other_outputs
from runner.tasks.detection.mean_average_precision import MeanAveragePrecision
from runner.tasks.regression.mean_absolute_error import MeanAbsoluteError
from runner.tasks.segmentation.miou import MeanIou


def with_companions(metric: Metric) -> list[Metric]:
    """Return the metrics to report: the deciding one, then the usual ones that it is not.

    Beside the measure of a task of its own, whose answers are no classes, stands how far the outputs moved.
    """
    companions: list[Metric] = [TopK(), Agreement(), Kl(), Sqnr()]
    if isinstance(metric, MeanAveragePrecision | MeanIou | MeanAbsoluteError):
        companions = [Sqnr()]
    if isinstance(metric, Sqnr) and metric.output is not None:
        companions.append(SqnrOfEvery(metric.ceiling_db))
    return [metric, *(companion for companion in companions if companion.name != metric.name)]


def reported_metrics(metric: Metric | AmctEvaluator, model: ir.Model) -> list[Metric]:
    """Return the metrics to report; beside an AMCT evaluator one leads that fits every model and data.

    None, where no output of the model is a tensor of numbers: an evaluator of the user's may look at anything.
    """
    if len(other_outputs(model)) == len(model.graph.outputs):
        return []
    return with_companions(Sqnr() if isinstance(metric, AmctEvaluator) else metric)
