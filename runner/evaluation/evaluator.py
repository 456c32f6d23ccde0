"""A float model looked at once, and the scorer of other models against it."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

import onnx_ir as ir

from runner.dataset.finite import not_finite_in
from runner.dataset.item import Truth, class_of
from runner.dataset.subset import Subset
from runner.dataset.truth import Boxes, ClassMap
from runner.engine import BoundItem, Engine
from runner.errors import ConfigError, DatasetError, ModelError
from runner.evaluation.distance import Sqnr
from runner.evaluation.float_outputs import MOST_BYTES, FloatOutputs, KeptOutputs, OwnRows, size_of
from runner.evaluation.ledger import Ledger
from runner.evaluation.metric import ChecksOutputs, KnowsTruth, Metric
from runner.evaluation.model_outputs import Runs, has_nan, refuse_item_at_fault
from runner.evaluation.output_facts import ItemFacts, class_scores, facts_of
from runner.evaluation.outputs import ClassScores, OutputKind, Outputs
from runner.evaluation.position_agreement import at_positions, class_positions
from runner.evaluation.scorer import Progress, Scorer, silent
from runner.evaluation.scores import ItemScores
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
        most_bytes: of the float model's outputs that are kept.
    """

    engine: Engine
    items: Subset
    metrics: Sequence[Metric]
    output_kind: OutputKind = "auto"
    decides: bool = True
    ledger: Ledger = field(default_factory=Ledger)
    profile: Profile = SIMULATION
    most_bytes: int = MOST_BYTES

    def outputs(self, model: ir.Model, progress: Progress = silent) -> FloatOutputs:
        """Return what a model gives for all items.

        The first items show what kind of answers there are, and as many of their outputs are kept as fit; of the others the
        metrics' rows are made at once.

        Raises:
            DatasetError: an output holds NaN because an item is not finite itself; names the item.
        """
        runs = Runs(self.engine.session(model))
        facts, kept = self._first(runs, progress)
        provisional, rows = None, dict[int, ItemScores]()
        if len(kept) < len(self.items):
            provisional = self.against(FloatOutputs(facts, KeptOutputs(kept, lambda: runs, self.most_bytes)))
            for more, row in self._rest(runs, provisional, len(kept), progress):
                rows[len(facts)] = row
                facts.append(more)
        if self.decides:
            self.ledger.ran(whole=True)
        known = KeptOutputs(kept, lambda: runs, self.most_bytes)
        own = OwnRows() if provisional is None else OwnRows(provisional.metrics, provisional.classes, rows)
        return FloatOutputs(facts, known, own)

    def _first(self, runs: Runs, progress: Progress) -> tuple[list[ItemFacts], dict[int, Outputs]]:
        """Return the facts and the outputs of the first items, as many as fit, and one at least."""
        facts, kept, size = list[ItemFacts](), dict[int, Outputs](), 0

        def look(item: BoundItem) -> tuple[ItemFacts, Outputs]:
            outputs = runs.of(item)
            self._refuse_nan(item.index, outputs)
            return facts_of(outputs), outputs

        with contextlib.closing(self.engine.each(runs.session, self.items, look)) as each:
            for seen, outputs in self.ledger.counted(each):
                facts.append(seen)
                kept[len(kept)] = outputs
                size += size_of(outputs)
                progress(len(facts))
                if size + size_of(outputs) > self.most_bytes:
                    break
        return facts, kept

    def _rest(
        self, runs: Runs, scorer: Scorer, start: int, progress: Progress
    ) -> Generator[tuple[ItemFacts, ItemScores], None, None]:
        """Yield the facts and the rows of the items from a position on."""

        def look(item: BoundItem) -> tuple[ItemFacts, ItemScores]:
            outputs = runs.of(item)
            self._refuse_nan(item.index, outputs)
            return facts_of(outputs), scorer.score(start + item.place, outputs, outputs)

        rest = self.items.at(range(start, len(self.items)))
        with contextlib.closing(self.engine.each(runs.session, rest, look)) as each:
            for done, found in enumerate(self.ledger.counted(each), start + 1):
                yield found
                progress(done)

    def _refuse_nan(self, index: int, outputs: Outputs) -> None:
        for name in (name for name, array in outputs.items() if self.decides and has_nan(array)):
            refuse_item_at_fault(self.items.dataset, index, name)

    def against(self, reference: FloatOutputs) -> Scorer:
        """Return the scorer against a float model.

        Args:
            reference: what the float model gives for all items, or for the first of them.

        Raises:
            DatasetError: a label is outside the model's classes, a truth is not of the metric's kind, or an item is not finite.
            ConfigError: the headline metric does not apply (no labels, or no classes), or its output does not exist.
            ModelError: it needs class scores, and those of an item hold NaN.
        """
        classes: ClassScores | None = None
        metrics: tuple[Metric, ...] = ()
        facts = reference.facts
        cautions = self._nan_cautions(facts)
        if self.metrics:
            labels, unfit = self._truths(len(facts))
            headline, *others = self.metrics
            classes = self._class_scores(headline, labels, facts)
            self._check_labels(labels, classes)
            _check_headline(headline, unfit.get(headline.name), classes)
            self._check_outputs(headline, reference)
            applying = (
                headline,
                *(
                    metric
                    for metric in others
                    if metric.name not in unfit and not (metric.needs_classes and classes is None)
                ),
            )
            at = None
            if classes is None:
                at = class_positions(facts, kind=self.output_kind, output=headline.output)
            metrics = tuple(at_positions(metric, at) for metric in applying)
            cautions += _no_signal_cautions(headline, facts) if self.decides else ()
        scorer = Scorer(
            self.engine, self.items, metrics, classes, reference, cautions, self.decides, self.ledger, self.profile
        )
        if len(facts) == len(self.items):
            _ = scorer.float_scores  # what is at fault is said here
        return scorer

    def _truths(self, items: int) -> tuple[list[int | None], dict[str, str]]:
        """Return the class of each of the first items, and of each metric that cannot use a truth what it expected.

        Truths are looked at one by one and not kept: each may be as large as a picture.
        """
        labels, unfit = list[int | None](), dict[str, str]()
        for index in self.items.indices[:items]:
            truth = self.items.dataset.label(index)
            labels.append(class_of(truth))
            for metric in self.metrics:
                why = _why_not(metric, truth, labels[-1])
                if why is not None and metric.name not in unfit:
                    unfit[metric.name] = f"{why}; {self.items.dataset.name(index)} has {_kind(truth)}"
        return labels, unfit

    def _nan_cautions(self, facts: Sequence[ItemFacts]) -> tuple[str, ...]:
        """Return a warning of each output that holds NaN for an item.

        Raises:
            DatasetError: the item is not finite itself, and the headline metric decides.
        """
        found = []
        dataset, indices = self.items.dataset, self.items.indices
        for name in next(iter(facts), {}):
            items = [index for index, item in zip(indices, facts, strict=False) if item[name].has_nan]
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
        self, headline: Metric, labels: Sequence[int | None], facts: Sequence[ItemFacts]
    ) -> ClassScores | None:
        """Return how to read class scores; None where the model is no classifier, or its scores hold NaN and decide nothing."""
        classes = class_scores(facts, labels, kind=self.output_kind, output=headline.output)
        if classes is None:
            return None
        for index, item in zip(self.items.indices, facts, strict=False):
            if not item[classes.output].has_nan:
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
        for index, label in zip(self.items.indices, labels, strict=False):
            if label is not None and label >= classes.classes:
                raise DatasetError(
                    f"dataset.labels: {self.items.dataset.name(index)} has class {label}, but the model gives "
                    f"{classes.classes} scores (classes 0 to {classes.classes - 1})."
                )

    def _check_outputs(self, headline: Metric, reference: FloatOutputs) -> None:
        """Have a metric refuse outputs that are not what it reads, by those of the first item."""
        first = reference.kept.known.get(0)
        if first is not None and isinstance(headline, ChecksOutputs):
            headline.check_outputs(first, self.items.dataset.label(self.items.indices[0]))


