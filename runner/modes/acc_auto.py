"""``acc_auto``: decide layer by layer what can be int8 so that the metric loses less than the target."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from runner.calibration.ifmr import Ifmr
from runner.calibration.observer import Observer
from runner.correction.options import Correction
from runner.dataset.item import Dataset
from runner.engine import Engine
from runner.errors import ConfigError
from runner.evaluation.accuracy import PERCENTAGE_POINTS, Agreement, TopK
from runner.evaluation.amct_evaluator import AmctEvaluator
from runner.evaluation.distance import Kl, Sqnr
from runner.evaluation.evaluator import Evaluation, Evaluator
from runner.evaluation.metric import Metric
from runner.evaluation.outputs import OutputKind
from runner.evaluation.uncertainty import items_for_target
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
from runner.modes.attempts import Attempts
from runner.modes.callers import settle_callers
from runner.modes.check_files import Job, check_files
from runner.modes.codecs import FORMS, NUMBER, QUANTIZED
from runner.modes.data import Parts, Split, calibration_part, describe_source, evaluation_part, keep_pixels, split_parts
from runner.modes.equalization import chosen_exponents, recorded_subject
from runner.modes.final_figure import fresh_comparison, held_out_status, judged_comparison
from runner.modes.given_files import GivenFiles, read_given, starting_point
from runner.modes.judge import AmctJudge, Judge, MetricJudge
from runner.modes.keys import StageKeys
from runner.modes.layer_settings import LayerSettings, select_layers
from runner.modes.part import Part
from runner.modes.proof import VerifyOptions, proof_items
from runner.modes.ranking import Ranker
from runner.modes.recipe import CalibrationRecipe, Recipe, RecordRecipe
from runner.modes.remembered_scores import RememberedScores
from runner.modes.result import AccAutoResult, Comparison, Source, Status
from runner.modes.searching import try_plans, try_repairs
from runner.modes.stages import Stages
from runner.modes.subject import Subject, load_subject, rewriting_gap
from runner.modes.tensor_settings import select_tensors
from runner.modes.trials import TrialRunner
from runner.modes.write_acc_auto import RECORD, BestPair, Outcome, write_outcome
from runner.modes.write_models import ModelPair, warn_of_notes
from runner.search.binary import Binary
from runner.search.budget import Budget, BudgetSpentError, Meter
from runner.search.driver import goes_on
from runner.search.end_to_end import EndToEnd
from runner.search.greedy import Greedy
from runner.search.ladder import foothold
from runner.search.pareto import Pareto, curve_of
from runner.search.plan import Plan, Ranking, SearchResult, Strategy, Trial
from runner.search.sensitivity import Cosine, Sensitivity
from runner.search.units import units_of
from runner.store.remembered import remembered
from runner.store.store import Store

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AccAutoOptions:
    """How to quantize, rank and search.

    Attributes:
        target_loss: the loss must stay below it, strictly, in the metric's unit.
        metric: decides; an AMCT evaluator does so by its own rule, without ``target_loss``.
        observer: chooses activation ranges.
        sensitivity: ranks layers, each on its own or by what reaches the model's outputs.
        strategy: proposes plans.
        correction: what makes the layers better than rounding to nearest, once, before the search.
        calibration_count: items that calibration looks at, evenly spaced over its dataset; None for the batch_num of
            ``quant_config``, or 100.
        evaluation_count: items to evaluate on, evenly spaced; None for all.
        split: whether calibration, search and the reported figure look at different items.
        output_kind: what class scores are, ``auto``, ``logits`` or ``probabilities``.
        settings: what is asked for single layers.
        quant_config: an AMCT configuration file to start from; says which layers are quantized and how.
        record: an AMCT record file to build from; nothing is calibrated, ranked or searched then.
        verify: how the written files are held against each other.
        budget: limits of the search.
        confidence: of a trial's verdict that is settled before all items are scored, below 1; None where that has to be
            certain. The plan that is returned is scored in full whatever it is.
        seed: of the order in which trials score items, where that is random.
    """

    target_loss: float
    metric: Metric | AmctEvaluator = field(default_factory=TopK)
    observer: Observer = field(default_factory=Ifmr)
    sensitivity: Sensitivity | EndToEnd = field(default_factory=Cosine)
    strategy: Strategy = field(default_factory=Binary)
    correction: Correction = field(default_factory=Correction)
    calibration_count: int | None = None
    evaluation_count: int | None = None
    split: Split = field(default_factory=Split)
    output_kind: OutputKind = "auto"
    settings: LayerSettings = field(default_factory=LayerSettings)
    quant_config: str | None = None
    record: str | None = None
    verify: VerifyOptions = field(default_factory=VerifyOptions)
    budget: Budget = field(default_factory=Budget)
    confidence: float | None = 0.999
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.target_loss >= 0:
            raise ConfigError(
                f"target_loss: expected 0 or more {self.metric.unit} (the loss must stay below it), got {self.target_loss}."
            )
        if self.confidence is not None and not 0.5 <= self.confidence < 1:
            raise ConfigError(
                "search.confidence: expected 0.5 or more and less than 1, or null for verdicts that are certain, "
                f"got {self.confidence}."
            )
        if isinstance(self.strategy, Greedy | Pareto) and not isinstance(self.sensitivity, EndToEnd):
            raise ConfigError(
                f"strategy: {type(self.strategy).__name__.lower()} weighs what a layer costs the outputs against its price; "
                "it needs sensitivity=end_to_end beside it."
            )
        if self.record is not None and self.settings.tensor_quantize != "none":
            raise ConfigError(
                "tensor_quantize: a record says itself which tensors are quantized; expected none beside record, got "
                f"{self.settings.tensor_quantize}."
            )
        if self.split.report and isinstance(self.metric, AmctEvaluator):
            raise ConfigError(
                "split.report: expected 0 with metric=amct_evaluator, which measures on data of its own, "
                f"got {self.split.report}."
            )


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
    count = given.calibration_count(options.calibration_count)
    calibration = None if given.record is not None else calibration_part(calibration_dataset or dataset, count)
    keep_pixels(store, dataset, calibration_dataset)
    with stages.stage(LOAD):
        parts = split_parts(evaluation_part(dataset, options.evaluation_count), calibration, options.split)
        evaluation = parts.search
        checks = proof_items(options.verify, parts.report.indices)
        subject = recorded_subject(load_subject(model, given.folds), given)
        keys = StageKeys(
            graph_digest(subject.runnable),
            evaluation.fingerprint,
            "" if calibration is None else calibration.fingerprint,
        )
        recipe = _recipe(given, subject, options, evaluation, calibration)
        folder = JobFolder(output)
        source = describe_source(name, subject.source, parts)
        emit(ModelUsed(name, source.model_sha256))
        gap = _rewriting_gap(subject, evaluation, keys, store)
        settle_callers(engine, subject.runnable, evaluation, keys, store)
        _announce(parts, calibration, emit)

    emit(WorkAhead(_items_ahead(options, parts, len(subject.found.layers), recipe.passes)))
    observed = calibration if options.correction.equalize else None
    exponents = chosen_exponents(subject, observed, recipe.skipped, engine, stages, keys, store)
    if exponents:
        subject = subject.equalized(exponents)
        keys = replace(keys, graph=graph_digest(subject.runnable))
        recipe = _recipe(given, subject, options, evaluation, calibration)
        gap = _rewriting_gap(subject, evaluation, keys, store)
    warnings: list[str] = []

    def warn(*messages: str) -> None:
        for message in messages:
            warnings.append(message)
            emit(Warned(message))
            logger.warning(message)

    # Before the work: more data or another target may be wanted.
    warn(*_overlap_warning(source), *_resolution_warning(options, source))
    evaluator = Evaluator(
        engine, evaluation.dataset, evaluation.indices, _metrics(options.metric), output_kind=options.output_kind
    )
    scores = RememberedScores(evaluator, keys, store)
    judge = _judge(options, evaluator, model, store)
    with stages.stage(FLOAT_EVAL, len(evaluation.indices)) as progress:
        float_evaluation = scores.of_float(subject.runnable, progress)
        before = judge.look_at_float(float_evaluation)
    logger.info("original evaluation accuracy: %s", before)

    quantized = remembered(store, keys.quantized(recipe.settings), lambda: recipe.quantize(engine, stages), QUANTIZED)
    warn(*recipe.warnings, *(f"layer '{left.name}' stays float: {left.reason}" for left in quantized.impossible))

    trials = TrialRunner(
        subject.runnable,
        subject.found,
        quantized.form,
        judge,
        emit,
        quantized.costs,
        lambda form: keys.scores(form, evaluator),
    )
    best = BestPair(folder, f"results/{name}", subject.prepared.graph, subject.found, trials.form)

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
            units = units_of(subject.found, trials.form(start.plan), quantized.costs)
            emit(WorkAhead(_items_of_search(options, parts, len(quantized.form.layers), len(units), start)))
            # As in AMCT the ranking is made also where nothing has to fall back.
            ranker = Ranker(subject, quantized.costs, calibration, engine, attempts, scores, float_evaluation, meter)
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
    warn(*_tensors_warning(found, all_int8, len(quantized.form.tensors)))
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
        measured = fresh = Evaluator(
            engine, dataset, parts.report.indices, evaluator.metrics, output_kind=options.output_kind
        )
        fresh_scores = RememberedScores(fresh, replace(keys, items=parts.report.fingerprint), store)
        models = _fresh_scores(fresh_scores, len(parts.report.indices), subject, trials, chosen.plan, stages)
        comparison = fresh_comparison(fresh, parts.report, models, target=judge.target, seed=options.seed)
        evaluations, items_scored = evaluations + fresh.evaluations, items_scored + fresh.items_scored
        if found.best is not None:
            status = held_out_status(comparison, options.target_loss)
            warn(*_held_out_warning(status, comparison, options.target_loss))
            found = found if status != "not_met" else replace(found, best=None)

    outcome = Outcome(
        all_int8=quantized.form,
        corrected=quantized.corrected or bool(trials.repaired),
        exponents=exponents or given.exponents,
        config=recipe.config,
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
        job = Job(folder, subject.prepared.graph, subject.found, dataset, engine, options.verify, keys, store)
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
    return AccAutoResult(
        status=found.stopped or status,
        source=source,
        target_loss=judge.target,
        comparison=comparison,
        found=subject.found,
        impossible=quantized.impossible,
        folded=subject.prepared.folded,
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
    )


def _write(folder: JobFolder, outcome: Outcome, best: BestPair) -> tuple[ModelPair | None, SearchResult]:
    """Write the files and return the pair; an interruption is heeded after all of them, which are a second's work."""
    try:
        return write_outcome(folder, outcome, best), outcome.search
    except KeyboardInterrupt:
        search = replace(outcome.search, stopped="interrupted")
        return write_outcome(folder, replace(outcome, search=search), best), search


