"""``acc_auto``: decide layer by layer what can be int8 so that the metric loses less than the target."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from runner.convert.simulation import Simulation
from runner.dataset.fitting import fit
from runner.dataset.input_settings import constants_of
from runner.dataset.item import Dataset
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.evaluation.amct_evaluator import AmctEvaluator
from runner.evaluation.early_stopping.early_judge import EarlyJudge
from runner.evaluation.evaluator import Evaluator
from runner.evaluation.judge import AmctJudge, Judge, MetricJudge
from runner.evaluation.ledger import Ledger
from runner.evaluation.scorer import Scorer
from runner.evaluation.scores import Evaluation
from runner.events import (
    FINAL_EVAL,
    FLOAT_EVAL,
    LOAD,
    SEARCH,
    VERIFY,
    WRITE,
    Emit,
    ModelUsed,
    Warned,
    WorkAhead,
    ignore,
)
from runner.job_folder import JobFolder
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.calibrated_layers import CalibratedLayers
from runner.modes.callers import choose_callers
from runner.modes.cautions import (
    held_out_caution,
    outputs_caution,
    overlap_caution,
    require_measurable,
    resolution_caution,
    tensors_caution,
)
from runner.modes.context import Context
from runner.modes.data import DataSplit, calibration_subset, describe_source, evaluation_subset, keep_pixels, split_data
from runner.modes.expectation import batch_caution, chance_caution, require_expected
from runner.modes.files.check_files import check_files
from runner.modes.files.given_files import GivenFiles, read_given, starting_point
from runner.modes.files.kept_values import kept_items, write_kept
from runner.modes.files.write_acc_auto import RECORD, BestModels, Outcome, write_outcome
from runner.modes.input_values import cached_inputs_seen
from runner.modes.layer_settings import select_layers
from runner.modes.layer_source import LayerSource
from runner.modes.prepared_model import PreparedModel, load_prepared
from runner.modes.recorded_layers import RecordedLayers
from runner.modes.result import AccAutoResult, Comparison, JobFiles, Layers, ModelInputs, Status, Work
from runner.modes.rewriting import recorded_model, rewritten_model
from runner.modes.rewriting_gap import cached_gap
from runner.modes.scoring.final_figure import fresh_comparison, held_out_status, judged_comparison
from runner.modes.scoring.job_trials import job_trials
from runner.modes.scoring.ranking import Ranker
from runner.modes.scoring.remembered_scores import RememberedScores
from runner.modes.scoring.reported_metrics import reported_metrics
from runner.modes.scoring.searching import try_plans, try_repairs
from runner.modes.stages import Stages
from runner.modes.tensor_settings import select_tensors
from runner.modes.work_ahead import items_ahead, items_of_search
from runner.search.budget import Meter
from runner.search.ladder import starting_plan
from runner.search.layer_groups import layer_groups
from runner.search.pareto import Pareto, curve_of
from runner.search.plan import INT8, Plan, Ranking, SearchResult
from runner.search.planned_models import PlannedModels
from runner.session import input_specs
from runner.store.store import Store
from runner.targets.target import Kept, Measured, ModelFiles

logger = logging.getLogger(__name__)


def acc_auto(  # noqa: PLR0913 - all but four have a default
    model: str | Path,
    dataset: Dataset,
    output: str | Path,
    options: AccAutoOptions,
    *,
    name: str | None = None,
    calibration_dataset: Dataset | None = None,
    engine: Engine | None = None,
    store: Store | None = None,
    emit: Emit = ignore,
) -> AccAutoResult:
    """Quantize a float ONNX model and write the result below ``output``.

    What a stage worked out is kept in ``store`` as soon as it is known, a plan's scores after each trial. So a job that was
    killed goes on where it was, and a second one runs no model. An interruption (KeyboardInterrupt) from the first trial on
    gives the best plan so far.

    Args:
        model: path of the float ONNX file.
        dataset: evaluation data, and calibration data unless another is named.
        output: the job's folder.
        options: how to quantize, rank and search.
        name: what the result's files are called; the file's name by default.
        calibration_dataset: calibration data.
        engine: runs models; as many callers as are fastest by default.
        store: keeps the results of stages, and decoded images; None keeps nothing.
        emit: listens to events.

    Returns:
        The result; a target that nothing meets is one too (``status`` is ``not_met``).

    Raises:
        RunnerError: the input is wrong; no result file is written then.
    """
    engine = engine or Engine()
    stages = Stages(engine, emit)
    job = Context(engine, stages, store)
    meter, target = Meter(options.budget), options.target
    name = name or Path(model).stem
    given = read_given(options.quant_config, options.record)
    calibration = None if given.record is not None else _calibration(given, options, calibration_dataset or dataset)
    keep_pixels(store, dataset, calibration_dataset)
    constants = constants_of(dataset)
    with stages.stage(LOAD):
        evaluated = evaluation_subset(dataset, options.evaluation_count)
        subject = recorded_model(load_prepared(model, given.folds, constants, target), given)
        settled = fit(input_specs(subject.source.graph), dataset, calibration_dataset)
        parts = split_data(evaluated, calibration, options.split)
        evaluation = parts.search
        checks = target.check_steps(options.verify, parts.report.indices)
        kept = kept_items(parts.report, options.keep_intermediates, options.intermediates_count)
        require_measurable(subject.source.graph, options.metric, options.sensitivity)
        layer_source = _layer_source(given, subject, options, evaluation, calibration)
        folder = JobFolder(output)
        source = describe_source(name, subject.source, parts)
        emit(ModelUsed(name, source.model_sha256))
        gap = cached_gap(subject, evaluation, job)
        seen = cached_inputs_seen(subject.source.graph, evaluation, store)
        choose_callers(engine, subject.runnable.graph, subject.digest, evaluation, store)
        _announce(parts, calibration, emit)

    emit(WorkAhead(items_ahead(options, parts, len(subject.runnable.layers), layer_source.passes)))
    prepared = subject
    subject = rewritten_model(prepared, options.correction, calibration, layer_source, job)
    if subject is not prepared:
        layer_source = _layer_source(given, subject, options, evaluation, calibration)
        gap = cached_gap(subject, evaluation, job)
    warnings: list[str] = []

    def warn(*messages: str) -> None:
        for message in messages:
            warnings.append(message)
            emit(Warned(message))
            logger.warning(message)

    # Before the work: more data or another target may be wanted.
    warn(*outputs_caution(subject.source), *overlap_caution(source))
    warn(*resolution_caution(options, source), *batch_caution(seen))
    ledger = Ledger()
    own = options.metric.load() if isinstance(options.metric, AmctEvaluator) else None
    evaluator = Evaluator(
        engine,
        evaluation,
        reported_metrics(options.metric, subject.source.graph),
        output_kind=options.output_kind,
        decides=own is None,
        ledger=ledger,
        profile=target.simulation.profile,
    )
    with stages.stage(FLOAT_EVAL, len(evaluation)) as progress:
        scores = RememberedScores.against(
            subject.runnable.graph,
            evaluator,
            float_graph=subject.digest,
            graph=subject.digest,
            simulation=target.simulation,
            store=store,
            progress=progress,
        )
        scorer = scores.scorer
        if own is None:
            judge = _metric_judge(options, scorer, store)
        else:
            judge = AmctJudge.against(own, model, ledger, fixed=subject.source.graph if constants else None)
    logger.info("original evaluation accuracy: %s", judge.float_value)
    require_expected(options.expect, judge.name, judge.float_value, seen, scorer)
    warn(*scorer.cautions, *chance_caution(seen, scorer))

    quantized = layer_source.quantize(job)
    warn(*layer_source.warnings, *(f"layer '{left.name}' stays float: {left.reason}" for left in quantized.impossible))

    models = PlannedModels(subject.runnable, {INT8: quantized.form}, target.simulation, target.planned)
    best = BestModels(folder, f"results/{name}", subject.at_source_opset, models.form, target)

    def publish() -> None:
        with stages.apart(WRITE):
            best.publish()

    log = job_trials(models, judge, emit, quantized.costs, key=scores.key, offer=best.offer, publish=publish)
    items = len(evaluation)
    with stages.stage(SEARCH, items, "all layers int8") as progress:
        all_int8 = log.trial(Plan.all_int8(quantized.form.layers), progress)
    ranking = contributions = None
    with meter.until_stopped():
        if calibration is not None:
            repairs = partial(layer_source.repaired, job)
            tried = try_repairs(all_int8, repairs, models, log, meter=meter, stages=stages, items=items)
            start = starting_plan(tried)
            groups = layer_groups(subject.runnable, models.form(start.plan), quantized.costs)
            emit(WorkAhead(items_of_search(options, parts, len(quantized.form.layers), len(groups), start)))
            # As in AMCT the ranking is made also where nothing has to fall back.
            ranker = Ranker(subject, calibration, engine, models, log, scores, stages, meter, publish)
            ranking, contributions = ranker.rank(start.plan, groups, options.sensitivity)
            try_plans(start, ranking, options.strategy, log, meter=meter, stages=stages, items=items)
    found = log.result(meter.stopped)
    chosen = found.best or found.closest
    verdict = log.verdict(chosen.plan)
    final_evaluation = verdict.evaluation
    if final_evaluation is None and meter.stopped != "interrupted":
        # An evaluator of the user's judged, which gives no scores. Interrupted, there is no time to make any.
        with meter.until_stopped():
            final_evaluation = _final_scores(scores, models, chosen.plan, stages)
        found = replace(found, stopped=meter.stopped)
    warn(*tensors_caution(found, all_int8, len(quantized.form.tensors)))
    comparison = judged_comparison(judge, scorer, verdict, final_evaluation, seed=options.seed)
    status: Status = "met" if found.best is not None else "not_met"
    measured = scorer
    if parts.held_out and found.stopped != "interrupted":
        evaluator = Evaluator(engine, parts.report, scorer.metrics, output_kind=options.output_kind, ledger=ledger)
        fresh = None
        with meter.until_stopped():
            fresh = _fresh_scores(
                evaluator,
                models,
                chosen.plan,
                graph=subject.digest,
                simulation=target.simulation,
                store=store,
                stages=stages,
            )
        if fresh is None:
            # The figures are those of the search then.
            found = replace(found, stopped=meter.stopped)
        else:
            measured, after = fresh
            warn(*(caution for caution in measured.cautions if caution not in warnings))
            comparison = fresh_comparison(measured, after, target=judge.target, seed=options.seed)
            status, found = _borne_out(found, comparison, options.target_loss, warn)
    evaluations, items_scored = ledger.full, ledger.items

    outcome = Outcome(
        all_int8=quantized.form,
        final_form=quantized.form if found.best is None else models.form(found.best.plan),
        corrected=quantized.corrected or bool(models.repaired),
        rewriting=subject.rewriting,
        config=None if layer_source.config is None else layer_source.config.with_balance(quantized.strengths),
        ranking=ranking,
        search=found,
        loss_contributions=contributions,
        curve=curve_of(found, quantized.costs) if isinstance(options.strategy, Pareto) else (),
    )
    with stages.stage(WRITE):
        files, found = _write(folder, outcome, best)
    checked: Any = None
    if files and found.stopped != "interrupted":
        shown = Measured(
            folder=folder,
            record=RECORD,
            model=subject.at_source_opset,
            form=outcome.final_form,
            dataset=dataset,
            scorer=measured,
            quantized=comparison.quantized,
            options=options.verify,
            float_graph=subject.digest,
            graph=subject.digest,
            engine=engine,
            store=store,
        )
        try:
            with stages.stage(VERIFY, checks) as progress:
                checked = check_files(target, files, shown, progress)
                warn(*target.warnings(checked))
        except KeyboardInterrupt:
            found = replace(found, stopped="interrupted")
    flowing = Kept(name, subject.at_source_opset, outcome.final_form, files, kept, quantized.form)
    intermediates, found = _keep(found, partial(write_kept, flowing, target, folder, stages))
    return AccAutoResult(
        status=found.stopped or status,
        source=source,
        comparison=comparison,
        layers=Layers(subject.runnable, outcome.final_form, quantized.costs),
        inputs=ModelInputs(seen, settled, constants),
        files=JobFiles(folder, target, () if checked is None else files, checked, intermediates),
        work=Work(evaluations, items_scored, stages.seconds(), ledger.partial),
        warnings=tuple(warnings),
        curve=outcome.curve,
        target_loss=judge.target,
        search=found,
        ranking=ranking or Ranking(()),
        loss_contributions=contributions,
        impossible=quantized.impossible,
        skipped=layer_source.skipped,
        folded=subject.prepared.folded,
        rewriting=subject.rewriting,
        rewriting_gap=gap,
        from_record=given.record is not None,
    )


def _write(folder: JobFolder, outcome: Outcome, best: BestModels) -> tuple[ModelFiles, SearchResult]:
    """Write the files and return the pair; an interruption is heeded after all of them, which are a second's work."""
    try:
        return write_outcome(folder, outcome, best), outcome.search
    except KeyboardInterrupt:
        search = replace(outcome.search, stopped="interrupted")
        return write_outcome(folder, replace(outcome, search=search), best), search


