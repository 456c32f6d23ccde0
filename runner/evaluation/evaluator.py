"""A float model looked at once, and the scorer of other models against it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace

import onnx_ir as ir

from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.evaluation.float_outputs import FloatOutputs, KeptOutputs, OwnRows, most_bytes, size_of
from runner.evaluation.item_work import LookAtItem
from runner.evaluation.ledger import Ledger
from runner.evaluation.metric import Metric
from runner.evaluation.model_outputs import Runs
from runner.evaluation.output_cautions import nan_cautions, no_signal_cautions
from runner.evaluation.output_facts import ItemFacts
from runner.evaluation.outputs import ClassScores, OutputKind, Outputs
from runner.evaluation.position_agreement import at_positions, class_positions
from runner.evaluation.scorer import Progress, Scorer, silent
from runner.evaluation.scores import Evaluation, ItemScores
from runner.evaluation.what_applies import Truths, check_outputs, read_classes, require_classes
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
    most_bytes: int = field(default_factory=most_bytes)

    def outputs(self, model: ir.Model, progress: Progress = silent) -> FloatOutputs:
        """Return what a model gives for all items.

        The first items show what kind of answers there are, and as many of their outputs are kept as fit; of the others the
        metrics' rows are made at once.

        Raises:
            DatasetError: an output holds NaN because an item is not finite itself; names the item.
        """
        if self.metrics:
            # What is wrong with all of the data shows in the first item, before any work.
            Truths.of(self.items.at(range(1)), self.metrics).require(self.metrics[0])
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

        work = LookAtItem(self.items.dataset, runs, None, self.decides)
        with contextlib.closing(self.engine.each(runs.session, self.items, work)) as each:
            for seen in self.ledger.counted(each):
                facts.append(seen.facts)
                kept[len(kept)] = seen.outputs
                size += size_of(seen.outputs)
                progress(len(facts))
                if size + size_of(seen.outputs) > self.most_bytes:
                    break
        return facts, kept

    def _rest(
        self, runs: Runs, scorer: Scorer, start: int, progress: Progress
    ) -> Generator[tuple[ItemFacts, ItemScores], None, None]:
        """Yield the facts and the rows of the items from a position on."""
        rest = self.items.at(range(start, len(self.items)))
        work = LookAtItem(self.items.dataset, runs, scorer.of_item, self.decides)
        with contextlib.closing(self.engine.each(runs.session, rest, work)) as each:
            for done, seen in enumerate(self.ledger.counted(each), start + 1):
                yield seen.facts, seen.scores
                progress(done)

    def against(self, reference: FloatOutputs, known: Callable[[Scorer], Evaluation] | None = None) -> Scorer:
        """Return the scorer against a float model.

        Args:
            reference: what the float model gives for all items, or for the first of them.
            known: gives the float model's own scores, where they may be known already.

        Raises:
            DatasetError: a label is outside the model's classes, a truth is not of the metric's kind, or an item is not finite.
            ConfigError: the headline metric does not apply (no labels, or no classes), or its output does not exist.
            ModelError: it needs class scores, and those of an item hold NaN.
        """
        classes: ClassScores | None = None
        metrics: tuple[Metric, ...] = ()
        facts = reference.facts
        cautions = nan_cautions(facts, self.items, decides=self.decides)
        if self.metrics:
            headline, truths = self.metrics[0], Truths.of(self.items.at(range(len(facts))), self.metrics)
            classes = read_classes(headline, truths, facts, self.items, kind=self.output_kind, decides=self.decides)
            truths.require(headline)
            require_classes(headline, classes)
            check_outputs(headline, reference, truths, self.items)
            at = None
            if classes is None:
                at = class_positions(facts, kind=self.output_kind, output=headline.output)
            metrics = tuple(at_positions(metric, at) for metric in self.metrics if truths.fit(metric, classes))
            cautions += no_signal_cautions(headline, facts) if self.decides else ()
        scorer = Scorer(
            self.engine, self.items, metrics, classes, reference, cautions, self.decides, self.ledger, self.profile
        )
        if len(facts) < len(self.items):
            return scorer
        # What is at fault is said here.
        return replace(scorer, known=scorer.float_scores if known is None else known(scorer))
