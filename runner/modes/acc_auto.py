"""``acc_auto``: decide layer by layer what can be int8 so that the metric loses less than the target."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import onnx_ir as ir

from runner.dataset.fitting import fit
from runner.dataset.input_settings import constants_of
from runner.dataset.item import Dataset
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.evaluation.amct_evaluator import AmctEvaluator
from runner.evaluation.evaluator import Evaluation, Evaluator
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
from runner.graph.digest import graph_digest
from runner.job_folder import JobFolder
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.callers import settle_callers
from runner.modes.cautions import (
    held_out_caution,
    outputs_caution,
    overlap_caution,
    require_measurable,
    resolution_caution,
    tensors_caution,
)
from runner.modes.codecs import FORMS, INPUTS_SEEN, NUMBER, QUANTIZED
from runner.modes.data import DataSplit, calibration_subset, describe_source, evaluation_subset, keep_pixels, split_data
from runner.modes.expectation import batch_caution, chance_caution, require_expected
from runner.modes.files.check_files import Job, check_files
from runner.modes.files.given_files import GivenFiles, read_given, starting_point
from runner.modes.files.intermediates import Intermediates, kept_items, write_kept
from runner.modes.files.write_acc_auto import RECORD, BestPair, Outcome, write_outcome
from runner.modes.files.write_models import ModelPair, warn_of_notes
from runner.modes.input_values import inputs_seen, seen_subset
from runner.modes.keys import StageKeys
from runner.modes.layer_settings import select_layers
from runner.modes.prepared_model import PreparedModel, load_prepared, rewriting_gap
from runner.modes.proof import proof_items
from runner.modes.recipe import CalibrationRecipe, Recipe, RecordRecipe
from runner.modes.result import AccAutoResult, Comparison, Status
from runner.modes.rewriting import recorded_model, rewritten_model
from runner.modes.scoring.attempts import Attempts
from runner.modes.scoring.final_figure import fresh_comparison, held_out_status, judged_comparison
from runner.modes.scoring.judge import AmctJudge, Judge, MetricJudge
from runner.modes.scoring.ranking import Ranker
from runner.modes.scoring.remembered_scores import RememberedScores
from runner.modes.scoring.reported_metrics import reported_metrics
from runner.modes.scoring.searching import try_plans, try_repairs
from runner.modes.scoring.trials import TrialRunner
from runner.modes.stages import Stages
from runner.modes.tensor_settings import select_tensors
from runner.modes.work_ahead import items_ahead, items_of_search
from runner.search.budget import BudgetSpentError, Meter
from runner.search.ladder import foothold
from runner.search.pareto import Pareto, curve_of
from runner.search.plan import Plan, Ranking, SearchResult
from runner.search.units import units_of
from runner.session import input_specs
from runner.store.remembered import remembered
from runner.store.store import Store

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
    meter = Meter(options.budget)
    name = name or Path(model).stem
    given = read_given(options.quant_config, options.record)
    calibration = None if given.record is not None else _calibration(given, options, calibration_dataset or dataset)
    keep_pixels(store, dataset, calibration_dataset)
    constants = constants_of(dataset)
    with stages.stage(LOAD):
        evaluated = evaluation_subset(dataset, options.evaluation_count)
        subject = recorded_model(load_prepared(model, given.folds, constants), given)
        settled = fit(input_specs(subject.source.graph), dataset, calibration_dataset)
        parts = split_data(evaluated, calibration, options.split)
        evaluation = parts.search
        checks = proof_items(options.verify, parts.report.indices)
        kept = kept_items(parts.report, options.keep_intermediates, options.intermediates_count)
        require_measurable(subject.source.graph, options.metric, options.sensitivity)
        keys = StageKeys(
            graph_digest(subject.runnable.graph),
            evaluation.fingerprint,
            "" if calibration is None else calibration.fingerprint,
        )
        recipe = _recipe(given, subject, options, evaluation, calibration)
        folder = JobFolder(output)
        source = describe_source(name, subject.source, parts)
        emit(ModelUsed(name, source.model_sha256))
        gap = _rewriting_gap(subject, evaluation, keys, store)
        looked_at = seen_subset(evaluation)
        seen = remembered(
            store,
            keys.inputs_seen(looked_at.fingerprint),
            lambda: inputs_seen(subject.source.graph, looked_at),
            INPUTS_SEEN,
        )
        settle_callers(engine, subject.runnable.graph, evaluation, keys, store)
        _announce(parts, calibration, emit)

    emit(WorkAhead(items_ahead(options, parts, len(subject.runnable.layers), recipe.passes)))
    prepared = subject
    subject = rewritten_model(prepared, options.correction, calibration, recipe, engine, stages, keys, store)
    if subject is not prepared:
        keys = replace(keys, graph=graph_digest(subject.runnable.graph))
        recipe = _recipe(given, subject, options, evaluation, calibration)
        gap = _rewriting_gap(subject, evaluation, keys, store)
    warnings: list[str] = []

    def warn(*messages: str) -> None:
        for message in messages:
            warnings.append(message)
            emit(Warned(message))
            logger.warning(message)

    # Before the work: more data or another target may be wanted.
    warn(*outputs_caution(subject.source), *overlap_caution(source))
    warn(*resolution_caution(options, source), *batch_caution(seen))
    evaluator = Evaluator(
        engine,
        evaluation.dataset,
        evaluation.indices,
        reported_metrics(options.metric, subject.source.graph),
        output_kind=options.output_kind,
        decides=not isinstance(options.metric, AmctEvaluator),
    )
    scores = RememberedScores(evaluator, keys, store)
    judge = _judge(options, evaluator, model, subject.source.graph if constants else None, store)
    with stages.stage(FLOAT_EVAL, len(evaluation.indices)) as progress:
        float_evaluation = scores.of_float(subject.runnable.graph, progress)
        before = judge.look_at_float(float_evaluation)
    logger.info("original evaluation accuracy: %s", before)
    require_expected(options.expect, judge.name, before, seen, evaluator, float_evaluation)
    warn(*evaluator.cautions, *chance_caution(seen, evaluator, float_evaluation))

    quantized = remembered(store, keys.quantized(recipe.settings), lambda: recipe.quantize(engine, stages), QUANTIZED)
    warn(*recipe.warnings, *(f"layer '{left.name}' stays float: {left.reason}" for left in quantized.impossible))

    trials = TrialRunner(
        subject.runnable,
        quantized.form,
        judge,
        emit,
        quantized.costs,
        lambda form: keys.scores(form, evaluator),
    )
    best = BestPair(folder, f"results/{name}", subject.at_source_opset, trials.form)

    attempts = Attempts(trials, best, stages)
    with stages.stage(SEARCH, len(evaluation.indices), "all layers int8") as progress:
        all_int8 = attempts.run(Plan.all_int8(quantized.form.layers), progress)
    ranking = damage = stopped = None
    try:
        if calibration is not None:
            items = len(evaluation.indices)
            repairs = partial(
                remembered, store, keys.repaired(recipe.settings), lambda: recipe.repaired(engine, stages), FORMS
            )
            start = foothold(try_repairs(all_int8, repairs, attempts, meter, items))
            units = units_of(subject.runnable, trials.form(start.plan), quantized.costs)
            emit(WorkAhead(items_of_search(options, parts, len(quantized.form.layers), len(units), start)))
            # As in AMCT the ranking is made also where nothing has to fall back.
            ranker = Ranker(subject, calibration, engine, attempts, scores, float_evaluation, meter)
            ranking, damage = ranker.rank(start.plan, units, options.sensitivity)
            stopped = try_plans(start, ranking, options.strategy, attempts, meter, items)
    except BudgetSpentError:
        stopped = "budget"
    except KeyboardInterrupt:
        stopped = "interrupted"
    found = attempts.result(stopped)
    chosen = found.best or found.closest
    verdict = trials.verdicts[chosen.plan]
    final_evaluation = verdict.evaluation
    try:
        final_evaluation = final_evaluation or _final_scores(scores, trials, found, stages)
    except KeyboardInterrupt:
        found = replace(found, stopped="interrupted")
    warn(*tensors_caution(found, all_int8, len(quantized.form.tensors)))
    comparison = judged_comparison(
        judge,
        evaluator,
        evaluation,
        before=(before, float_evaluation),
        after=(verdict, final_evaluation),
        seed=options.seed,
    )
    status: Status = "met" if found.best is not None else "not_met"
    evaluations, items_scored, measured = judge.evaluations, evaluator.items_scored, evaluator
    if parts.held_out and found.stopped != "interrupted":
        measured = Evaluator(engine, dataset, parts.report.indices, evaluator.metrics, output_kind=options.output_kind)
        fresh_scores = RememberedScores(measured, replace(keys, items=parts.report.fingerprint), store)
        models = _fresh_scores(fresh_scores, subject, trials, chosen.plan, stages)
        evaluations, items_scored = evaluations + measured.evaluations, items_scored + measured.items_scored
        if models is None:
            # The figures are those of the search then.
            found = replace(found, stopped="interrupted")
        else:
            warn(*(caution for caution in measured.cautions if caution not in warnings))
            comparison = fresh_comparison(measured, parts.report, models, target=judge.target, seed=options.seed)
            status, found = _borne_out(found, comparison, options.target_loss, warn)

    outcome = Outcome(
        all_int8=quantized.form,
        corrected=quantized.corrected or bool(trials.repaired),
        rewriting=subject.rewriting,
        config=None if recipe.config is None else recipe.config.with_balance(quantized.strengths),
        ranking=ranking,
        search=found,
        repaired=trials.repaired,
        damage=damage,
        curve=curve_of(found, quantized.costs) if isinstance(options.strategy, Pareto) else (),
    )
    with stages.stage(WRITE):
        pair, found = _write(folder, outcome, best)
    written = proof = None
    if pair is not None and found.stopped != "interrupted":
        job = Job(folder, subject.at_source_opset, dataset, engine, options.verify, keys, store)
        try:
            with stages.stage(VERIFY, checks) as progress:
                written, proof = check_files(
                    job,
                    pair,
                    RECORD,
                    outcome.final_form,
                    evaluator=measured,
                    quantized=comparison.quantized,
                    progress=progress,
                )
                warnings += warn_of_notes(written, emit)
        except KeyboardInterrupt:
            found = replace(found, stopped="interrupted")
    shown = Intermediates(name, subject.at_source_opset, outcome.final_form, pair, quantized.form)
    intermediates, found = _keep(found, partial(write_kept, folder, shown, dataset, kept, stages))
    return AccAutoResult(
        status=found.stopped or status,
        source=source,
        target_loss=judge.target,
        comparison=comparison,
        found=subject.runnable,
        impossible=quantized.impossible,
        folded=subject.prepared.folded,
        rewriting=subject.rewriting,
        rewriting_gap=gap,
        form=outcome.final_form,
        ranking=ranking or Ranking(()),
        search=found,
        costs=quantized.costs,
        evaluations=evaluations,
        partial_evaluations=evaluator.partial_evaluations,
        items_scored=items_scored,
        folder=folder,
        written=written,
        proof=proof,
        seconds=stages.seconds(),
        warnings=tuple(warnings),
        skipped=recipe.skipped,
        from_record=given.record is not None,
        damage=damage,
        curve=outcome.curve,
        inputs=seen,
        chosen=settled,
        constants=constants,
        intermediates=intermediates,
    )


def _write(folder: JobFolder, outcome: Outcome, best: BestPair) -> tuple[ModelPair | None, SearchResult]:
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


def _rewriting_gap(subject: PreparedModel, evaluation: Subset, keys: StageKeys, store: Store | None) -> float:
    key = keys.rewriting_gap(graph_digest(subject.source.graph), evaluation.contents[0])
    return remembered(store, key, lambda: rewriting_gap(subject, evaluation), NUMBER)


def _judge(
    options: AccAutoOptions, evaluator: Evaluator, model: str | Path, fixed: ir.Model | None, store: Store | None
) -> Judge:
    if isinstance(options.metric, AmctEvaluator):
        return AmctJudge(options.metric, model, fixed)
    return MetricJudge(evaluator, options.target_loss, store, confidence=options.confidence, seed=options.seed)


def _recipe(
    given: GivenFiles, subject: PreparedModel, options: AccAutoOptions, evaluation: Subset, calibration: Subset | None
) -> Recipe:
    if given.record is not None:
        return RecordRecipe(subject, given, evaluation)
    assert calibration is not None  # there is one wherever no record is given
    selection = replace(
        select_layers(options.settings, subject.runnable, subject.node_types),
        tensors=select_tensors(options.settings.tensor_quantize, subject.runnable.graph),
    )
    start = starting_point(
        given,
        subject,
        options.observer,
        selection,
        count=len(calibration.indices),
        balance=options.correction.balance,
    )
    warnings = given.warnings(options.calibration_count)
    return CalibrationRecipe(subject, calibration, start, warnings, options.correction)


def _final_scores(scores: RememberedScores, trials: TrialRunner, found: SearchResult, stages: Stages) -> Evaluation:
    """Return the chosen plan's scores where an evaluator of the user's judged, which gives none."""
    if found.stopped == "interrupted":
        raise KeyboardInterrupt  # the evaluator's figure has to do: there is no time to make others
    plan = (found.best or found.closest).plan
    with stages.stage(FINAL_EVAL, len(scores.evaluator.indices)) as progress:
        return scores.of_form(trials.form(plan), partial(trials.model, plan, multiply=True), progress)


def _fresh_scores(
    scores: RememberedScores, subject: PreparedModel, trials: TrialRunner, plan: Plan, stages: Stages
) -> tuple[Evaluation, Evaluation] | None:
    """Return the float model's scores and a plan's over items that the search never saw; None where interrupted."""
    items = len(scores.evaluator.indices)
    build = partial(trials.model, plan, multiply=True)
    try:
        with stages.stage(FINAL_EVAL, 2 * items, "items that the search never saw") as progress:
            before = scores.of_float(subject.runnable.graph, progress)
            return before, scores.of_form(trials.form(plan), build, lambda done: progress(items + done))
    except KeyboardInterrupt:
        return None


def _borne_out(
    found: SearchResult, comparison: Comparison, target: float, warn: Callable[..., None]
) -> tuple[Status, SearchResult]:
    """Return what items that the search never saw say of its result, and the result that is left."""
    if found.best is None:
        return "not_met", found
    status = held_out_status(comparison, target)
    warn(*held_out_caution(status, comparison, target))
    return status, found if status != "not_met" else replace(found, best=None)