def _calibration(given: GivenFiles, options: AccAutoOptions, dataset: Dataset) -> Subset:
    count, key = given.calibration_count(options.calibration_count, len(dataset))
    return calibration_subset(dataset, count, key)


def _keep(found: SearchResult, write: Callable[[], Path | None]) -> tuple[Path | None, SearchResult]:
    """Write the intermediate values and return their folder, if any; who interrupts wants none."""
    if found.stopped == "interrupted":
        return None, found
    try:
        return write(), found
    except KeyboardInterrupt:
        # What is written of them is gone again, the result before them is whole.
        return None, replace(found, stopped="interrupted")


def _announce(parts: DataSplit, calibration: Subset | None, emit: Emit) -> None:
    parts.search.announce("evaluation", emit)
    if parts.held_out:
        parts.report.announce("report", emit)
    if calibration is not None:
        calibration.announce("calibration", emit)


def _metric_judge(options: AccAutoOptions, scorer: Scorer, store: Store | None) -> Judge:
    judge = MetricJudge(scorer, options.target_loss, store)
    return EarlyJudge(judge, confidence=options.confidence, seed=options.seed)


def _layer_source(
    given: GivenFiles, subject: PreparedModel, options: AccAutoOptions, evaluation: Subset, calibration: Subset | None
) -> LayerSource:
    if given.record is not None:
        return RecordedLayers(subject, given, evaluation)
    assert calibration is not None  # there is one wherever no record is given
    selection = select_layers(options.settings, subject.runnable, subject.node_types)
    asked = select_tensors(options.settings.tensor_quantize, subject.runnable.graph, subject.target.limits.rounded)
    wanted = subject.target.rounded_inputs(selection.quantized)
    selection = replace(selection, tensors=tuple(dict.fromkeys((*asked, *wanted))))
    start = starting_point(
        given,
        subject,
        options.observer,
        selection,
        count=len(calibration.indices),
        balance=options.correction.balance,
    )
    warnings = given.warnings(options.calibration_count)
    return CalibratedLayers(subject, calibration, start, warnings, options.correction)


