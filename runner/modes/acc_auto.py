"""``acc_auto``: decide layer by layer what can be int8 so that the metric loses less than the target."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runner.calibration.collect import collect
from runner.calibration.ifmr import Ifmr
from runner.calibration.observer import Observer
from runner.calibration.quantize import quantize_layers
from runner.dataset.item import Dataset
from runner.engine import Engine
from runner.errors import ConfigError, ModelError
from runner.evaluation.accuracy import Agreement, TopK
from runner.evaluation.distance import Kl, Sqnr
from runner.evaluation.evaluator import Evaluation, Evaluator
from runner.evaluation.metric import Metric
from runner.evaluation.outputs import OutputKind
from runner.events import CALIBRATE, FLOAT_EVAL, LOAD, RANK, SEARCH, VERIFY, WRITE, Emit, ModelUsed, Warned, ignore
from runner.graph.layers import LeftAlone
from runner.graph.macs import LayerCost, layer_costs
from runner.job_folder import JobFolder
from runner.modes.data import Part, calibration_part, describe_source, evaluation_part
from runner.modes.layer_settings import LayerSelection, LayerSettings, select_layers
from runner.modes.result import AccAutoResult, Comparison, Source
from runner.modes.stages import Stages
from runner.modes.subject import Subject, input_shapes, load_subject, rewriting_gap
from runner.modes.trials import TrialRunner
from runner.modes.write_acc_auto import Outcome, write_outcome
from runner.modes.write_models import verify_pair
from runner.record import QuantizedForm
from runner.search.binary import Binary
from runner.search.driver import search
from runner.search.isolated import isolated_pass
from runner.search.plan import Plan, Ranking, SearchResult, Strategy, Trial
from runner.search.sensitivity import Cosine, Sensitivity, rank

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AccAutoOptions:
    """How to quantize, rank and search.

    Attributes:
        target_loss: the loss must stay below it, strictly, in the metric's unit.
        metric: decides.
        observer: chooses activation ranges.
        sensitivity: ranks layers.
        strategy: proposes plans.
        calibration_count: items that calibration looks at, evenly spaced over its dataset.
        evaluation_count: items to evaluate on, evenly spaced; None for all.
        output_kind: what class scores are, ``auto``, ``logits`` or ``probabilities``.
        settings: what is asked for single layers.
        seed: kept with the result; nothing here is random yet.
    """

    target_loss: float
    metric: Metric = field(default_factory=TopK)
    observer: Observer = field(default_factory=Ifmr)
    sensitivity: Sensitivity = field(default_factory=Cosine)
    strategy: Strategy = field(default_factory=Binary)
    calibration_count: int = 100
    evaluation_count: int | None = None
    output_kind: OutputKind = "auto"
    settings: LayerSettings = field(default_factory=LayerSettings)
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.target_loss >= 0:
            raise ConfigError(
                f"target_loss: expected 0 or more {self.metric.unit} (the loss must stay below it), got {self.target_loss}."
            )


def acc_auto(
    model: str | Path,
    dataset: Dataset,
    output: str | Path,
    options: AccAutoOptions,
    *,
    name: str | None = None,
    calibration_dataset: Dataset | None = None,
    engine: Engine | None = None,
    emit: Emit = ignore,
) -> AccAutoResult:
    """Quantize a float ONNX model and write the result below ``output``.

    Args:
        model: path of the float ONNX file.
        dataset: evaluation data, and calibration data unless another is named.
        output: the job's folder.
        options: how to quantize, rank and search.
        name: what the result's files are called; the file's name by default.
        calibration_dataset: calibration data.
        engine: runs models; one caller a core by default.
        emit: listens to events.

    Returns:
        The result; a target that nothing meets is one too (``status`` is ``not_met``).

    Raises:
        RunnerError: the input is wrong; no result file is written then.
    """
    engine = engine or Engine()
    stages = Stages(engine, emit)
    name = name or Path(model).stem
    evaluation = evaluation_part(dataset, options.evaluation_count)
    calibration = calibration_part(calibration_dataset or dataset, options.calibration_count)
    with stages.stage(LOAD):
        subject = load_subject(model)
        folder = JobFolder(output)
        source = describe_source(name, subject.source, evaluation, calibration)
        emit(ModelUsed(name, source.model_sha256))
        selection = _select_layers(subject, options)
        gap = rewriting_gap(subject, evaluation)
        evaluation.announce("evaluation", emit)
        calibration.announce("calibration", emit)

    evaluator = Evaluator(
        engine, evaluation.dataset, evaluation.indices, with_companions(options.metric), output_kind=options.output_kind
    )
    with stages.stage(FLOAT_EVAL, len(evaluation.indices)) as progress:
        float_evaluation = evaluator.evaluate_float(subject.runnable, progress)
    logger.info("original evaluation accuracy: %s", _headline(evaluator, float_evaluation))

    quantized = _quantize(subject, selection, calibration, options, engine, stages)
    warnings = _overlap_warning(source) + [
        f"layer '{left.name}' stays float: {left.reason}" for left in quantized.impossible
    ]
    for warning in warnings:
        emit(Warned(warning))
        logger.warning(warning)

    trials = TrialRunner(
        subject.runnable,
        subject.found,
        quantized.form,
        evaluator,
        float_evaluation,
        target=options.target_loss,
        emit=emit,
    )
    with stages.stage(SEARCH, len(evaluation.indices), "all layers int8") as progress:
        all_int8 = trials.run(Plan.all_int8(quantized.form.layers), progress)
    # As in AMCT the ranking is made also where nothing has to fall back.
    ranking = _rank(subject, quantized, calibration, options, engine, stages)
    found = _search(all_int8, ranking, options, trials, len(evaluation.indices), stages)

    outcome = Outcome(
        name=name,
        model=subject.prepared.graph,
        found=subject.found,
        all_int8=quantized.form,
        observer=options.observer,
        calibration_items=options.calibration_count,
        ranking=ranking,
        search=found,
        observers=selection.observers,
    )
    with stages.stage(WRITE):
        pair = write_outcome(folder, outcome)
    with stages.stage(VERIFY):
        written = None
        if pair is not None:
            written = verify_pair(folder, pair, outcome.final_form, dataset, engine, evaluator.classes)
    chosen = found.best or found.closest
    return AccAutoResult(
        status="met" if found.best is not None else "not_met",
        source=source,
        target_loss=options.target_loss,
        comparison=Comparison(evaluator.metrics, float_evaluation, trials.evaluations[chosen.plan], evaluator.classes),
        found=subject.found,
        impossible=quantized.impossible,
        folded=subject.prepared.folded,
        rewriting_gap=gap,
        form=outcome.final_form,
        ranking=ranking,
        search=found,
        costs=quantized.costs,
        items_scored=evaluator.items_scored,
        folder=folder,
        written=written,
        seconds=stages.seconds(),
        warnings=tuple(warnings),
        skipped=selection.skipped,
    )


def with_companions(metric: Metric) -> list[Metric]:
    """Return the metrics to report: the deciding one, then the usual ones that it is not."""
    companions: list[Metric] = [TopK(), Agreement(), Kl(), Sqnr()]
    return [metric, *(companion for companion in companions if companion.name != metric.name)]


@dataclass(frozen=True, slots=True, eq=False)
class _Quantized:
    """Every layer in int8, with what it costs; and the layers that cannot be."""

    form: QuantizedForm
    impossible: tuple[LeftAlone, ...]
    costs: Mapping[str, LayerCost]


def _select_layers(subject: Subject, options: AccAutoOptions) -> LayerSelection:
    node_types = {node.name or "": node.op_type for node in subject.prepared.graph.graph}
    selection = select_layers(options.settings, subject.found, node_types)
    for name in selection.skipped:
        logger.info("skipped: %s stays float, as configured", name)
    return selection


def _quantize(
    subject: Subject,
    selection: LayerSelection,
    calibration: Part,
    options: AccAutoOptions,
    engine: Engine,
    stages: Stages,
) -> _Quantized:
    observers = {
        layer.name: selection.observers.get(layer.name, options.observer) for layer in selection.quantized.layers
    }
    passes = max(observer.passes for observer in observers.values())
    with stages.stage(CALIBRATE, len(calibration.indices) * passes) as progress:
        seen = collect(
            subject.runnable,
            selection.quantized,
            calibration.dataset,
            calibration.indices,
            observer=options.observer,
            observers=selection.observers,
            engine=engine,
            progress=progress,
        )
        symmetric = {name for name, observer in observers.items() if not observer.asymmetric}
        quantization = quantize_layers(subject.runnable, selection.quantized, seen, symmetric=symmetric)
    if not quantization.form.layers:
        reasons = "; ".join(f"{left.name}: {left.reason}" for left in quantization.impossible[:3])
        raise ModelError(f"model.path: no layer can be said in int8 ({reasons}).")
    # Skipped layers cost MACs too, though calibration did not look at them.
    unseen = [layer for layer in subject.found.layers if layer.name in selection.skipped]
    shapes = {**seen.input_shapes, **input_shapes(subject.runnable, unseen, calibration)}
    costs = layer_costs(subject.runnable, subject.found, shapes)
    return _Quantized(quantization.form, quantization.impossible, costs)


def _rank(
    subject: Subject,
    quantized: _Quantized,
    calibration: Part,
    options: AccAutoOptions,
    engine: Engine,
    stages: Stages,
) -> Ranking:
    with stages.stage(RANK, len(calibration.indices)) as progress:
        sums = isolated_pass(
            subject.runnable,
            subject.found,
            quantized.form,
            calibration.dataset,
            calibration.indices,
            engine=engine,
            progress=progress,
        )
        ranking = rank(sums, options.sensitivity, {name: cost.outputs for name, cost in quantized.costs.items()})
    for layer, value in ranking.entries:
        logger.info("******** sensitivity of module %s is %s ********", layer, value)
    return ranking


def _search(
    all_int8: Trial, ranking: Ranking, options: AccAutoOptions, trials: TrialRunner, items: int, stages: Stages
) -> SearchResult:
    if all_int8.accepted:
        logger.info("The model satisfy the requirement after all layers are quantized, automatic calibration succeed!")
        return search(all_int8, ranking, options.strategy, lambda plan: all_int8)
    most = options.strategy.most_trials(len(ranking.layers))
    made = 0
    with stages.stage(SEARCH, most * items, f"at most {most} plans") as progress:

        def evaluate(plan: Plan) -> Trial:
            nonlocal made
            done, made = made * items, made + 1
            return trials.run(plan, lambda scored: progress(done + scored))

        found = search(all_int8, ranking, options.strategy, evaluate)
    if found.best is None:
        logger.info(
            "No quantized model are generated due to all quant layers are roll backed, "
            "the accuracy target may be too difficult to achieve."
        )
    else:
        logger.info("Fine search finish, automatic calibration succeed!")
    return found


def _overlap_warning(source: Source) -> list[str]:
    if source.overlap == 0:
        return []
    return [
        f"{source.overlap} of {source.calibration_items} calibration items are evaluation items too; "
        "name other data with calibration.dataset for a figure that calibration has not seen."
    ]


def _headline(evaluator: Evaluator, evaluation: Evaluation) -> float:
    metric = evaluator.metrics[0]
    return metric.aggregate(evaluation.scores[metric.name])