def _announce(parts: Parts, calibration: Part | None, emit: Emit) -> None:
    parts.search.announce("evaluation", emit)
    if parts.held_out:
        parts.report.announce("report", emit)
    if calibration is not None:
        calibration.announce("calibration", emit)


def _items_ahead(options: AccAutoOptions, parts: Parts, layers: int, passes: int) -> int:
    """Return how many items the job looks at once the model is loaded, at most.

    Args:
        options: of the job.
        parts: its items.
        layers: how many can fall back.
        passes: of calibration.
    """
    models = 2  # float and all-int8
    evaluated = models * len(parts.search.indices)
    if parts.calibration is None:
        return evaluated + _items_reported(parts)
    # Equalization is one more pass.
    calibrated = (passes + options.correction.equalize) * len(parts.calibration.indices)
    return evaluated + calibrated + _items_of_search(options, parts, layers, layers)


def _items_of_search(options: AccAutoOptions, parts: Parts, layers: int, units: int, start: Trial | None = None) -> int:
    """Return how many items ranking, search and report look at, at most.

    Args:
        options: of the job.
        parts: its items, some of them for calibration.
        layers: how many can fall back.
        units: how many units they form.
        start: the trial of the plan to fall back from, once it is known.
    """
    assert parts.calibration is not None
    items = len(parts.search.indices)
    if isinstance(options.sensitivity, EndToEnd):
        ranked = units * min(options.sensitivity.items, items)
    else:
        ranked = len(parts.calibration.indices)
    at_end = start is not None and start.accepted and not goes_on(options.strategy)
    plans = 0 if at_end else options.strategy.most_trials(layers)
    return ranked + plans * items + _items_reported(parts)


