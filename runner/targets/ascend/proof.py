"""The proof that the deploy file, as written, is what was measured: the written files alone, held against each other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

from runner.dataset.item import Dataset, evenly_spaced
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.errors import DatasetError, InternalError, ModelError, VerificationError
from runner.evaluation.accuracy import Agreement
from runner.evaluation.scorer import Scorer
from runner.evaluation.scores import Evaluation, column
from runner.output_digest import OutputDigest
from runner.targets.ascend.gaps import Gaps, GapWatch, gap_items
from runner.targets.ascend.record_check import check_record
from runner.targets.target import VerifyOptions
from runner.verify.bits import is_numbers
from runner.verify.compare import FilePair, Sameness
from runner.verify.cross_check import CrossChecked, cross_check
from runner.verify.deploy_file import read_deploy
from runner.verify.execute import Executable, Precision, executable
from runner.verify.layer_outputs import Arrays
from runner.verify.reference import reference_session
from runner.verify.sums import accumulator_bound

logger = logging.getLogger(__name__)

# The version of this proof's meaning: raise it when the same files would show something else.
VERSION = 4
# The integer operators are slow, and a layer's kernels are the same for every item.
_CROSS_CHECKED = 4
# What a chip's precision does is information, not proof: a sample keeps it cheap beside the evaluations.
_DEVICE_ITEMS = 100
_EXACT_FLOAT32 = 2**24
# Of their scales.
_MANY_CHIPS: Precision = "s19"


@dataclass(frozen=True, slots=True)
class Files:
    """The written files that are to say the same."""

    deploy: Path
    fake_quant: Path
    record: Path


@dataclass(frozen=True, slots=True)
class DeviceMetric:
    """A metric with a chip's precision, simulated, instead of float32, over the same items."""

    precision: Precision
    metric: str
    items: int
    quantized: float
    device: float


@dataclass(frozen=True, slots=True)
class Proof:
    """What holding the files against each other showed.

    Attributes:
        sameness: of the fake-quant file and the deploy file executed as integers.
        cross_checked: items on which every layer was also computed with integer operators.
        accumulator_max: no input can take an int32 sum, bias included, beyond this.
        bias_max: the largest magnitude of an int32 bias.
        layers_split: layers whose sums may pass 2**24, so that floats add them in parts.
        ties: values of the cross-checked items exactly between two codes.
        record_matches: the record file's scales are those of the deploy file, bit for bit.
        gaps: what other executions of the quantized model change.
        device: the effect of a chip's precision, where it was measured.
    """

    sameness: Sameness
    cross_checked: int
    accumulator_max: int
    bias_max: int
    layers_split: int
    ties: int
    record_matches: bool
    gaps: Gaps
    device: DeviceMetric | None


def proof_items(options: VerifyOptions, evaluated: Sequence[int]) -> int:
    """Return how many items ``prove`` runs, for a progress bar."""
    return len(options.items(evaluated)) + len(device_positions(options, evaluated))


def device_positions(options: VerifyOptions, evaluated: Sequence[int]) -> list[int]:
    """Return which of the evaluated items a chip's precision is tried on, by position."""
    tried = precision_of(options) is not None
    return evenly_spaced(min(_DEVICE_ITEMS, len(evaluated)), len(evaluated)) if tried else []


def precision_of(options: VerifyOptions) -> Precision | None:
    """Return the precision of a chip that is tried, many chips' own unless another was asked for; None for none."""
    return None if options.device == "none" else options.device or _MANY_CHIPS


