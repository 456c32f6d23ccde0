"""What a user should know before trusting a figure, each as one sentence."""

from __future__ import annotations

import onnx_ir as ir

from runner.dataset.item import class_of
from runner.dataset.subset import Subset
from runner.errors import ConfigError, ModelError
from runner.evaluation.accuracy import PERCENTAGE_POINTS, Agreement
from runner.evaluation.amct_evaluator import AmctEvaluator
from runner.evaluation.distance import Distance
from runner.evaluation.label_range import beyond
from runner.evaluation.metric import KnowsTruth, Metric
from runner.evaluation.position_agreement import PositionAgreement
from runner.evaluation.uncertainty import items_for_target
from runner.graph.model_file import SourceModel
from runner.graph.output_kind import other_outputs
from runner.modes.result import Comparison, Source, Status
from runner.search.plan import SearchResult, Trial
from runner.wording import recalled, say

# Of an output that is one row of class scores an item.
_ROW_RANK = 2


def overlap_caution(source: Source) -> list[str]:
    """Return a warning where calibration looks at items that the figures are measured on."""
    if source.overlap == 0:
        return []
    # With no item left to evaluate on, split.disjoint alone would be refused.
    told = {"overlap": source.overlap, "count": source.calibration_items}
    if source.overlap < source.evaluation_items:
        return [
            say(
                "{overlap} of {count} calibration items are evaluation items too; set split.disjoint=true or name other data "
                "with calibration.dataset for a figure that calibration has not seen.",
                **told,
            )
        ]
    return [
        say(
            "{overlap} of {count} calibration items are evaluation items too; set split.disjoint=true with a smaller "
            "calibration.count or name other data with calibration.dataset for a figure that calibration has not seen.",
            **told,
        )
    ]


def resolution_caution(metric: Metric | AmctEvaluator, target: float, counted: int) -> list[str]:
    """Return a warning where one item, or one position, weighs as much as the target or more.

    Args:
        metric: decides.
        target: of its loss.
        counted: how many items, or positions, it counts.
    """
    needed = items_for_target(target)
    if not counts_items(metric) or metric.unit != PERCENTAGE_POINTS or needed is None or not 0 < counted < needed:
        return []
    told = {"counted": counted, "target": target, "weight": 100 / counted, "needed": needed}
    if isinstance(metric, PositionAgreement):
        return [
            say(
                "{counted} evaluation positions cannot resolve target_loss={target:g}: one position is {weight:.3g} percentage "
                "points, so the target forgives no net loss at all; {needed} positions or more would.",
                **told,
            )
        ]
    return [
        say(
            "{counted} evaluation items cannot resolve target_loss={target:g}: one item is {weight:.3g} percentage points, so "
            "the target forgives no net loss at all; {needed} items or more would.",
            **told,
        )
    ]


def counts_items(metric: Metric | AmctEvaluator) -> bool:
    """Return whether a loss is one of whole items, or positions; of a metric of the user's in such points it is assumed."""
    if isinstance(metric, AmctEvaluator):
        return False
    counted = isinstance(metric, PositionAgreement) or not isinstance(metric, KnowsTruth | Distance)
    return bool(getattr(metric, "counts_items", counted))


def may_count_positions(metric: Metric | AmctEvaluator, model: ir.Model) -> bool:
    """Return whether only a model's outputs will show what a metric counts: items, or positions of them."""
    return isinstance(metric, Agreement) and any(
        output.shape is None or len(output.shape) > _ROW_RANK for output in model.graph.outputs
    )


def tensors_caution(found: SearchResult, all_int8: Trial, tensors: int) -> list[str]:
    """Return a warning where tensors that were to be rounded stay float for the target's sake."""
    if found.best is None or not found.best.plan.float_tensors:
        return []
    return [
        say(
            "tensor_quantize: the {tensors} tensors stay float; with them and every layer in int8 the loss is {loss:.4g}, "
            "which misses the target.",
            tensors=tensors,
            loss=all_int8.loss,
        )
    ]


def outputs_caution(source: SourceModel) -> list[str]:
    """Return a warning for each output of a model that is no tensor of numbers, and so is in no figure."""
    left = other_outputs(source.graph)
    return [
        *source.changes,
        *(
            say(
                "the output '{name}' is a {type}: figures are those of the outputs that are tensors of numbers.",
                name=name,
                type=type_,
            )
            for name, type_ in left.items()
        ),
    ]


def require_measurable(model: ir.Model, metric: Metric | AmctEvaluator | None) -> None:
    """Raise an error where figures have no output to look at; an evaluator of the user's may look at anything.

    Args:
        model: has the outputs.
        metric: decides; None for one that looks at every output.

    Raises:
        ModelError: no output is a tensor of numbers.
        ConfigError: the one that the metric is told to look at is none.
    """
    others = other_outputs(model)
    if not others or isinstance(metric, AmctEvaluator):
        return
    numbers = [output.name or "" for output in model.graph.outputs if output.name not in others]
    listed = ", ".join(f"'{name}' is a {type_}" for name, type_ in others.items())
    if not numbers:
        raise ModelError(
            f"model.path: the output {listed}; expected at least one output that is a tensor of numbers, for figures are "
            "measured on those. Make the tensor before it an output too, or cut the model off there "
            "(onnx.utils.extract_model)."
        )
    wanted = None if metric is None else metric.output
    if wanted in others:
        raise ConfigError(
            f"metric.output: '{wanted}' is a {others[wanted]}; expected a tensor of numbers: {', '.join(numbers)}."
        )


def require_labels(model: ir.Model, metric: Metric | AmctEvaluator, items: Subset) -> None:
    """Raise an error before any work where labels number classes that the model plainly does not have.

    Only what costs next to nothing is looked at: class numbers, and one output of a fixed number of scores. All else is refused
    where the float model's outputs are known.

    Args:
        model: as it was read.
        metric: decides.
        items: of the search.

    Raises:
        DatasetError: an item's class is beyond the model's.
    """
    outputs = model.graph.outputs
    if isinstance(metric, AmctEvaluator) or not metric.needs_classes or len(outputs) != 1 or outputs[0].shape is None:
        return
    *first, classes = outputs[0].shape
    if len(first) != 1 or not isinstance(classes, int) or classes < 2:
        return
    if class_of(items.dataset.label(items.indices[0])) is None:
        return
    at_fault = beyond([class_of(items.dataset.label(index)) for index in items.indices], classes, items)
    if at_fault is not None:
        raise at_fault


def nothing_held_out(metric: str, items: int) -> str:
    """Return the warning that the items kept for the report give no figure."""
    return say(
        "split.report: {metric} over the {items} items kept for the report is no number, as nothing in them can be judged; the "
        "figures are those of the items that the search saw. Keep more items, or name more data.",
        metric=metric,
        items=items,
    )


def held_out_caution(status: Status, comparison: Comparison, target: float) -> list[str]:
    """Return a warning where the items kept for the report do not bear out what the search found."""
    if status == "met":
        return []
    figure = comparison.headline
    text = say(
        "the plan meets the target on the items of the search; on the {items} items kept for the report it loses {loss:.4g} "
        "{unit}, where less than {target:g} was asked for",
        items=comparison.items,
        loss=figure.loss,
        unit=recalled(figure.unit),
        target=target,
    )
    if status == "not_met":
        return [say("{text}: no model is written.", text=text)]
    return [say("{text}; they are too few to tell.", text=text)]
