"""The pair of models on disk, written, re-opened and checked; the same for both modes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from runner.convert.fake_quant import fake_quant_model
from runner.convert.shared_weights import share_weights
from runner.dataset.binding import bind
from runner.dataset.item import Dataset
from runner.errors import VerificationError
from runner.graph.layers import LayeredModel
from runner.graph.opset import raise_opset
from runner.job_folder import JobFolder
from runner.lint.check import check_deploy
from runner.lint.finding import Finding, gathered
from runner.record import QuantizedLayers
from runner.session import input_specs
from runner.targets.ascend.deploy import deploy_model
from runner.targets.ascend.deploy_check import check_against_form
from runner.wording import say

logger = logging.getLogger(__name__)

# The version of this stage's meaning: raise it when checking the same files would show something else.
VERSION = 3


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
        notes: what ATC may want that is no fault of ours: options of its command, parts of the model it does not take.
        input_shapes: what the models are run on, with batch axis.
    """

    pair: ModelPair
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
) -> Written:
    """Re-open both files and return what that showed.

    Args:
        folder: the job's.
        pair: what was written.
        model: the prepared float model at the source's opset.
        form: what the pair shall hold.
        dataset: of whose first item the shapes are read.

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
    feeds = bind(dataset.item(0), input_specs(model.graph), name=dataset.name(0))
    return Written(pair, tuple(lint), {name: array.shape for name, array in feeds.items()})


def note_warnings(written: Written) -> list[str]:
    """Return what ATC does not take of the model.

    What an option of the ``atc`` command mends is no warning: the command at the end of the report has it.
    """
    unsupported = (note for note in written.notes if note.severity == "unsupported")
    return [say("for ATC, {line}", line=line) for line in gathered(unsupported)]
