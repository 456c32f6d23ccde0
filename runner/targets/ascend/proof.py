"""The proof that the deploy file, as written, is what was measured: the written files alone, held against each other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

from runner.arithmetic import dequant_scale, reciprocal
from runner.dataset.item import Dataset, evenly_spaced
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.errors import DatasetError, InternalError, ModelError, VerificationError
from runner.evaluation.accuracy import Agreement
from runner.evaluation.scorer import Scorer
from runner.evaluation.scores import Evaluation, column
from runner.output_digest import OutputDigest
from runner.ranges import ActivationParams
from runner.record import LayerRecord, Record
from runner.record_text import read_record
from runner.targets.ascend.gaps import Gaps, GapWatch, gap_items
from runner.targets.target import VerifyOptions
from runner.verify.bits import is_numbers
from runner.verify.compare import FilePair, Sameness
from runner.verify.cross_check import cross_check
from runner.verify.deploy_file import IntegerModel, Rounding, read_deploy
from runner.verify.execute import Precision, executable
from runner.verify.layer_outputs import Arrays
from runner.verify.optimized import Optimized
from runner.verify.reference import reference_session
from runner.verify.sums import accumulator_bound

logger = logging.getLogger(__name__)

# The version of this proof's meaning: raise it when the same files would show something else.
VERSION = 3
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
    record_matches = _check_record(files.record, deploy)
    items = Subset(dataset, options.items(scorer.items.indices))
    sample = items.at(evenly_spaced(min(_CROSS_CHECKED, len(items)), len(items)))
    graph = executable(deploy)
    pair = FilePair(graph, files.fake_quant, engine)
    crossed = cross_check(deploy, pair, sample, engine)
    batch = gap_items(items)
    both = frozenset((*batch.indices, *sample.indices))
    measured = _measured_outputs(scorer, quantized)
    optimized = Optimized(graph, files.fake_quant, engine, measured=measured, both=both)
    keeps = optimized.keeps(crossed.outputs, sample)
    watch = GapWatch(pair.output_names, optimized.usual, int8(), batch, scorer.classes, engine)
    sameness = pair.check(
        items,
        _agreement(scorer, pair.output_names),
        progress,
        optimized=optimized if keeps else None,
        look=watch.see,
    )
    bounds = [accumulator_bound(layer) for layer in deploy.layers]
    biases = [int(np.abs(layer.bias.astype(np.int64)).max()) for layer in deploy.layers if layer.bias is not None]
    device = None
    precision = precision_of(options)
    if precision is not None:
        positions = device_positions(options, scorer.items.indices)
        device = _device_metric(
            deploy, precision, scorer, quantized, positions, engine, lambda n: progress(len(items) + n)
        )
    return Proof(
        sameness=sameness,
        cross_checked=len(sample),
        accumulator_max=max(bounds, default=0),
        bias_max=max(biases, default=0),
        layers_split=sum(bound >= _EXACT_FLOAT32 for bound in bounds),
        ties=crossed.ties,
        record_matches=record_matches,
        gaps=watch.gaps(),
        device=device,
    )


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
    deploy: IntegerModel,
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
        model = executable(deploy, precision=precision).model
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


def _check_record(path: Path, deploy: IntegerModel) -> bool:
    """Return whether the record read back means the deploy file's scales, bit for bit.

    Raises:
        VerificationError: it does not; names the layer.
    """
    if not deploy.layers and not deploy.anti_quants:
        return True
    record = read_record(path)
    for fault in (*_layer_faults(record, deploy), *_tensor_faults(record, deploy)):
        raise VerificationError(f"{path}: {fault}. Please report this.")
    return True


def _layer_faults(record: Record, deploy: IntegerModel) -> list[str]:
    layers = {layer.name: layer for layer in deploy.layers}
    faults = [f"layer '{name}' is in one of record and deploy file" for name in record.layers.keys() ^ layers.keys()]
    for name, entry in record.layers.items():
        if name not in layers:
            continue
        faults += _rounding_faults(name, entry.activation, deploy.quants[layers[name].quant])
        scales, expected = layers[name].scales, _dequant(entry)
        if scales.shape != expected.shape or scales.tobytes() != expected.tobytes():
            faults.append(f"layer '{name}': scale_d * scale_w is not the parameter of its AscendDequant")
        balance = np.float32(1) / np.asarray(entry.balance_factors, np.float32)
        held = layers[name].balance
        if (np.empty(0, np.float32) if held is None else held).tobytes() != balance.tobytes():
            faults.append(f"layer '{name}': 1 / tensor_balance_factor is not what its input is multiplied by")
    return faults


def _tensor_faults(record: Record, deploy: IntegerModel) -> list[str]:
    faults = []
    read = {
        f"{node}:{index}": anti_quant
        for anti_quant in deploy.anti_quants.values()
        for node, index in anti_quant.readers
    }
    faults += [f"tensor '{key}' is in one of record and deploy file" for key in record.tensors.keys() ^ read.keys()]
    faults += [f"'{name}' is read by nothing" for name, one in deploy.anti_quants.items() if not one.readers]
    for key, anti_quant in read.items():
        if key not in record.tensors:
            continue
        params = record.tensors[key].activation
        faults += _rounding_faults(key, params, deploy.quants[anti_quant.quant])
        if anti_quant.rounding != Rounding(float(np.float32(params.scale)), params.zero_point):
            faults.append(f"tensor '{key}': scale_d and offset_d are not those of its AscendAntiQuant")
    return faults


def _rounding_faults(name: str, params: ActivationParams, rounding: Rounding) -> list[str]:
    expected = Rounding(float(reciprocal(params.scale)), params.zero_point)
    if rounding == expected:
        return []
    return [f"'{name}': its AscendQuant has {rounding}, but 1 / scale_d and offset_d are {expected}"]


def _dequant(entry: LayerRecord) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return dequant_scale(entry.activation.scale, np.asarray(entry.weight_scales, np.float32))