def _items_reported(parts: Parts) -> int:
    return 2 * len(parts.report.indices) if parts.held_out else 0


def _rewriting_gap(subject: Subject, evaluation: Part, keys: StageKeys, store: Store | None) -> float:
    key = keys.rewriting_gap(graph_digest(subject.source.graph), evaluation.contents[0])
    return remembered(store, key, lambda: rewriting_gap(subject, evaluation), NUMBER)


def with_companions(metric: Metric) -> list[Metric]:
    """Return the metrics to report: the deciding one, then the usual ones that it is not."""
    companions: list[Metric] = [TopK(), Agreement(), Kl(), Sqnr()]
    return [metric, *(companion for companion in companions if companion.name != metric.name)]


def _metrics(metric: Metric | AmctEvaluator) -> list[Metric]:
    """Return the metrics to report; beside an AMCT evaluator one leads that fits every model and data."""
    return with_companions(Sqnr() if isinstance(metric, AmctEvaluator) else metric)


def _judge(options: AccAutoOptions, evaluator: Evaluator, model: str | Path, store: Store | None) -> Judge:
    if isinstance(options.metric, AmctEvaluator):
        return AmctJudge(options.metric, model)
    return MetricJudge(evaluator, options.target_loss, store, confidence=options.confidence, seed=options.seed)


