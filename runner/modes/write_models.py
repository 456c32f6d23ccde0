"""The pair of models on disk, written, re-opened and checked; the same for both modes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from runner.convert.deploy import deploy_model
from runner.convert.deploy_check import check_deploy
from runner.convert.fake_quant import fake_quant_model
from runner.dataset.binding import bind
from runner.dataset.item import Dataset, evenly_spaced
from runner.engine import Engine
from runner.errors import VerificationError
from runner.evaluation.accuracy import Agreement
from runner.evaluation.evaluator import named_outputs
from runner.evaluation.outputs import ClassScores, Outputs
from runner.graph.layers import FoundLayers
from runner.graph.opset import raise_opset
from runner.job_folder import JobFolder
from runner.record import QuantizedForm
from runner.record_text import format_record, read_record
from runner.session import Profile, Session, plain

logger = logging.getLogger(__name__)

# One batch: enough to see onnxruntime's levels part, cheap beside an evaluation.
_GAP_ITEMS = 32


@dataclass(frozen=True, slots=True)
class ModelPair:
    """File names of the pair, relative to the job's folder."""

    deploy: str
    fake_quant: str


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """The models on disk and what re-opening them showed.

    Attributes:
        pair: file names.
        ort_level_gap: share of answers, on one batch, that differ between onnxruntime's default level and none.
        input_shapes: what the models were run on, with batch axis.
    """

    pair: ModelPair
    ort_level_gap: float
    input_shapes: Mapping[str, tuple[int, ...]]


def write_pair(folder: JobFolder, prefix: str, model: ir.Model, found: FoundLayers, form: QuantizedForm) -> ModelPair:
    """Write ``<prefix>_deploy_model.onnx`` and ``<prefix>_fake_quant_model.onnx``.

    Args:
        folder: of the job.
        prefix: sub-folder and model name.
        model: the prepared float model at the source's opset.
        found: its layers.
        form: what is quantized.
    """
    pair = ModelPair(f"{prefix}_deploy_model.onnx", f"{prefix}_fake_quant_model.onnx")
    simulated = fake_quant_model(raise_opset(model), found, form)
    for name, graph in ((pair.deploy, deploy_model(model, found, form)), (pair.fake_quant, simulated)):
        path = folder.write_model(name, graph)
        logger.info("The model file is saved in %s", path)
    return pair


def write_record(folder: JobFolder, name: str, form: QuantizedForm) -> None:
    """Write the record file, read it back and compare.

    Raises:
        VerificationError: what was read back is not what was meant.
    """
    path = folder.write_text(name, format_record(form.record))
    if form.layers and dict(read_record(path)) != dict(form.record):
        raise VerificationError(f"{path}: the record read back differs from the one written. Please report this.")


def verify_pair(
    folder: JobFolder,
    pair: ModelPair,
    form: QuantizedForm,
    dataset: Dataset,
    engine: Engine,
    classes: ClassScores | None,
) -> Written:
    """Re-open both files and return what that showed.

    Args:
        folder: of the job.
        pair: what was written.
        form: what it shall hold.
        dataset: items to run the fake-quant file on.
        engine: runs it.
        classes: how to read class scores, if it is a classifier.

    Raises:
        VerificationError: the deploy file does not hold the form, with the nodes.
    """
    findings = check_deploy(folder.path(pair.deploy), form)
    if findings:
        listed = "; ".join(str(finding) for finding in findings[:5])
        raise VerificationError(f"{folder.path(pair.deploy)}: {len(findings)} fault(s): {listed}. Please report this.")
    inputs = Session(folder.path(pair.fake_quant), plain("all")).inputs
    feeds = bind(dataset.item(0), inputs, name=dataset.name(0))
    gap = _level_gap(folder, pair, dataset, engine, classes)
    return Written(pair, gap, {name: array.shape for name, array in feeds.items()})


def _level_gap(
    folder: JobFolder, pair: ModelPair, dataset: Dataset, engine: Engine, classes: ClassScores | None
) -> float:
    """Return the share of answers, on one batch, that differ between onnxruntime's default level and none."""
    indices = evenly_spaced(min(_GAP_ITEMS, len(dataset)), len(dataset))
    answers: Mapping[str, list[Outputs]] = {
        level: _outputs(folder.path(pair.fake_quant), plain(level), dataset, indices, engine)
        for level in ("none", "all")
    }
    agreement = Agreement()
    same = [
        agreement.score(fast, exact, None, classes)[0]
        for fast, exact in zip(answers["all"], answers["none"], strict=True)
    ]
    return 1.0 - float(np.mean(same))


def _outputs(path: object, profile: Profile, dataset: Dataset, indices: list[int], engine: Engine) -> list[Outputs]:
    session = Session(str(path), profile)
    return list(engine.map(session, dataset, indices, lambda _, arrays: named_outputs(session, arrays)))
