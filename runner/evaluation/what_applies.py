"""Whether metrics apply to a model and data: by what is true of the items, and by what the float model's outputs are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runner.dataset.item import Truth, class_of
from runner.dataset.subset import Subset
from runner.dataset.truth import Boxes, ClassMap, highest_class
from runner.errors import ConfigError, DatasetError, ModelError
from runner.evaluation.accuracy import Agreement
from runner.evaluation.float_outputs import FloatOutputs
from runner.evaluation.label_range import beyond
from runner.evaluation.metric import ChecksOutputs, KnowsTruth, Metric
from runner.evaluation.output_facts import ItemFacts, class_scores
from runner.evaluation.outputs import ClassScores, OutputKind

KINDS: Mapping[type, str] = {
    type(None): "none",
    int: "a class",
    str: "a text",
    dict: "numbers",
    Boxes: "boxes",
    ClassMap: "a class map",
}


@dataclass(frozen=True, slots=True)
class Truths:
    """What is true of items, as far as metrics ask: each may be as large as a picture, so none is kept.

    Attributes:
        labels: the class of each; None where its truth is none.
        highest: position of the item whose truth holds the highest class, of boxes or maps; None where none does.
        unfit: name of each metric that cannot use a truth -> what it expected, and what the first such item has.
    """

    labels: Sequence[int | None]
    unfit: Mapping[str, str]
    highest: int | None = None

    @classmethod
    def of(cls, items: Subset, metrics: Sequence[Metric]) -> Truths:
        """Return what is true of items."""
        labels, unfit = list[int | None](), dict[str, str]()
        most, highest = -1, None
        for position, index in enumerate(items.indices):
            truth = items.dataset.label(index)
            labels.append(class_of(truth))
            if (found := highest_class(truth)) > most:
                most, highest = found, position
            for metric in metrics:
                why = _why_not(metric, truth, labels[-1])
                if why is not None and metric.name not in unfit:
                    kind = KINDS.get(type(truth), f"a {type(truth).__name__}")
                    unfit[metric.name] = f"{why}; {items.dataset.name(index)} has {kind}"
        return cls(labels, unfit, highest)

    def fit(self, metric: Metric, classes: ClassScores | None) -> bool:
        """Return whether a metric can be measured."""
        return metric.name not in self.unfit and not (metric.needs_classes and classes is None)

    def require(self, metric: Metric) -> None:
        """Raise a ConfigError where a metric cannot use the truths."""
        unfit = self.unfit.get(metric.name)
        if unfit is not None and not isinstance(metric, KnowsTruth) and not unfit.endswith(" has none"):
            raise ConfigError(
                f"metric: {metric.name} needs {unfit}. Choose a metric that judges what your data knows, or agreement, sqnr or "
                "mse, which need no truth."
            )
        if unfit is not None and not isinstance(metric, KnowsTruth):
            raise ConfigError(
                f"metric: {metric.name} needs a label for every item, but the dataset has none. "
                "Set dataset.labels=FILE, or choose metric=agreement, kl, sqnr or mse."
            )
        if unfit is not None:
            raise ConfigError(
                f"metric: {metric.name} expected {unfit}. Name other data, or choose a metric that needs no truth: agreement, "
                "sqnr or mse."
            )


def _why_not(metric: Metric, truth: Truth, label: int | None) -> str | None:
    """Return what a metric expected in place of a truth that it cannot use; None where it can."""
    if not metric.needs_labels:
        return None
    if isinstance(metric, KnowsTruth):
        return metric.why_not(truth)
    known = label if metric.needs_classes else truth
    return "a class for every item" if known is None else None


def read_classes(
    headline: Metric,
    truths: Truths,
    facts: Sequence[ItemFacts],
    items: Subset,
    *,
    kind: OutputKind,
    decides: bool,
) -> ClassScores | None:
    """Return how to read class scores; None where the model is no classifier, or its scores hold NaN and decide nothing.

    Raises:
        ModelError: the headline metric compares class scores, and those of an item hold NaN.
        DatasetError: it counts answers, and a label is outside the model's classes.
    """
    # Behind the measure of a task of its own outputs are embeddings, boxes, maps: a row of numbers is no class scores.
    classes = (
        None
        if isinstance(headline, KnowsTruth)
        else class_scores(facts, truths.labels, kind=kind, output=headline.output)
    )
    if classes is None:
        return None
    for index, item in zip(items.indices, facts, strict=False):
        if not item[classes.output].has_nan:
            continue
        if headline.needs_classes:
            raise ModelError(
                f"model.path: the class scores '{classes.output}' hold NaN for the item {items.dataset.name(index)}; expected "
                f"numbers, which metric={headline.name} compares. Mend the model, or choose metric=sqnr or mse."
            )
        return None
    at_fault = beyond(truths.labels, classes.classes, items)
    if at_fault is not None and decides and (headline.needs_classes or isinstance(headline, Agreement)):
        raise at_fault
    return None if at_fault is not None else classes


def require_classes(metric: Metric, classes: ClassScores | None) -> None:
    """Raise a ConfigError where a metric needs class scores and the model gives none."""
    if metric.needs_classes and classes is None:
        raise ConfigError(
            f"metric: {metric.name} needs an output of class scores, one row an item. "
            "Name it with metric.output, say model.output=logits, or choose metric=sqnr or mse."
        )


def check_outputs(headline: Metric, reference: FloatOutputs, truths: Truths, items: Subset) -> None:
    """Have a metric refuse outputs that are not what it reads, by those of the first item and by the highest class of any.

    Raises:
        ConfigError: they are not what it reads.
        DatasetError: they tell fewer classes than an item's truth holds; names the item.
    """
    first = reference.kept.known.get(0)
    if first is None or not isinstance(headline, ChecksOutputs):
        return
    headline.check_outputs(first, items.dataset.label(items.indices[0]))
    if truths.highest is not None:
        index = items.indices[truths.highest]
        try:
            headline.check_outputs(first, items.dataset.label(index))
        except ConfigError as error:
            raise DatasetError(f"{str(error).rstrip('.')}; the item is {items.dataset.name(index)}.") from error