def _final_scores(scores: RememberedScores, models: PlannedModels, plan: Plan, stages: Stages) -> Evaluation:
    """Return a plan's scores where the judge gave none."""
    with stages.stage(FINAL_EVAL, len(scores.scorer.items)) as progress:
        return scores.of_form(models.form(plan), partial(models.model, plan, own_session=True), progress)


def _fresh_scores(
    evaluator: Evaluator,
    models: PlannedModels,
    plan: Plan,
    *,
    graph: str,
    simulation: Simulation,
    store: Store | None,
    stages: Stages,
) -> tuple[Scorer, Evaluation]:
    """Return the scorer over items that the search never saw, and a plan's scores."""
    items = len(evaluator.items)
    build = partial(models.model, plan, own_session=True)
    with stages.stage(FINAL_EVAL, 2 * items, "items that the search never saw") as progress:
        scores = RememberedScores.against(
            models.float_model.graph,
            evaluator,
            float_graph=graph,
            graph=graph,
            simulation=simulation,
            store=store,
            progress=progress,
        )
        return scores.scorer, scores.of_form(models.form(plan), build, lambda done: progress(items + done))


def _borne_out(
    found: SearchResult, comparison: Comparison, target: float, warn: Callable[..., None]
) -> tuple[Status, SearchResult]:
    """Return what items that the search never saw say of its result, and the result that is left."""
    if found.best is None:
        return "not_met", found
    status = held_out_status(comparison, target)
    warn(*held_out_caution(status, comparison, target))
    return status, found if status != "not_met" else replace(found, best=None)