def _recipe(
    given: GivenFiles, subject: Subject, options: AccAutoOptions, evaluation: Part, calibration: Part | None
) -> Recipe:
    if given.record is not None:
        return RecordRecipe(subject, given, evaluation)
    assert calibration is not None  # there is one wherever no record is given
    selection = replace(
        select_layers(options.settings, subject.found, subject.node_types),
        tensors=select_tensors(options.settings.tensor_quantize, subject.runnable),
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
    scores: RememberedScores, items: int, subject: Subject, trials: TrialRunner, plan: Plan, stages: Stages
) -> tuple[Evaluation, Evaluation]:
    """Return the float model's scores and a plan's over items that the search never saw."""
    with stages.stage(FINAL_EVAL, 2 * items, "items that the search never saw") as progress:
        before = scores.of_float(subject.runnable, progress)
        build = partial(trials.model, plan, multiply=True)
        return before, scores.of_form(trials.form(plan), build, lambda done: progress(items + done))


def _held_out_warning(status: Status, comparison: Comparison, target: float) -> list[str]:
    """Return a warning where the items kept for the report do not bear out what the search found."""
    if status == "met":
        return []
    figure = comparison.headline
    text = (
        f"the plan meets the target on the items of the search; on the {comparison.items} items kept for the report it "
        f"loses {figure.loss:.4g} {figure.unit}, where less than {target:g} was asked for"
    )
    return [f"{text}: no model is written." if status == "not_met" else f"{text}; they are too few to tell."]


def _tensors_warning(found: SearchResult, all_int8: Trial, tensors: int) -> list[str]:
    """Return a warning where tensors that were to be rounded stay float for the target's sake."""
    if found.best is None or not found.best.plan.float_tensors:
        return []
    return [
        f"tensor_quantize: the {tensors} tensors stay float; with them and every layer in int8 the loss is "
        f"{all_int8.loss:.4g}, which misses the target."
    ]


def _resolution_warning(options: AccAutoOptions, source: Source) -> list[str]:
    """Return a warning where one item weighs as much as the target or more."""
    needed = items_for_target(options.target_loss)
    items = source.search_items
    if isinstance(options.metric, AmctEvaluator) or options.metric.unit != PERCENTAGE_POINTS:
        return []
    if needed is None or items >= needed:
        return []
    return [
        f"{items} evaluation items cannot resolve target_loss={options.target_loss:g}: one item is {100 / items:.3g} "
        f"percentage points, so the target forgives no net loss at all; {needed} items or more would."
    ]


def _overlap_warning(source: Source) -> list[str]:
    if source.overlap == 0:
        return []
    return [
        f"{source.overlap} of {source.calibration_items} calibration items are evaluation items too; "
        "set split.disjoint=true or name other data with calibration.dataset for a figure that calibration has not seen."
    ]
