"""The pair of models on disk, written, re-opened and checked; the same for both modes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from runner.convert.fake_quant import fake_quant_model
from runner.convert.shared_weights import share_weights
from runner.dataset.binding import bind
from runner.dataset.item import Dataset, evenly_spaced
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.errors import InternalError, ModelError, VerificationError
from runner.evaluation.outputs import ClassScores
from runner.evaluation.same_answers import differing_answers
from runner.graph.layers import LayeredModel
from runner.graph.opset import raise_opset
from runner.job_folder import JobFolder
from runner.lint.check import check_deploy
from runner.lint.finding import Finding, gathered
from runner.record import QuantizedLayers
from runner.session import plain
from runner.targets.ascend.deploy import deploy_model
from runner.targets.ascend.deploy_check import check_against_form
from runner.targets.qdq.write import qdq_model

logger = logging.getLogger(__name__)

# The version of this stage's meaning: raise it when checking the same files would show something else.
VERSION = 2

# One batch: enough to see onnxruntime's levels and kernels part, cheap beside an evaluation.
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
        ort_level_gap: share of answers, on one batch, that differ between onnxruntime's default level and none; None where no
            output is a tensor of numbers.
        cpu_int8_gap: share of answers, on one batch, that differ between the simulation and the CPU's int8 kernels; None
            where onnxruntime cannot run the form on them.
        notes: what ATC may want that is no fault of ours: options of its command, parts of the model it does not take.
        input_shapes: what the models were run on, with batch axis.
    """

    pair: ModelPair
    ort_level_gap: float | None
    cpu_int8_gap: float | None
    notes: tuple[Finding, ...]
    input_shapes: Mapping[str, tuple[int, ...]]


def write_pair(folder: JobFolder, prefix: str, model: LayeredModel, form: QuantizedLayers) -> ModelPair:
    """Write ``<prefix>_deploy_model.onnx`` and ``<prefix>_fake_quant_model.onnx``.

    Args:
        folder: the job's.
        prefix: sub-folder and model name.
        model: the prepared float model at the source's opset.
        form: what is quantized.
    """
    pair = ModelPair(f"{prefix}_deploy_model.onnx", f"{prefix}_fake_quant_model.onnx")
    simulated = fake_quant_model(model.on(raise_opset(model.graph)), form)
    for name, graph in ((pair.deploy, deploy_model(model, form)), (pair.fake_quant, simulated)):
        share_weights(graph)
        path = folder.write_model(name, graph)
        logger.info("The model file is saved in %s", path)
    return pair


def verify_pair(
    folder: JobFolder,
    pair: ModelPair,
    model: LayeredModel,
    form: QuantizedLayers,
    dataset: Dataset,
    engine: Engine,
    classes: ClassScores | None,
) -> Written:
    """Re-open both files and return what that showed.

    Args:
        folder: the job's.
        pair: what was written.
        model: the prepared float model at the source's opset.
        form: what the pair shall hold.
        dataset: items to run the fake-quant file on.
        engine: runs it.
        classes: how to read class scores, if it is a classifier.

    Raises:
        VerificationError: the deploy file does not hold the form, with the nodes.
    """
    deploy = folder.path(pair.deploy)
    lint = check_deploy(deploy)
    # A file whose format is at fault is not compared number by number.
    faults = [finding for finding in lint if finding.severity == "fault"] or check_against_form(
        deploy, form, model.graph
    )
    if faults:
        listed = "; ".join(str(fault) for fault in faults[:5])
        raise VerificationError(f"{deploy}: {len(faults)} fault(s): {listed}. Please report this.")
    inputs = engine.session(folder.path(pair.fake_quant), plain("all")).inputs
    feeds = bind(dataset.item(0), inputs, name=dataset.name(0))
    level_gap, int8_gap = _gaps(
        folder.path(pair.fake_quant), qdq_model(model.on(raise_opset(model.graph)), form), dataset, engine, classes
    )
    return Written(
        pair=pair,
        ort_level_gap=level_gap,
        cpu_int8_gap=int8_gap,
        notes=tuple(lint),
        input_shapes={name: array.shape for name, array in feeds.items()},
    )


def checked_items(dataset: Dataset) -> list[int]:
    """Return the items that the files are run on."""
    return evenly_spaced(min(_GAP_ITEMS, len(dataset)), len(dataset))


def note_warnings(written: Written) -> list[str]:
    """Return what ATC does not take of the model.

    What an option of the ``atc`` command mends is no warning: the command at the end of the report has it.
    """
    unsupported = (note for note in written.notes if note.severity == "unsupported")
    return [f"for ATC, {line}" for line in gathered(unsupported)]


def _gaps(
    fake_quant: Path, plain_qdq: ir.Model, dataset: Dataset, engine: Engine, classes: ClassScores | None
) -> tuple[float | None, float | None]:
    """Return the shares of answers, on one batch, that differ from the fake-quant file run without any rewriting.

    The first at onnxruntime's default level; the second of the same layers in plain Q/DQ in a default session, None where that
    cannot run. Both are None where no output is a tensor of numbers.
    """
    items = Subset(dataset, checked_items(dataset))
    exact, usual = (engine.session(fake_quant, plain(level)) for level in ("none", "all"))
    try:
        gaps = differing_answers(exact, [usual, engine.session(plain_qdq, plain("all"))], items, engine, classes)
    except (InternalError, ModelError) as error:
        logger.info("cpu_int8_gap is not known: %s", error)
        gaps = differing_answers(exact, [usual], items, engine, classes)
    level_gap, int8_gap = (*(gaps or ()), None, None)[:2]
    return level_gap, int8_gap
