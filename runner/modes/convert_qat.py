"""``convert_qat``: a quantization-aware-trained model (QuantizeLinear/DequantizeLinear) into fake-quant, deploy and record."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from runner.convert.simulation import Simulation
from runner.dataset.item import Dataset
from runner.engine import Engine
from runner.events import LOAD, Emit, WorkAhead, ignore
from runner.job_folder import JobFolder
from runner.layer_noise.along import LookedAt
from runner.modes.context import Context
from runner.modes.convert_qat_options import ConvertQatOptions
from runner.modes.files.kept_values import write_kept
from runner.modes.layer_costs import cached_costs
from runner.modes.result import ConvertResult, JobFiles, Layers, ModelInputs
from runner.modes.steps.compare_qat import compare_qat
from runner.modes.steps.first_look import first_look
from runner.modes.steps.load_qat import LoadedQat, load_qat
from runner.modes.steps.look_inside import look_inside
from runner.modes.steps.show import ComparedModels, show
from runner.modes.steps.verify import verify
from runner.modes.steps.write_qat import write_qat
from runner.modes.unsound_model import told_of_unsound
from runner.store.store import Store
from runner.targets.target import Kept


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
    with told_of_unsound(model):
        job = Context.start(engine, store, emit)
        return _converted(model, dataset, Path(output), options or ConvertQatOptions(), name or Path(model).stem, job)


def _converted(
    model: str | Path, dataset: Dataset, output: Path, options: ConvertQatOptions, name: str, job: Context
) -> ConvertResult:
    with job.clock.stage(LOAD):
        loaded = load_qat(model, dataset, options, job)
        folder = JobFolder(output)
        runs, digest = loaded.source.graph, loaded.source_digest
        look = first_look(name, loaded.source, loaded.split, job, runs=runs, digest=digest)
    # Both models are compared, and values are written of both.
    job.emit(WorkAhead(2 * (len(loaded.split.report) + len(loaded.kept)) + loaded.verified))
    compared = compare_qat(loaded, look.seen, options, job)
    written = write_qat(name, loaded, compared, options, folder, job)
    target, measured = options.target, written.measured
    checked = verify(target, written, job, items=loaded.verified)
    kept = write_kept(
        Kept(name, measured.model, measured.form, written.models, loaded.kept, job.engine), target, folder, job
    )
    compared = replace(
        compared, comparison=show(compared.comparison, lambda: _compared(loaded, target.simulation), job)
    )
    inside = LookedAt(loaded.runnable, loaded.qat.form, loaded.qat.form, ("both",))
    noise = look_inside(inside, loaded.digest, loaded.split.report, job)
    qat, costs = loaded.qat, cached_costs(loaded.runnable, loaded.digest, loaded.split.report, job)
    return ConvertResult(
        status="converted",
        source=look.source,
        comparison=compared.comparison,
        layers=Layers(qat.found, qat.form, costs),
        inputs=ModelInputs(look.seen, loaded.fitted, loaded.constants),
        files=JobFiles(folder, target, written.models, checked, kept, measured.record),
        work=replace(compared.work, seconds=job.clock.seconds()),
        warnings=job.warnings.told,
        report=qat.report.to_json(),
        prediction=compared.prediction,
        coarse_outputs=qat.coarse_outputs,
        tied_answers=compared.tied_answers,
        noise=noise,
    )


def _compared(loaded: LoadedQat, simulation: Simulation) -> ComparedModels:
    quantized = partial(simulation.model, loaded.runnable, loaded.qat.form, own_session=True)
    return ComparedModels(
        loaded.source.graph, loaded.source_digest, loaded.digest, loaded.qat.form, quantized, simulation
    )
