"""``convert_qat``: a quantization-aware-trained model (QuantizeLinear/DequantizeLinear) into fake-quant, deploy and record."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import onnx_ir as ir

from runner.convert.fake_quant import fake_quant_model
from runner.convert.qdq.normalise import refuse_foreign
from runner.convert.qdq.read import QatModel, read_qdq
from runner.dataset.binding import bind, first_rows, repeats
from runner.dataset.fitting import fit
from runner.dataset.input_settings import constants_of
from runner.dataset.item import Dataset
from runner.engine import Engine
from runner.errors import ConfigError
from runner.evaluation.accuracy import Agreement, TiedAnswers, TopK
from runner.evaluation.distance import Kl, Sqnr
from runner.evaluation.evaluator import Evaluator, named_outputs
from runner.evaluation.metric import Metric
from runner.evaluation.outputs import ClassScores, OutputKind
from runner.evaluation.uncertainty import loss_interval
from runner.events import FINAL_EVAL, FLOAT_EVAL, LOAD, VERIFY, WRITE, Emit, ModelUsed, StageAdvanced, ignore
from runner.graph.digest import graph_digest
from runner.graph.fixed_inputs import fix_inputs
from runner.graph.lower import lower
from runner.graph.macs import LayerCost, layer_costs
from runner.graph.model_file import load_model
from runner.graph.opset import DEPLOY_OPSET, raise_opset
from runner.graph.output_kind import ends_in_softmax
from runner.graph.probe import with_outputs
from runner.job_folder import JobFolder
from runner.lint.atc_operators import takes
from runner.modes.callers import settle_callers
from runner.modes.cautions import outputs_caution, require_measurable
from runner.modes.codecs import COSTS, INPUTS_SEEN, PREDICTION
from runner.modes.data import DataSplit, describe_source, evaluation_subset, keep_pixels
from runner.modes.expectation import (
    Expectation,
    batch_caution,
    chance_caution,
    check_expectation,
    require_expected,
)
from runner.modes.files.check_files import Job, check_files
from runner.modes.files.intermediates import Intermediates, kept_items, write_kept
from runner.modes.files.write_models import told, warn_of_notes, write_pair, write_record
from runner.modes.input_values import inputs_seen, seen_subset
from runner.modes.keys import StageKeys
from runner.modes.prepared_model import log_left_alone, log_lowered, require_same_raised
from runner.modes.proof import VerifyOptions, proof_items
from runner.modes.result import Comparison, ConvertResult, Prediction
from runner.modes.scoring.remembered_scores import RememberedScores
from runner.modes.stages import Stages
from runner.session import Session, input_specs
from runner.store.remembered import remembered
from runner.store.store import Store

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
        verify: how the written files are held against each other.
        expect: what the source is known to reach; the job is refused where it does not.
        keep_intermediates: whether what flows through the model, in float and as deployed, is written for comparing.
        intermediates_count: of how many evaluation items, evenly spaced.
    """

    on_asymmetric_weight: Literal["requantize", "refuse"] = "requantize"
    image: int | str = 0
    evaluation_count: int | None = None
    output_kind: OutputKind = "auto"
    verify: VerifyOptions = field(default_factory=VerifyOptions)
    expect: Expectation = field(default_factory=Expectation)
    keep_intermediates: bool = False
    intermediates_count: int = 1


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
    name = name or Path(model).stem
    part = evaluation_subset(dataset, options.evaluation_count)
    checks = proof_items(options.verify, part.indices)
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
        Session(source_model.graph, given=True)  # what onnxruntime does not take is refused before the work
        require_same_raised(source_model, part)
        qat = read_qdq(
            source_model.graph,
            on_asymmetric_weight=options.on_asymmetric_weight,
            progress=lambda done, total: emit(StageAdvanced(LOAD, done, total)),
        )
        log_left_alone(qat.found)
        log_lowered(lower(qat.graph, DEPLOY_OPSET, takes), qat.graph)
        keys = StageKeys(graph_digest(source_model.graph), part.fingerprint)
        folder = JobFolder(output)
        source = describe_source(name, source_model, DataSplit(None, part, part))
        emit(ModelUsed(name, source.model_sha256))
        looked_at = seen_subset(part)
        seen = remembered(
            store,
            keys.inputs_seen(looked_at.fingerprint),
            lambda: inputs_seen(source_model.graph, looked_at),
            INPUTS_SEEN,
        )
        settle_callers(engine, source_model.graph, part, keys, store)
        part.announce("evaluation", emit)

    kind: OutputKind = options.output_kind
    if kind == "auto" and ends_in_softmax(source_model.graph):
        kind = "probabilities"
    ties = TiedAnswers()
    measured = [*_metrics(dataset, part.indices), ties]
    evaluator = Evaluator(engine, dataset, part.indices, measured, output_kind=kind)
    scores = RememberedScores(evaluator, keys, store)
    with stages.stage(FLOAT_EVAL, len(part.indices), "the source as stored") as progress:
        before = scores.of_float(source_model.graph, progress)
    metric = evaluator.metrics[0]
    figure = metric.aggregate(before.scores[metric.name])
    check_expectation(options.expect, metric)
    require_expected(options.expect, metric.name, figure, seen, evaluator, before)
    cautions = [*outputs_caution(source_model), *evaluator.cautions]
    warnings = told([*cautions, *batch_caution(seen), *chance_caution(seen, evaluator, before)], emit)
    with stages.stage(FINAL_EVAL, len(part.indices)) as progress:
        after = scores.of_form(qat.form, lambda: _simulated(qat), progress)
    interval = loss_interval(metric, before.scores[metric.name], after.scores[metric.name])
    prediction = remembered(
        store,
        keys.prediction(qat.form, dataset.fingerprint(shown), dataset.name(shown), evaluator),
        lambda: _prediction((source_model.graph, _simulated(qat)), dataset, shown, evaluator.classes),
        PREDICTION,
    )

    with stages.stage(WRITE):
        write_record(folder, _RECORD, qat.form)
        folder.write_json("conversion_report.json", qat.report.to_json(), indent=2)
        pair = write_pair(folder, name, qat.found, qat.form)
    evaluations, items_scored = evaluator.evaluations, evaluator.items_scored
    job = Job(folder, qat.found, dataset, engine, options.verify, keys, store)
    with stages.stage(VERIFY, checks) as progress:
        written, proof = check_files(
            job, pair, _RECORD, qat.form, evaluator=evaluator, quantized=after, progress=progress
        )
        warnings += warn_of_notes(written, emit)
    converted = Intermediates(name, qat.found, qat.form, pair)
    intermediates = write_kept(folder, converted, dataset, kept, stages)
    return ConvertResult(
        status="converted",
        source=source,
        comparison=Comparison(
            [m for m in evaluator.metrics if m is not ties], before, after, evaluator.classes, part, interval=interval
        ),
        found=qat.found,
        form=qat.form,
        report=qat.report.to_json(),
        prediction=prediction,
        costs=remembered(store, keys.costs(qat.form, dataset.fingerprint(0)), lambda: _costs(qat, dataset), COSTS),
        evaluations=evaluations,
        items_scored=items_scored,
        folder=folder,
        written=written,
        proof=proof,
        seconds=stages.seconds(),
        warnings=tuple(warnings),
        inputs=seen,
        chosen=settled,
        constants=constants,
        intermediates=intermediates,
        coarse_outputs=qat.coarse_outputs,
        tied_answers=int(after.scores[ties.name].sum()) if ties.name in after.scores else None,
    )


