"""The layers ranked, each on its own or by what reaches the model's outputs; or the ranking remembered."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from runner.calibration.layer_by_layer import layer_by_layer
from runner.dataset.subset import Subset
from runner.events import RANK
from runner.modes.context import Context
from runner.modes.prepared_model import PreparedModel
from runner.modes.scoring.measure_contributions import measure_contributions
from runner.modes.scoring.ranking_stages import LOSS_CONTRIBUTIONS, RANKING, LossContributionsInputs, RankingInputs
from runner.modes.scoring.remembered_scores import RememberedScores
from runner.search.end_to_end import EndToEnd, LossContributions
from runner.search.plan import LayerGroup, Plan, Ranking, Trial
from runner.search.planned_models import PlannedModels
from runner.search.sensitivity import Sensitivity, rank
from runner.search.trial_log import TrialLog

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Ranker:
    """Ranks the layers of a plan that has been tried, by one sensitivity or several.

    Attributes:
        prepared: the model.
        calibration: what each layer alone is looked at with.
        models: of plans.
        log: the trials made so far.
        scores: of plans; has the scorer and the store.
        publish: called before anything that takes time.
        job: runs models; its spent budget ends the measuring of loss contributions.
    """

    prepared: PreparedModel
    calibration: Subset
    models: PlannedModels
    log: TrialLog
    scores: RememberedScores
    publish: Callable[[], None]
    job: Context

    def rank(
        self,
        start: Trial,
        groups: tuple[LayerGroup, ...],
        sensitivity: Sensitivity | EndToEnd,
        *,
        searched: bool = True,
    ) -> tuple[Ranking, LossContributions | None]:
        """Return the ranking of the layers of a plan, and their loss contributions where those were asked for.

        Args:
            start: the trial of the plan.
            groups: of its layers.
            sensitivity: how.
            searched: whether something is searched by it; otherwise it is only shown.

        Raises:
            BudgetSpentError: there was no time to measure every contribution.
        """
        contributions, plan = None, start.plan
        if isinstance(sensitivity, EndToEnd):
            measured_on = sensitivity.to_search_by if searched else sensitivity.only_shown
            sensitivity = measured_on(len(groups), len(self.scores.scorer.items))
            contributions = self._contributions(plan, groups, sensitivity)
            ranking = contributions.ranking
        else:
            ranking = replace(self._layer_by_layer(plan, sensitivity), groups=groups)
        for layer, value in ranking.entries:
            logger.info("******** sensitivity of module %s is %s ********", layer, value)
        return ranking, contributions

    def _layer_by_layer(self, plan: Plan, sensitivity: Sensitivity) -> Ranking:
        """Return the layers by what quantization does to each one's own output."""
        form, items = self.models.form(plan), self.calibration

        def work_out() -> Ranking:
            self.publish()
            with self.job.clock.stage(RANK, len(items)) as progress:
                sums = layer_by_layer(
                    self.prepared.runnable,
                    form,
                    items,
                    engine=self.job.engine,
                    progress=progress,
                )
                return rank(sums, sensitivity)

        inputs = RankingInputs(self.prepared.digest, form, items.content, sensitivity)
        return RANKING.cached(self.scores.store, inputs, work_out)

    def _contributions(self, plan: Plan, groups: tuple[LayerGroup, ...], sensitivity: EndToEnd) -> LossContributions:
        """Return the contribution of each group of a plan's layers."""
        scorer, form = self.scores.scorer, self.models.form(plan)
        items = min(sensitivity.items, len(scorer.items))

        def work_out() -> LossContributions:
            self.publish()
            what = f"{len(groups)} layer groups on {items} items"
            with self.job.clock.stage(RANK, len(groups) * items, what) as progress:

                def measured(done: int) -> None:
                    self.job.meter.check()
                    progress(done)

                after = self.log.verdict(plan).evaluation
                if after is None and scorer.reference.complete:
                    # An evaluator of the user's keeps its answers to itself.
                    build = partial(self.models.model, plan, own_session=True)
                    after = self.scores.of_form(form, build, lambda done: None)
                return measure_contributions(
                    groups, plan, self.models, scorer, after=after, items=items, progress=measured
                )

        measured_form = self.models.form(self.models.left_out(plan))
        inputs = LossContributionsInputs(
            self.scores.inputs(form), measured_form, self.prepared.target, tuple(groups), sensitivity
        )
        return LOSS_CONTRIBUTIONS.cached(self.scores.store, inputs, work_out)
