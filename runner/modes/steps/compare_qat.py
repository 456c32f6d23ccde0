"""Compare: the QAT source as stored with the model of its integers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from runner.dataset.item import Dataset, class_of
from runner.evaluation.accuracy import Agreement, TiedAnswers, TopK
from runner.evaluation.evaluator import Evaluator
from runner.evaluation.metric import Metric
from runner.evaluation.outputs import OutputKind
from runner.evaluation.scorer import Scorer
from runner.evaluation.uncertainty import loss_interval
from runner.events import FINAL_EVAL, FLOAT_EVAL
from runner.graph.output_kind import ends_in_softmax
from runner.modes.cautions import outputs_caution
from runner.modes.context import Context
from runner.modes.convert_qat_options import ConvertQatOptions
from runner.modes.expectation import batch_caution, chance_caution, check_expectation, require_expected, require_figure
from runner.modes.input_values import InputsSeen
from runner.modes.prediction import PREDICTION, PredictionInputs, predict
from runner.modes.result import Comparison, Prediction, Work
from runner.modes.scoring.remembered_scores import RememberedScores
from runner.modes.scoring.reported_metrics import with_companions
from runner.modes.steps.load_qat import LoadedQat
from runner.session import SIMULATION

_TIES = TiedAnswers()


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """The source and the model of its integers.

    Attributes:
        comparison: of the two.
        scorer: that measured both.
        tied_answers: answers that differ where the source gives both classes its highest score; None without classes.
        prediction: for one item; None where the model is no classifier.
        work: what it took to get here.
    """

    comparison: Comparison
    scorer: Scorer
    tied_answers: int | None
    prediction: Prediction | None
    work: Work


def compare_qat(loaded: LoadedQat, seen: InputsSeen, options: ConvertQatOptions, job: Context) -> Compared:
    """Return the figures of the source and of the model of its integers.

    Args:
        loaded: both models, and the items.
        seen: what reaches them.
        options: the job's.
        job: runs models.

    Raises:
        DatasetError: the source is not what is known of it.
    """
    items = loaded.split.report
    scores = _source_scores(loaded, seen, options, job)
    scorer = scores.scorer
    metric, before = scorer.metrics[0], scorer.float_scores
    simulation = options.target.simulation

    def simulated() -> ir.Model:
        return simulation.model(loaded.runnable, loaded.qat.form, own_session=True)

    with job.clock.stage(FINAL_EVAL, len(items)) as progress:
        after = scores.of_form(loaded.qat.form, simulated, progress)
    interval = loss_interval(metric, before.scores[metric.name], after.scores[metric.name])
    dataset, shown, classes = items.dataset, loaded.shown, scorer.classes
    inputs = PredictionInputs(
        loaded.source_digest,
        loaded.digest,
        loaded.qat.form,
        dataset.fingerprint(shown),
        dataset.name(shown),
        simulation,
        classes,
    )
    prediction = PREDICTION.cached(
        job.store,
        inputs,
        lambda: predict(
            ((loaded.source.graph, SIMULATION), (simulated(), simulation.profile)), dataset, shown, classes, job.engine
        ),
    )
    reported = [metric for metric in scorer.metrics if metric is not _TIES]
    return Compared(
        Comparison(reported, before, after, classes, items, interval=interval, outputs=scorer.outputs),
        scorer,
        int(after.scores[_TIES.name].sum()) if _TIES.name in after.scores else None,
        prediction,
        Work(scorer.ledger.full, scorer.ledger.items, job.clock.seconds()),
    )


def _source_scores(loaded: LoadedQat, seen: InputsSeen, options: ConvertQatOptions, job: Context) -> RememberedScores:
    """Return the scores against the source, having told what the user should know of it."""
    items, graph = loaded.split.report, loaded.source.graph
    kind: OutputKind = options.output_kind
    if kind == "auto" and ends_in_softmax(graph):
        kind = "probabilities"
    simulation, metrics = options.target.simulation, [*_metrics(options.metric, items.dataset, items.indices), _TIES]
    evaluator = Evaluator(job.engine, items, metrics, output_kind=kind, profile=simulation.profile)
    with job.clock.stage(FLOAT_EVAL, len(items), "the source as stored") as progress:
        scores = RememberedScores.against(
            graph,
            evaluator,
            float_graph=loaded.source_digest,
            graph=loaded.digest,
            simulation=simulation,
            store=job.store,
            progress=progress,
        )
    scorer = scores.scorer
    metric = scorer.metrics[0]
    check_expectation(options.expect, metric)
    figure = metric.aggregate(scorer.float_scores.scores[metric.name])
    require_figure(metric.name, figure, scorer)
    require_expected(options.expect, metric.name, figure, seen, scorer)
    job.warnings.warn(*outputs_caution(loaded.source), *scorer.cautions)
    job.warnings.warn(*batch_caution(seen), *chance_caution(seen, scorer))
    return scores


def _metrics(asked: Metric | None, dataset: Dataset, indices: Sequence[int]) -> list[Metric]:
    """Return the metrics to report; where none is asked for accuracy leads, agreement where an item has no label."""
    if asked is not None:
        return with_companions(asked)
    labelled = all(class_of(dataset.label(index)) is not None for index in indices)
    return with_companions(TopK() if labelled else Agreement())
