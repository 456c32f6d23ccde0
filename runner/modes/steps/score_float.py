"""Score the float model: the figures that every plan is judged against, and who judges."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from runner.evaluation.amct_evaluator import AmctEvaluator
from runner.evaluation.early_stopping.early_judge import EarlyJudge
from runner.evaluation.evaluator import Evaluator
from runner.evaluation.judge import AmctJudge, Judge, MetricJudge
from runner.evaluation.ledger import Ledger
from runner.evaluation.scorer import Scorer
from runner.events import FLOAT_EVAL
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.cautions import may_count_positions, outputs_caution, overlap_caution, resolution_caution
from runner.modes.context import Context
from runner.modes.expectation import batch_caution, chance_caution, require_expected, require_figure
from runner.modes.prepared_model import PreparedModel
from runner.modes.scoring.remembered_scores import RememberedScores
from runner.modes.scoring.reported_metrics import reported_metrics
from runner.modes.steps.first_look import FirstLook
from runner.modes.steps.load import Loaded

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class FloatScores:
    """What plans are judged against.

    Attributes:
        scores: against the float model.
        judge: decides about plans.
        ledger: counts the models that are run.
    """

    scores: RememberedScores
    judge: Judge
    ledger: Ledger

    @property
    def scorer(self) -> Scorer:
        """Scores models over the items of the search."""
        return self.scores.scorer


def score_float(
    prepared: PreparedModel, loaded: Loaded, look: FirstLook, options: AccAutoOptions, job: Context
) -> FloatScores:
    """Return the float model's scores and the judge.

    Args:
        prepared: the model that is quantized.
        loaded: the items, and the model as it was read.
        look: what reaches the model.
        options: the job's.
        job: runs models.

    Raises:
        DatasetError: the float model is not what is known of it.
    """
    # Before the work: more data or another target may be wanted.
    job.warnings.warn(*outputs_caution(prepared.source), *overlap_caution(look.source))
    late = may_count_positions(options.metric, prepared.source.graph)
    if not late:
        job.warnings.warn(*resolution_caution(options.metric, options.target_loss, look.source.search_items))
    job.warnings.warn(*batch_caution(look.seen))
    own = options.metric.load() if isinstance(options.metric, AmctEvaluator) else None
    ledger, items = Ledger(), loaded.split.search
    evaluator = Evaluator(
        job.engine,
        items,
        reported_metrics(options.metric, prepared.source.graph),
        output_kind=options.output_kind,
        decides=own is None,
        ledger=ledger,
        profile=prepared.target.simulation.profile,
    )
    with job.clock.stage(FLOAT_EVAL, len(items)) as progress:
        digest = prepared.digest
        scores = RememberedScores.against(
            prepared.runnable.graph,
            evaluator,
            float_graph=digest,
            graph=digest,
            simulation=prepared.target.simulation,
            store=job.store,
            progress=progress,
        )
        if own is None:
            judged = MetricJudge(scores.in_trials.scorer, options.target_loss, job.store)
            judge: Judge = EarlyJudge(judged, confidence=options.confidence, seed=options.seed)
        else:
            source, fixed = prepared.source, bool(loaded.constants)
            judge = AmctJudge.against(own, source.path, ledger, fixed=source.graph if fixed else None)
    if late:
        metric = scores.scorer.metrics[0]
        job.warnings.warn(*resolution_caution(metric, options.target_loss, scores.scorer.counted))
    if own is None:
        require_figure(judge.name, judge.float_value, scores.scorer)
    logger.info("original evaluation accuracy: %s", judge.float_value)
    require_expected(options.expect, judge.name, judge.float_value, look.seen, scores.scorer)
    job.warnings.warn(*scores.scorer.cautions, *chance_caution(look.seen, scores.scorer))
    return FloatScores(scores, judge, ledger)
