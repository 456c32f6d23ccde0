"""``acc_auto``: decide layer by layer what can be int8 so that the metric loses less than the target."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from runner.dataset.item import Dataset
from runner.engine import Engine
from runner.events import LOAD, Emit, ignore
from runner.job_folder import JobFolder
from runner.layer_noise.along import LookedAt
from runner.layer_noise.partly import PARTS
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.cautions import require_labels
from runner.modes.context import Context
from runner.modes.files.kept_values import write_kept
from runner.modes.files.write_acc_auto import BestModels
from runner.modes.result import AccAutoResult, JobFiles, Layers, ModelInputs
from runner.modes.rewriting_gap import cached_gap
from runner.modes.steps.first_look import FirstLook, first_look
from runner.modes.steps.load import Loaded, load
from runner.modes.steps.look_inside import look_inside, worst_layers
from runner.modes.steps.measure import FinalFigures, measure
from runner.modes.steps.quantize import Quantized, quantize
from runner.modes.steps.rewrite import Rewritten, rewrite
from runner.modes.steps.score_float import score_float
from runner.modes.steps.search import search
from runner.modes.steps.select import select
from runner.modes.steps.show import ComparedModels, show
from runner.modes.steps.verify import verify
from runner.modes.steps.write import write
from runner.modes.steps.written import WrittenResult
from runner.modes.unsound_model import told_of_unsound
from runner.modes.work_ahead import JobWork
from runner.record import QuantizedLayers
from runner.search.plan import Ranking
from runner.store.store import Store
from runner.targets.target import Kept


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
    with told_of_unsound(model):
        job = Context.start(engine, store, emit, options.budget)
        return _quantized(model, (dataset, calibration_dataset), Path(output), options, name or Path(model).stem, job)


def _quantized(
    model: str | Path,
    datasets: tuple[Dataset, Dataset | None],
    output: Path,
    options: AccAutoOptions,
    name: str,
    job: Context,
) -> AccAutoResult:
    with job.clock.stage(LOAD):
        loaded = load(model, *datasets, options, job)
        selection = select(loaded, options)
        folder = JobFolder(output)
        gap = cached_gap(loaded.prepared, loaded.split.search, job)
        runs, digest = loaded.prepared.runnable, loaded.prepared.digest
        look = first_look(name, loaded.prepared.source, loaded.split, job, runs=runs.graph, digest=digest)
        require_labels(loaded.prepared.source.graph, options.metric, loaded.split.search)
    layers, passes = len(runs.layers), selection.passes
    work = JobWork(options, loaded.split, layers, passes, checked=loaded.verified, kept=len(loaded.kept))
    job.emit(work.from_start())
    rewritten = rewrite(loaded, selection, options.correction, job, gap=gap)
    float_scores = score_float(rewritten.prepared, loaded, look, options, job)
    quantized = quantize(rewritten.prepared, selection, loaded, options.correction, job)
    target, at_source_opset = options.target, rewritten.prepared.at_source_opset
    best = BestModels(folder, f"results/{name}", at_source_opset, quantized.models.form, target)
    searched = search(quantized, float_scores, loaded.split, options, best, job, work=work)
    figures = measure(searched, quantized, float_scores, loaded.split, options, job)
    written = write(figures, quantized, options, best, job)
    checked = job.meter.unless_interrupted(lambda: verify(target, written, job, items=loaded.verified))
    measured, models = written.measured, written.models
    flowing = Kept(name, at_source_opset, measured.form, models, loaded.kept, job.engine, quantized.all_int8)
    kept = job.meter.unless_interrupted(lambda: write_kept(flowing, target, folder, job))
    compared = show(figures.comparison, lambda: _compared(figures, quantized, rewritten.prepared.digest), job)
    figures = replace(figures, comparison=compared)
    noise = look_inside(_looked_at(figures, quantized), rewritten.prepared.digest, figures.comparison.part, job)
    files = JobFiles(folder, target, models if checked is not None else (), checked, kept, measured.record)
    return replace(_result(loaded, look, rewritten, quantized, figures, written, files, job), noise=noise)


def _compared(figures: FinalFigures, quantized: Quantized, digest: str) -> ComparedModels:
    models, plan = quantized.models, figures.plan
    chosen = partial(models.model, plan, own_session=True)
    return ComparedModels(models.float_model.graph, digest, digest, models.form(plan), chosen, models.simulation)


def _looked_at(figures: FinalFigures, quantized: Quantized) -> LookedAt:
    searched, models = figures.searched, quantized.models
    worst, form = worst_layers(searched.loss_contributions, searched.ranking), models.form(figures.plan)
    # What the plan leaves float is shown as it would be.
    every = QuantizedLayers({**quantized.all_int8.layers, **form.layers})
    return LookedAt(models.float_model, form, every, PARTS, worst)


def _result(
    loaded: Loaded,
    look: FirstLook,
    rewritten: Rewritten,
    quantized: Quantized,
    figures: FinalFigures,
    written: WrittenResult,
    files: JobFiles,
    job: Context,
) -> AccAutoResult:
    prepared, searched, stopped = rewritten.prepared, figures.searched, job.meter.stopped
    return AccAutoResult(
        status=stopped or figures.status,
        source=look.source,
        comparison=figures.comparison,
        layers=Layers(prepared.runnable, written.measured.form, quantized.result.costs),
        inputs=ModelInputs(look.seen, loaded.fitted, loaded.constants),
        files=files,
        work=replace(figures.work, seconds=job.clock.seconds()),
        warnings=job.warnings.told,
        curve=written.curve,
        target_loss=figures.target_loss,
        search=replace(searched.result, stopped=stopped),
        ranking=searched.ranking or Ranking(()),
        sensitivity=searched.sensitivity,
        loss_contributions=searched.loss_contributions,
        impossible=quantized.result.impossible,
        skipped=quantized.selection.skipped,
        folded=prepared.preparation.folded,
        rewriting=prepared.rewriting,
        rewriting_gap=rewritten.gap,
        from_record=loaded.given.record is not None,
    )
