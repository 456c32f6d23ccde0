"""A float model looked at once: its outputs, and the scorer of other models against them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from runner.dataset.finite import not_finite_in
from runner.dataset.item import Truth, class_of
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.errors import ConfigError, DatasetError, ModelError
from runner.evaluation.distance import Sqnr
from runner.evaluation.ledger import Ledger
from runner.evaluation.likeness import counts_by_equality
from runner.evaluation.metric import Metric
from runner.evaluation.model_outputs import has_nan, model_outputs, refuse_item_at_fault
from runner.evaluation.outputs import ClassScores, OutputKind, Outputs, class_scores
from runner.evaluation.position_agreement import at_positions, class_positions
from runner.evaluation.scorer import Progress, Scorer, silent
from runner.session import SIMULATION, Profile


@dataclass(frozen=True, slots=True, eq=False)
class Evaluator:
    """Runs a float model over fixed items, and gives the scorer against what that makes.

    Attributes:
        engine: runs models.
        items: evaluation data.
        metrics: the headline metric first; none where nothing of the model can be measured.
        output_kind: what class scores are (``model.output``).
        decides: whether the headline metric decides; otherwise a figure that cannot be had is left out, and is no error.
        ledger: counts the runs.
        profile: of the sessions that quantized models run in; the float model runs in that of a simulation.
    """

    engine: Engine
    items: Subset
    metrics: Sequence[Metric]
    output_kind: OutputKind = "auto"
    decides: bool = True
    ledger: Ledger = field(default_factory=Ledger)
    profile: Profile = SIMULATION

    def outputs(self, model: ir.Model, progress: Progress = silent) -> list[Outputs]:
        """Return a model's outputs for all items.

        Raises:
            DatasetError: an output holds NaN because an item is not finite itself; names the item.
        """
        session, found = self.engine.session(model), list[Outputs]()
        with contextlib.closing(model_outputs(session, self.items, self.engine, self.ledger)) as each:
            for index, outputs in zip(self.items.indices, each, strict=True):
                for name in (name for name, array in outputs.items() if self.decides and has_nan(array)):
                    refuse_item_at_fault(self.items.dataset, index, name)
                found.append(outputs)
                progress(len(found))
        if self.decides:
            self.ledger.ran(whole=True)
        return found

    def against(self, reference: Sequence[Outputs]) -> Scorer:
        """Return the scorer against a float model.

        Args:
            reference: the float model's outputs for all items.

        Raises:
            DatasetError: a label is outside the model's classes, or an item is not finite.
            ConfigError: the headline metric does not apply (no labels, or no classes), or its output does not exist.
            ModelError: it needs class scores, and those of an item hold NaN.
        """
        classes: ClassScores | None = None
        metrics: tuple[Metric, ...] = ()
        cautions = self._nan_cautions(reference)
        if self.metrics:
            truths = [self.items.dataset.label(index) for index in self.items.indices]
            labels = [class_of(truth) for truth in truths]
            headline, *others = self.metrics
            classes = self._class_scores(headline, labels, reference)
            self._check_labels(labels, classes)
            _check_headline(headline, truths, classes)
            applying = (headline, *(metric for metric in others if _applies(metric, truths, classes)))
            at = None
            if classes is None:
                at = class_positions(reference, kind=self.output_kind, output=headline.output)
            metrics = tuple(at_positions(metric, at) for metric in applying)
            cautions += _no_signal_cautions(headline, reference) if self.decides else ()
        scorer = Scorer(
            self.engine, self.items, metrics, classes, reference, cautions, self.decides, self.ledger, self.profile
        )
        _ = scorer.float_scores  # what is at fault is said here
        return scorer

    def _nan_cautions(self, reference: Sequence[Outputs]) -> tuple[str, ...]:
        """Return a warning of each output that holds NaN for an item.

        Raises:
            DatasetError: the item is not finite itself, and the headline metric decides.
        """
        found = []
        dataset, indices = self.items.dataset, self.items.indices
        for name in next(iter(reference), {}):
            items = [index for index, outputs in zip(indices, reference, strict=True) if has_nan(outputs[name])]
            if items:
                # Also where another job, whose metric was not to decide, made these outputs and kept them.
                for index in items if self.decides else ():
                    refuse_item_at_fault(dataset, index, name)
                bad = not_finite_in(dataset, items[0])
                why = "A Log, Sqrt or Div of values that it is not made for gives it."
                found.append(
                    f"the float model's output '{name}' holds NaN for {len(items)} of {len(indices)} items, first "
                    f"{dataset.name(items[0])}; NaN in the same places counts as equal. "
                    + (why if bad is None else f"That item itself holds {bad} that are NaN or infinite.")
                )
        return tuple(found)

    def _class_scores(
        self, headline: Metric, labels: Sequence[int | None], reference: Sequence[Outputs]
    ) -> ClassScores | None:
        """Return how to read class scores; None where the model is no classifier, or its scores hold NaN and decide nothing."""
        classes = class_scores(reference, labels, kind=self.output_kind, output=headline.output)
        if classes is None:
            return None
        for index, outputs in zip(self.items.indices, reference, strict=True):
            if classes.has_answer(outputs):
                continue
            if headline.needs_classes:
                raise ModelError(
                    f"model.path: the class scores '{classes.output}' hold NaN for the item "
                    f"{self.items.dataset.name(index)}; expected numbers, which metric={headline.name} compares. Mend the "
                    "model, or choose metric=sqnr or mse."
                )
            return None
        beyond = any(label is not None and label >= classes.classes for label in labels)
        return None if beyond and not self.decides else classes

    def _check_labels(self, labels: Sequence[int | None], classes: ClassScores | None) -> None:
        if classes is None:
            return
        for index, label in zip(self.items.indices, labels, strict=True):
            if label is not None and label >= classes.classes:
                raise DatasetError(
                    f"dataset.labels: {self.items.dataset.name(index)} has class {label}, but the model gives "
                    f"{classes.classes} scores (classes 0 to {classes.classes - 1})."
                )


def _unlabelled(metric: Metric, truths: Sequence[Truth]) -> bool:
    """Return whether an item lacks the truth that a metric needs, which is a class where it looks at class scores."""
    known = [class_of(truth) if metric.needs_classes else truth for truth in truths]
    return metric.needs_labels and any(truth is None for truth in known)


def _no_signal_cautions(headline: Metric, reference: Sequence[Outputs]) -> tuple[str, ...]:
    """Return a warning of each output that decides by its SQNR and is 0 in the float model."""
    if not isinstance(headline, Sqnr):
        return ()
    judged = [headline.output] if headline.output is not None else list(next(iter(reference), {}))
    return tuple(
        f"the float model's output '{name}' is 0 for all {len(reference)} items: noise has no signal there to be held against, "
        "and any at all counts as 0 dB. metric.output=NAME judges another output, metric=mse needs no signal."
        for name in judged
        if not any(counts_by_equality(outputs[name]) or np.any(outputs[name]) for outputs in reference)
    )


def _applies(metric: Metric, truths: Sequence[Truth], classes: ClassScores | None) -> bool:
    return not _unlabelled(metric, truths) and not (metric.needs_classes and classes is None)


def _check_headline(metric: Metric, truths: Sequence[Truth], classes: ClassScores | None) -> None:
    if _unlabelled(metric, truths):
        raise ConfigError(
            f"metric: {metric.name} needs a label for every item, but the dataset has none. "
            "Set dataset.labels=FILE, or choose metric=agreement, kl, sqnr or mse."
        )
    if metric.needs_classes and classes is None:
        raise ConfigError(
            f"metric: {metric.name} needs an output of class scores, one row an item. "
            "Name it with metric.output, say model.output=logits, or choose metric=sqnr or mse."
        )