def _metrics(dataset: Dataset, indices: Sequence[int]) -> list[Metric]:
    """Return the metrics to report; accuracy leads where every item has a label, agreement elsewhere."""
    labelled = all(dataset.label(index) is not None for index in indices)
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


def _simulated(qat: QatModel) -> ir.Model:
    return fake_quant_model(qat.found.on(raise_opset(qat.graph)), qat.form, multiply=True)


def _prediction(
    models: tuple[ir.Model, ir.Model], dataset: Dataset, index: int, classes: ClassScores | None
) -> Prediction | None:
    if classes is None:
        return None
    answers = []
    for session in map(Session, models):
        item = dataset.item(index)
        arrays = session.run(bind(item, session.inputs, name=dataset.name(index)), session.number_names)
        outputs = named_outputs(session, first_rows(arrays, repeats(item, session.inputs)))
        if not classes.has_answer(outputs):
            return None
        answer = classes.answer(outputs)
        answers.append((answer, float(classes.probabilities(outputs)[answer])))
    return Prediction(dataset.name(index), answers[0], answers[1])


def _costs(qat: QatModel, dataset: Dataset) -> dict[str, LayerCost]:
    """Return each layer's cost, from the shapes that its input has for the first item."""
    names = list(dict.fromkeys(layer.input for layer in qat.found.layers))
    session = Session(with_outputs(raise_opset(qat.graph), names))
    arrays = session.run(bind(dataset.item(0), session.inputs, name=dataset.name(0)), names)
    shapes = {name: array.shape for name, array in zip(names, arrays, strict=True)}
    return layer_costs(qat.found, {layer.name: shapes[layer.input] for layer in qat.found.layers})
