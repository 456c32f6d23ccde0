"""The written files re-opened: their format, what onnxruntime's levels make of them, and that they say the same."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from runner.dataset.item import Dataset
from runner.engine import Engine
from runner.evaluation.evaluator import Evaluation, Evaluator
from runner.graph.layers import LayeredModel
from runner.job_folder import JobFolder
from runner.modes.codecs import PROOF, WRITTEN
from runner.modes.files.write_models import ModelPair, Written, verify_pair
from runner.modes.keys import StageKeys
from runner.modes.proof import Files, Proof, VerifyOptions, prove
from runner.record import QuantizedLayers
from runner.store.remembered import remembered
from runner.store.store import Store


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """What a job has at hand when its files are checked.

    Attributes:
        folder: of the job.
        model: the prepared float model at the source's opset.
        dataset: evaluation data.
        engine: runs models.
        options: how the files are held against each other.
        keys: of the stored results.
        store: what is known of the same files is not worked out again; None knows nothing.
    """

    folder: JobFolder
    model: LayeredModel
    dataset: Dataset
    engine: Engine
    options: VerifyOptions
    keys: StageKeys
    store: Store | None


def check_files(
    job: Job,
    pair: ModelPair,
    record: str,
    form: QuantizedLayers,
    *,
    evaluator: Evaluator,
    quantized: Evaluation,
    progress: Callable[[int], None],
) -> tuple[Written, Proof]:
    """Return what re-opening the files shows.

    Args:
        job: whose files.
        pair: the models.
        record: name of the record file.
        form: what the files shall hold.
        evaluator: that measured the quantized model.
        quantized: its scores.
        progress: told how many of ``proof_items`` are done.

    Raises:
        VerificationError: a file is at fault, or they do not say the same. As after any other fault the pair is removed:
            what is not proved must not look like a result.
    """
    with _removed_unless_proved(job.folder, pair):
        files = Files(*(job.folder.path(name) for name in (pair.deploy, pair.fake_quant, record)))
        paths: list[Path] = [files.deploy, files.fake_quant]
        written = remembered(
            job.store,
            job.keys.written(paths, form, job.dataset, evaluator),
            lambda: verify_pair(job.folder, pair, job.model, form, job.dataset, job.engine, evaluator.classes),
            WRITTEN,
        )
        proof = remembered(
            job.store,
            job.keys.proof([*paths, files.record], job.options, job.dataset, evaluator),
            lambda: prove(
                files,
                job.dataset,
                job.engine,
                job.options,
                evaluator=evaluator,
                quantized=quantized,
                progress=progress,
            ),
            PROOF,
        )
        return written, proof


@contextlib.contextmanager
def _removed_unless_proved(folder: JobFolder, pair: ModelPair) -> Iterator[None]:
    try:
        yield
    except Exception:
        folder.remove(pair.deploy, pair.fake_quant)
        raise