def prove(
    files: Files,
    dataset: Dataset,
    engine: Engine,
    options: VerifyOptions,
    *,
    int8: Callable[[], ir.Model],
    scorer: Scorer,
    quantized: Evaluation,
    progress: Callable[[int], None],
) -> Proof:
    """Hold the written files against each other.

    Args:
        files: what was written.
        dataset: evaluation data.
        engine: runs models.
        options: on how many items, and which device.
        int8: makes the quantized model in plain Q/DQ, for the CPU's int8 kernels.
        scorer: that measured the quantized model.
        quantized: its scores.
        progress: told how many of ``proof_items`` are done.

    Raises:
        VerificationError: they do not say the same; names the node or layer.
    """
    deploy = read_deploy(files.deploy)
    record_matches = check_record(files.record, deploy)
    items = Subset(dataset, options.items(scorer.items.indices))
    sample = items.at(evenly_spaced(min(_CROSS_CHECKED, len(items)), len(items)))
    precision = precision_of(options)
    with ThreadPoolExecutor(1, "ahead") as ahead:
        # What is run next is written while layers are compared.
        chip = None if precision is None else ahead.submit(executable, deploy, precision=precision)
        plain_form = ahead.submit(int8)
        pair = FilePair(executable(deploy), files.fake_quant, engine)
        crossed = cross_check(deploy, pair, sample, engine)
    sameness, gaps = _compared(pair, items, crossed, plain_form.result(), scorer, quantized, engine, progress)
    del pair  # its sessions hold all weights
    bounds = [accumulator_bound(layer) for layer in deploy.layers]
    biases = [int(np.abs(layer.bias.astype(np.int64)).max()) for layer in deploy.layers if layer.bias is not None]
    device = None
    if chip is not None and precision is not None:
        positions = device_positions(options, scorer.items.indices)
        device = _device_metric(
            chip, precision, scorer, quantized, positions, engine, lambda n: progress(len(items) + n)
        )
    return Proof(
        sameness=sameness,
        cross_checked=len(sample),
        accumulator_max=max(bounds, default=0),
        bias_max=max(biases, default=0),
        layers_split=sum(bound >= _EXACT_FLOAT32 for bound in bounds),
        ties=crossed.ties,
        record_matches=record_matches,
        gaps=gaps,
        device=device,
    )


def _compared(
    pair: FilePair,
    items: Subset,
    crossed: CrossChecked,
    int8: ir.Model,
    scorer: Scorer,
    quantized: Evaluation,
    engine: Engine,
    progress: Callable[[int], None],
) -> tuple[Sameness, Gaps]:
    """Return how far the files are the same over the items, and what other executions change on a batch of them."""
    batch = gap_items(items)
    both = frozenset((*batch.indices, *crossed.items.indices))
    optimized = pair.optimized(_measured_outputs(scorer, quantized), both)
    keeps = optimized.keeps(crossed.outputs, crossed.items)
    watch = GapWatch(optimized.output_names, optimized.usual, int8, batch, scorer.classes, engine)
    sameness = pair.check(
        items,
        _agreement(scorer, optimized.output_names),
        progress,
        optimized=optimized if keeps else None,
        look=watch.see,
    )
    return sameness, watch.gaps()


def _measured_outputs(scorer: Scorer, quantized: Evaluation) -> dict[int, OutputDigest]:
    """Return, by item, the digest of what the quantized model gave for it when it was measured; nothing where none is kept."""
    indices, digests = scorer.items.indices, quantized.digests
    if digests is None or len(digests) != len(indices):
        return {}
    return {index: (row[0], row[1], row[2]) for index, row in zip(indices, digests.tolist(), strict=True)}


def _agreement(scorer: Scorer, names: Sequence[str]) -> Callable[[Arrays, Arrays], bool]:
    metric = Agreement()

    def agree(one: Arrays, other: Arrays) -> bool:
        deploy, fake_quant = (
            {name: array for name, array in zip(names, arrays, strict=True) if is_numbers(array)}
            for arrays in (one, other)
        )
        return bool(metric.score(fake_quant, deploy, None, scorer.classes)[0])

    return agree


def _device_metric(
    chip: Future[Executable],
    precision: Precision,
    scorer: Scorer,
    quantized: Evaluation,
    positions: Sequence[int],
    engine: Engine,
    progress: Callable[[int], None],
) -> DeviceMetric | None:
    if not scorer.metrics:
        return None
    metric = scorer.metrics[0]
    scores = []
    try:
        model = chip.result().model
        # With other scales alone as plans are measured, against which it is held.
        session = engine.session(model) if precision == "s19" else reference_session(model, engine)
        for score in scorer.by([metric]).scores(session, positions, only_numbers=True):
            scores.append(score[metric.name])
            progress(len(scores))
    except (DatasetError, InternalError, ModelError, VerificationError) as error:
        # Information about a chip is not worth a job's result.
        logger.warning("verify.device=%s: nothing to report: %s", precision, error)
        return None
    return DeviceMetric(
        precision,
        metric.name,
        len(positions),
        metric.aggregate(quantized.scores[metric.name][positions]),
        metric.aggregate(column(scores)),
    )
