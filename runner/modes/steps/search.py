"""Search: from the plan with every layer int8 to the best one that time allows."""

from __future__ import annotations

from dataclasses import dataclass, replace

from runner.evaluation.judge import Verdict
from runner.events import SEARCH, WRITE
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.cautions import tensors_caution
from runner.modes.context import Context
from runner.modes.data import DataSplit
from runner.modes.files.write_acc_auto import BestModels
from runner.modes.scoring.job_trials import job_trials
from runner.modes.scoring.narrow_miss import narrow_miss
from runner.modes.scoring.ranking import Ranker
from runner.modes.scoring.rankings import Rankings
from runner.modes.scoring.searching import reconsider, tell_end, try_last_resorts, try_plans, try_repairs
from runner.modes.steps.quantize import Quantized
from runner.modes.steps.score_float import FloatScores
from runner.modes.work_ahead import JobWork
from runner.search.end_to_end import EndToEnd, LossContributions
from runner.search.ladder import starting_plan
from runner.search.layer_groups import layer_groups
from runner.search.needs import StrategyNeeds
from runner.search.plan import Plan, Ranking, SearchResult, Trial
from runner.search.sensitivity import Sensitivity


@dataclass(frozen=True, slots=True, eq=False)
class Searched:
    """What the search found.

    Attributes:
        result: the plans tried, and the best of them.
        verdict: on the chosen plan.
        ranking: of the layers; None where there was no search, or it was cut short before.
        loss_contributions: of each layer group, where they were measured.
        sensitivity: that the ranking is by.
    """

    result: SearchResult
    verdict: Verdict
    ranking: Ranking | None
    loss_contributions: LossContributions | None
    sensitivity: Sensitivity | EndToEnd

    @property
    def chosen(self) -> Trial:
        """The best trial; the closest where none was accepted."""
        return self.result.best or self.result.closest


def search(
    quantized: Quantized,
    float_scores: FloatScores,
    split: DataSplit,
    options: AccAutoOptions,
    best: BestModels,
    job: Context,
    *,
    work: JobWork,
) -> Searched:
    """Return what the search found until it ended, its budget was spent, or it was interrupted after the first trial.

    Args:
        quantized: the layers in int8.
        float_scores: what plans are judged against.
        split: the items.
        options: the job's.
        best: keeps the models of the best plan so far on disk.
        job: runs models.
        work: tells how much is ahead.
    """

    def publish() -> None:
        with job.clock.apart(WRITE):
            best.publish()

    scores, models, costs = float_scores.scores, quantized.models, quantized.result.costs
    key = scores.in_trials.key
    log = job_trials(models, float_scores.judge, job.emit, costs, key=key, offer=best.offer, publish=publish)
    layers, items = quantized.all_int8.layers, len(split.search)
    with job.clock.stage(SEARCH, items, "all layers int8") as progress:
        all_int8 = log.trial(Plan.all_int8(layers), progress)
    ranking = rankings = None
    work = replace(work, layers=len(layers))
    job.emit(work.from_first_trial(all_int8))
    with job.meter.until_stopped():
        if split.calibration is not None:
            tried = try_repairs(all_int8, quantized.repairs, models, log, job=job, items=items)
            start = starting_plan(tried)
            groups = layer_groups(models.float_model, models.form(start.plan), costs)
            job.emit(work.from_ranking(start, len(groups)))
            # As in AMCT the ranking is made also where nothing has to fall back.
            searched = not start.accepted or StrategyNeeds.of(options.strategy).always
            ranker = Ranker(quantized.prepared, split.calibration, models, log, scores, publish, job)
            rankings = Rankings(ranker, start, groups, options.sensitivity, searched=searched)
            ranking = rankings.asked
            strategy = rankings.able(options.strategy)
            walked = rankings.of(strategy) if searched else ranking
            start = reconsider(tried, start, walked, log, job=job, items=items)
            try_plans(start, walked, strategy, log, job=job, items=items)
            if not start.accepted and log.result().best is None:
                job.emit(work.from_last_resorts())
            if not start.accepted:
                try_last_resorts(start, rankings.last_resorts(walked), log, job=job, items=items)
                tell_end(log, job)
    job.emit(work.from_result())
    result = log.result(job.meter.stopped)
    job.warnings.warn(*tensors_caution(result, all_int8, len(quantized.all_int8.tensors)))
    job.warnings.warn(*narrow_miss(result, log, float_scores.judge, scores.scorer, seed=options.seed))
    return Searched(
        result,
        log.verdict((result.best or result.closest).plan),
        ranking,
        None if rankings is None else rankings.contributions,
        options.sensitivity,
    )
