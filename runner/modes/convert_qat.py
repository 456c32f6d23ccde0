"""``convert_qat``: a quantization-aware-trained model (QuantizeLinear/DequantizeLinear) into fake-quant, deploy and record."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import onnx_ir as ir

from runner.convert.qdq.read import read_qdq, refuse_foreign
from runner.dataset.fitting import fit
from runner.dataset.input_settings import constants_of
from runner.dataset.item import Dataset, class_of
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.errors import ConfigError
from runner.evaluation.accuracy import Agreement, TiedAnswers, TopK
from runner.evaluation.distance import Kl, Sqnr
from runner.evaluation.evaluator import Evaluator
from runner.evaluation.metric import Metric
from runner.evaluation.outputs import OutputKind
from runner.evaluation.uncertainty import loss_interval
from runner.events import FINAL_EVAL, FLOAT_EVAL, LOAD, VERIFY, WRITE, Emit, ModelUsed, StageAdvanced, Warned, ignore
from runner.graph.digest import graph_digest
from runner.graph.fixed_inputs import fix_inputs
from runner.graph.lower import lower
from runner.graph.model_file import load_model
from runner.graph.opset import raise_opset
from runner.graph.output_kind import ends_in_softmax
from runner.job_folder import JobFolder
from runner.modes.callers import choose_callers
from runner.modes.cautions import outputs_caution, require_measurable
from runner.modes.context import Context
from runner.modes.data import DataSplit, describe_source, evaluation_subset, keep_pixels
from runner.modes.expectation import (
    Expectation,
    batch_caution,
    chance_caution,
    check_expectation,
    require_expected,
)
from runner.modes.files.check_files import check_files
from runner.modes.files.kept_values import kept_items, require_kept, write_kept
from runner.modes.files.record_file import write_record
from runner.modes.input_values import cached_inputs_seen
from runner.modes.layer_costs import cached_costs
from runner.modes.prediction import PREDICTION, PredictionInputs, predict
from runner.modes.prepared_model import log_left_alone, log_lowered
from runner.modes.result import Comparison, ConvertResult, JobFiles, Layers, ModelInputs, Work
from runner.modes.rewriting_gap import require_same_raised
from runner.modes.scoring.remembered_scores import RememberedScores
from runner.modes.stages import Stages
from runner.session import SIMULATION, input_specs
from runner.store.store import Store
from runner.targets.ascend.target import Ascend
from runner.targets.target import Kept, Measured, Target, VerifyOptions

_RECORD = "record.txt"
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ConvertQatOptions:
    """How to convert and compare.

    Attributes:
        on_asymmetric_weight: ``requantize`` the channels that have no symmetric int8 form, or ``refuse`` their layers.
        image: the item whose prediction is shown, by number or by name.
        evaluation_count: items to compare on, evenly spaced; None for all.
        output_kind: what class scores are, ``auto``, ``logits`` or ``probabilities``.
        target: what the models are written for, and measured as.
        verify: how the written files are verified.
        expect: what the source is known to reach; the job is refused where it does not.
        keep_intermediates: whether what flows through the model, in float and as deployed, is written for comparing.
        intermediates_count: of how many evaluation items, evenly spaced.
    """

    on_asymmetric_weight: Literal["requantize", "refuse"] = "requantize"
    image: int | str = 0
    evaluation_count: int | None = None
    output_kind: OutputKind = "auto"
    target: Target = field(default_factory=Ascend)
    verify: VerifyOptions = field(default_factory=VerifyOptions)
    expect: Expectation = field(default_factory=Expectation)
    keep_intermediates: bool = False
    intermediates_count: int = 1

    def __post_init__(self) -> None:
        require_kept(self.keep_intermediates, self.target)


def convert_qat(
    model: str | Path,
    dataset: Dataset,
    output: str | Path,
    options: ConvertQatOptions | None = None,
    *,
    name: str | None = None,
    engine: Engine | None = None,
    store: Store | None = None,
    emit: Emit = ignore,
) -> ConvertResult:
    """Convert a QAT model, compare it with its source and write the result below ``output``.

    Args:
        model: path of the ONNX file with QuantizeLinear/DequantizeLinear.
        dataset: data to compare on.
        output: the job's folder.
        options: how to convert and compare.
        name: what the result's files are called; the file's name by default.
        engine: runs models; as many callers as are fastest by default.
        store: keeps the results of stages, and decoded images; None keeps nothing.
        emit: listens to events.

    Raises:
        RunnerError: the input is wrong; no result file is written then.
    """
    options = options or ConvertQatOptions()
    engine = engine or Engine()
    stages = Stages(engine, emit)
    job = Context(engine, stages, store)
    name = name or Path(model).stem
    part = evaluation_subset(dataset, options.evaluation_count)
    target = options.target
    checks = target.check_steps(options.verify, part.indices)
    kept = kept_items(part, options.keep_intermediates, options.intermediates_count)
    shown = _item_index(dataset, options.image)
    keep_pixels(store, dataset)
    constants = constants_of(dataset)
    with stages.stage(LOAD):
        source_model = fix_inputs(load_model(model), constants)
        # Before onnxruntime, which would only say that it does not know another quantizer's operators.
        refuse_foreign(source_model.graph)
        require_measurable(source_model.graph, None)
        settled = fit(input_specs(source_model.graph), dataset)
        engine.session(source_model.graph, given=True)  # what onnxruntime does not take is refused before the work
        require_same_raised(source_model, part, engine)
        qat = read_qdq(
            source_model.graph,
            on_asymmetric_weight=options.on_asymmetric_weight,
            limits=target.limits,
            progress=lambda done, total: emit(StageAdvanced(LOAD, done, total)),
        )
        log_left_alone(qat.found)
        log_lowered(lower(qat.graph, target.limits.newest_opset, target.reads), qat.graph)
        runnable = raise_opset(qat.graph)
        source_digest, digest = graph_digest(source_model.graph), graph_digest(runnable)
        folder = JobFolder(output)
        source = describe_source(name, source_model, DataSplit(None, part, part))
        emit(ModelUsed(name, source.model_sha256))
        seen = cached_inputs_seen(source_model.graph, part, store)
        choose_callers(engine, source_model.graph, source_digest, part, store)
        part.announce("evaluation", emit)

    kind: OutputKind = options.output_kind
    if kind == "auto" and ends_in_softmax(source_model.graph):
        kind = "probabilities"
    ties = TiedAnswers()
    metrics = [*_metrics(dataset, part.indices), ties]
    evaluator = Evaluator(engine, part, metrics, output_kind=kind, profile=target.simulation.profile)
    with stages.stage(FLOAT_EVAL, len(part.indices), "the source as stored") as progress:
        scores = RememberedScores.against(
            source_model.graph,
            evaluator,
            float_graph=source_digest,
            graph=digest,
            simulation=target.simulation,
            store=store,
            progress=progress,
        )
    scorer = scores.scorer
    metric, before = scorer.metrics[0], scorer.float_scores
    figure = metric.aggregate(before.scores[metric.name])
    check_expectation(options.expect, metric)
    require_expected(options.expect, metric.name, figure, seen, scorer)
    cautions = [*outputs_caution(source_model), *scorer.cautions]
    warnings = told([*cautions, *batch_caution(seen), *chance_caution(seen, scorer)], emit)

    def simulated() -> ir.Model:
        return target.simulation.model(qat.found.on(runnable), qat.form, own_session=True)

    with stages.stage(FINAL_EVAL, len(part.indices)) as progress:
        after = scores.of_form(qat.form, simulated, progress)
    interval = loss_interval(metric, before.scores[metric.name], after.scores[metric.name])
    inputs = PredictionInputs(
        source_digest,
        digest,
        qat.form,
        dataset.fingerprint(shown),
        dataset.name(shown),
        target.simulation,
        scorer.classes,
    )
    prediction = PREDICTION.cached(
        store,
        inputs,
        lambda: predict(
            ((source_model.graph, SIMULATION), (simulated(), target.simulation.profile)),
            dataset,
            shown,
            scorer.classes,
            engine,
        ),
    )

    with stages.stage(WRITE):
        write_record(folder, _RECORD, qat.form)
        folder.write_json("conversion_report.json", qat.report.to_json(), indent=2)
        files = target.write(folder, name, qat.found, qat.form)
    evaluations, items_scored = evaluator.ledger.full, evaluator.ledger.items
    measured = Measured(
        folder=folder,
        record=_RECORD,
        model=qat.found,
        form=qat.form,
        dataset=dataset,
        scorer=scorer,
        quantized=after,
        options=options.verify,
        float_graph=source_digest,
        graph=digest,
        engine=engine,
        store=store,
    )
    with stages.stage(VERIFY, checks) as progress:
        checked = check_files(target, files, measured, progress)
        warnings += told(target.warnings(checked), emit)
    intermediates = write_kept(Kept(name, qat.found, qat.form, files, kept), target, folder, stages)
    reported = [metric for metric in scorer.metrics if metric is not ties]
    costs = cached_costs(qat.found.on(runnable), digest, Subset(dataset, [0]), job)
    return ConvertResult(
        status="converted",
        source=source,
        comparison=Comparison(reported, before, after, scorer.classes, part, interval=interval),
        layers=Layers(qat.found, qat.form, costs),
        inputs=ModelInputs(seen, settled, constants),
        files=JobFiles(folder, target, files, checked, intermediates),
        work=Work(evaluations, items_scored, stages.seconds()),
        warnings=tuple(warnings),
        report=qat.report.to_json(),
        prediction=prediction,
        coarse_outputs=qat.coarse_outputs,
        tied_answers=int(after.scores[ties.name].sum()) if ties.name in after.scores else None,
    )


def _metrics(dataset: Dataset, indices: Sequence[int]) -> list[Metric]:
    """Return the metrics to report; accuracy leads where every item has a label, agreement elsewhere."""
    labelled = all(class_of(dataset.label(index)) is not None for index in indices)
    return [TopK(), Agreement(), Kl(), Sqnr()] if labelled else [Agreement(), Kl(), Sqnr()]


def _item_index(dataset: Dataset, image: int | str) -> int:
    if isinstance(image, int):
        if not 0 <= image < len(dataset):
            raise ConfigError(f"image: expected an item number from 0 to {len(dataset) - 1}, or a name, got {image}.")
        return image
    for index in range(len(dataset)):
        if dataset.name(index) == image:
            return index
    raise ConfigError(f"image: the dataset has no item '{image}'; its first is '{dataset.name(0)}'.")


def told(warnings: list[str], emit: Emit) -> list[str]:
    """Tell warnings, and return them."""
    for warning in warnings:
        emit(Warned(warning))
        logger.warning(warning)
    return warnings
