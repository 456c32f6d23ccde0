"""The layers ranked, each on its own or by what reaches the model's outputs; or the ranking remembered."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from runner.calibration.isolated import isolated_pass
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.evaluation.evaluator import Evaluation
from runner.events import RANK
from runner.modes.codecs import DAMAGE, RANKING
from runner.modes.prepared_model import PreparedModel
from runner.modes.scoring.attempts import Attempts
from runner.modes.scoring.damage import measure_damage
from runner.modes.scoring.remembered_scores import RememberedScores
from runner.search.budget import Meter
from runner.search.end_to_end import Damage, EndToEnd
from runner.search.plan import Plan, Ranking, Unit
from runner.search.sensitivity import Sensitivity, rank
from runner.store.remembered import remembered

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Ranker:
    """Ranks the layers of a plan that has been tried.

    Attributes:
        subject: the model.
        calibration: what each layer alone is looked at with.
        engine: runs models.
        attempts: made so far.
        scores: of the float model and of plans; has the evaluated items, the keys and the store.
        before: the float model's scores.
        meter: of the job; a spent budget ends the measuring of damages.
    """

    subject: PreparedModel
    calibration: Subset
    engine: Engine
    attempts: Attempts
    scores: RememberedScores
    before: Evaluation
    meter: Meter

    def rank(
        self, plan: Plan, units: tuple[Unit, ...], sensitivity: Sensitivity | EndToEnd
    ) -> tuple[Ranking, Damage | None]:
        """Return the ranking of the layers of a plan, and their damages where those were asked for.

        Raises:
            BudgetSpentError: there was no time to measure every damage.
        """
        damage = None
        if isinstance(sensitivity, EndToEnd):
            damage = self._damage(plan, units, sensitivity)
            ranking = damage.ranking
        else:
            ranking = replace(self._isolated(plan, sensitivity), units=units)
        for layer, value in ranking.entries:
            logger.info("******** sensitivity of module %s is %s ********", layer, value)
        return ranking, damage

    def _isolated(self, plan: Plan, sensitivity: Sensitivity) -> Ranking:
        """Return the layers by what quantization does to each one's own output."""
        form, items = self.attempts.trials.form(plan), self.calibration

        def work_out() -> Ranking:
            self.attempts.publish()
            with self.attempts.stages.stage(RANK, len(items.indices)) as progress:
                sums = isolated_pass(
                    self.subject.runnable,
                    form,
                    items.dataset,
                    items.indices,
                    engine=self.engine,
                    progress=progress,
                )
                return rank(sums, sensitivity)

        return remembered(self.scores.store, self.scores.keys.ranking(form, sensitivity), work_out, RANKING)

    def _damage(self, plan: Plan, units: Sequence[Unit], sensitivity: EndToEnd) -> Damage:
        """Return the damage of each unit of a plan's layers."""
        evaluator, form = self.scores.evaluator, self.attempts.trials.form(plan)
        items = min(sensitivity.items, len(evaluator.indices))

        def work_out() -> Damage:
            self.attempts.publish()
            total = len(units) * items
            with self.attempts.stages.stage(RANK, total, f"{len(units)} units on {items} items") as progress:

                def measured(done: int) -> None:
                    self.meter.check()
                    progress(done)

                # An evaluator of the user's keeps its answers to itself.
                after = self.attempts.trials.verdicts[plan].evaluation or self.scores.of_form(
                    form, partial(self.attempts.trials.model, plan, multiply=True), lambda done: None
                )
                evaluations = self.before, after
                return measure_damage(
                    units,
                    plan,
                    self.attempts.trials,
                    evaluator,
                    evaluations=evaluations,
                    items=items,
                    progress=measured,
                )

        key = self.scores.keys.damage(form, units, evaluator, sensitivity)
        return remembered(self.scores.store, key, work_out, DAMAGE)
