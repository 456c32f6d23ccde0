"""The written files re-opened: their format, what onnxruntime's levels make of them, and that they say the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

from runner.convert import fake_quant
from runner.dataset.subset import Subset
from runner.evaluation import item_scorer as evaluation
from runner.evaluation.metric import Metric
from runner.evaluation.outputs import ClassScores
from runner.graph.model_file import file_sha256
from runner.graph.opset import raise_opset
from runner.lint.finding import Finding
from runner.record import QuantizedLayers
from runner.store.stage import Codec, Stage
from runner.store.store import Entry
from runner.targets.ascend import model_files
from runner.targets.ascend import proof as proving
from runner.targets.ascend.gaps import Gaps
from runner.targets.ascend.model_files import ModelPair, Written, verify_pair
from runner.targets.ascend.proof import DeviceMetric, Files, Proof, device_positions, prove
from runner.targets.qdq import write
from runner.targets.qdq.write import qdq_model
from runner.targets.target import Measured, VerifyOptions
from runner.verify.compare import Sameness


@dataclass(frozen=True, slots=True)
class WrittenInputs:
    """What re-opening the two models depends on.

    Attributes:
        pair: their names, which are part of what is kept.
        deploy: digest of the file.
        fake_quant: digest of the file.
        graph: digest of the model that the layers are of.
        quantized_layers: what the files shall hold.
        items: digest of the contents of the one whose shapes are read.
    """

    pair: ModelPair
    deploy: str
    fake_quant: str
    graph: str
    quantized_layers: QuantizedLayers
    items: str


@dataclass(frozen=True, slots=True)
class ProofInputs:
    """What holding the files against each other depends on.

    Attributes:
        deploy: digest of the file.
        fake_quant: digest of the file.
        record: digest of the file.
        float_graph: digest of the model that a chip's effect is measured against.
        graph: digest of the model that the layers are of.
        quantized_layers: what the files hold, from which other executions of it are made.
        verified_items: digest of the contents of those that the files are compared on.
        device_items: digest of contents and labels of those that a chip's effect is measured on, "" where none is.
        metrics: the one that it is measured with, if any.
        class_scores: how they are read.
        verify: the options.
    """

    deploy: str
    fake_quant: str
    record: str
    float_graph: str
    graph: str
    quantized_layers: QuantizedLayers
    verified_items: str
    device_items: str
    metrics: tuple[Metric, ...]
    class_scores: ClassScores | None
    verify: VerifyOptions


def _decode_written(entry: Entry) -> Written:
    shapes = {name: tuple(shape) for name, shape in entry.values["input_shapes"].items()}
    notes = tuple(Finding(**note) for note in entry.values["notes"])
    pair = ModelPair(**entry.values["pair"])
    return Written(**{**entry.values, "pair": pair, "notes": notes, "input_shapes": shapes})


def _decode_proof(entry: Entry) -> Proof:
    device = entry.values["device"]
    parts = {
        "sameness": Sameness(**entry.values["sameness"]),
        "gaps": Gaps(**entry.values["gaps"]),
        "device": None if device is None else DeviceMetric(**device),
    }
    return Proof(**{**entry.values, **parts})


WRITTEN: Stage[WrittenInputs, Written] = Stage(
    "check of the written files",
    WrittenInputs,
    Codec(lambda written: Entry(asdict(written)), _decode_written),
    through=(model_files, fake_quant),
    profile=None,
)
PROOF: Stage[ProofInputs, Proof] = Stage(
    "proof that the files say the same",
    ProofInputs,
    Codec(lambda proof: Entry(asdict(proof)), _decode_proof),
    through=(proving, evaluation, fake_quant, write),
    profile=None,
)


@dataclass(frozen=True, slots=True, eq=False)
class Checked:
    """What re-opening the pair showed, and what holding the files against each other did."""

    written: Written
    proof: Proof


def check(pair: ModelPair, measured: Measured, progress: Callable[[int], None]) -> Checked:
    """Return what re-opening the files shows.

    Args:
        pair: the models.
        measured: what they shall be.
        progress: told how many of ``proof_items`` are done.

    Raises:
        VerificationError: a file is at fault, or they do not say the same.
    """
    folder, scorer = measured.folder, measured.scorer
    files = Files(*(folder.path(name) for name in (pair.deploy, pair.fake_quant, measured.record)))
    written = WRITTEN.cached(
        measured.store,
        _written_inputs(files, pair, measured),
        lambda: verify_pair(folder, pair, measured.model, measured.form, measured.dataset),
    )
    proof = PROOF.cached(
        measured.store,
        _proof_inputs(files, measured),
        lambda: prove(
            files,
            measured.dataset,
            measured.engine,
            measured.options,
            int8=lambda: qdq_model(measured.model.on(raise_opset(measured.model.graph)), measured.form),
            scorer=scorer,
            quantized=measured.quantized,
            progress=progress,
        ),
    )
    return Checked(written, proof)


def _written_inputs(files: Files, pair: ModelPair, measured: Measured) -> WrittenInputs:
    return WrittenInputs(
        pair,
        file_sha256(files.deploy),
        file_sha256(files.fake_quant),
        measured.graph,
        measured.form,
        Subset(measured.dataset, [0]).content,
    )


def _proof_inputs(files: Files, measured: Measured) -> ProofInputs:
    scorer, options, dataset = measured.scorer, measured.options, measured.dataset
    verified = Subset(dataset, options.items(scorer.items.indices))
    device = Subset(dataset, [scorer.items.indices[at] for at in device_positions(options, scorer.items.indices)])
    return ProofInputs(
        file_sha256(files.deploy),
        file_sha256(files.fake_quant),
        file_sha256(files.record),
        measured.float_graph,
        measured.graph,
        measured.form,
        verified.content,
        device.fingerprint if device.indices else "",
        tuple(scorer.metrics[:1]),
        scorer.classes,
        options,
    )