def _why_not(metric: Metric, truth: Truth, label: int | None) -> str | None:
    """Return what a metric expected in place of a truth that it cannot use; None where it can."""
    if not metric.needs_labels:
        return None
    if isinstance(metric, KnowsTruth):
        return metric.why_not(truth)
    known = label if metric.needs_classes else truth
    return "a label for every item" if known is None else None


def _kind(truth: Truth) -> str:
    """Return what a truth is, for a message."""
    names = {
        type(None): "none",
        int: "a class",
        str: "a text",
        dict: "numbers",
        Boxes: "boxes",
        ClassMap: "a class map",
    }
    return names.get(type(truth), f"a {type(truth).__name__}")


def _no_signal_cautions(headline: Metric, facts: Sequence[ItemFacts]) -> tuple[str, ...]:
    """Return a warning of each output that decides by its SQNR and is 0 in the float model."""
    if not isinstance(headline, Sqnr):
        return ()
    judged = [headline.output] if headline.output is not None else list(next(iter(facts), {}))
    return tuple(
        f"the float model's output '{name}' is 0 for all {len(facts)} items: noise has no signal there to be held against, "
        "and any at all counts as 0 dB. metric.output=NAME judges another output, metric=mse needs no signal."
        for name in judged
        if not any(item[name].holds_labels or item[name].has_signal for item in facts)
    )


def _check_headline(metric: Metric, unfit: str | None, classes: ClassScores | None) -> None:
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
    if metric.needs_classes and classes is None:
        raise ConfigError(
            f"metric: {metric.name} needs an output of class scores, one row an item. "
            "Name it with metric.output, say model.output=logits, or choose metric=sqnr or mse."
        )
