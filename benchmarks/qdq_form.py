"""A model's layers quantized as a job says, without a search: what the Q/DQ writer is measured with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import onnx_ir as ir

from runner.app.options import AccAutoJob
from runner.calibration.collect import collect
from runner.calibration.quantize import quantize_layers, quantize_tensors
from runner.correction.correct import Calibrated, correct
from runner.correction.equalize import choose_exponents
from runner.correction.pixels import choose_pixels
from runner.dataset.item import evenly_spaced
from runner.engine import Engine
from runner.graph.layers import FoundLayers
from runner.graph.pixels import Pixels
from runner.graph.rewriting import Rewriting
from runner.graph.tensors import TensorInput, typed
from runner.modes.prepared_model import PreparedModel, load_prepared
from runner.record import QuantizedLayers
from runner.targets.qdq.bounds import bounds, within

_CALIBRATION_ITEMS = 100

# Of a typed model and its layers.
Placement = Callable[[ir.Model, FoundLayers], tuple[TensorInput, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Quantized:
    """A float model, ready to run, and the quantized form of its layers."""

    model: ir.Model
    found: FoundLayers
    form: QuantizedLayers


def quantize(
    job: AccAutoJob,
    placement: Placement,
    *,
    per_channel_matrices: bool = True,
    bounded: bool = True,
    symmetric: bool = False,
) -> Quantized:
    """Return every layer of the job's model in int8, with its observer and corrections.

    Args:
        job: names model, data, observer and corrections.
        placement: which inputs of other nodes are rounded.
        per_channel_matrices: whether a Gemm or MatMul takes one weight scale an output.
        bounded: whether ranges end where a Clip in front of them does.
        symmetric: whether every zero point is 0.
    """
    engine = Engine()
    data = job.calibration.dataset or job.dataset
    count = min(job.calibration.count or _CALIBRATION_ITEMS, len(data))
    indices = evenly_spaced(count, len(data))
    subject = load_prepared(job.model.path)
    pixels: Pixels = {}
    if job.correction.pixels and not symmetric:
        pixels = choose_pixels(subject.runnable, data, indices, engine=engine)
        subject = subject.rewritten(Rewriting(pixels)) if pixels else subject
    if job.correction.equalize:
        exponents = choose_exponents(subject.runnable, data, indices, engine=engine)
        subject = subject.rewritten(Rewriting(exponents=exponents)) if exponents else subject
    found = _layers(subject, placement, per_channel_matrices)
    model = subject.runnable
    seen = collect(model, found, data, indices, observer=job.observer, engine=engine)
    seen = replace(seen, ranges={**seen.ranges, **{name: levels.range for name, levels in pixels.items()}})
    read = {layer.name: layer.input for layer in found.layers} | {tensor.key: tensor.source for tensor in found.tensors}
    if bounded:
        of_tensors = bounds(model, read.values())
        limits = {key: of_tensors[source] for key, source in read.items() if source in of_tensors}
        seen = replace(seen, ranges=within(seen.ranges, limits))
    symmetric_names = set(read) if symmetric else set()
    quantization = quantize_layers(model, found, seen, symmetric=symmetric_names)
    quantization = quantize_tensors(quantization, found, seen, symmetric=symmetric_names)
    form = quantization.form
    if not job.correction.changes_nothing:
        start = Calibrated(model, found, form, seen, symmetric_names)
        form = correct(start, data, indices, options=job.correction, engine=engine)
    return Quantized(model, found, form)


def _layers(subject: PreparedModel, placement: Placement, per_channel_matrices: bool) -> FoundLayers:
    layers = tuple(
        replace(layer, per_channel=True) if per_channel_matrices and layer.op_type in ("Gemm", "MatMul") else layer
        for layer in subject.found.layers
    )
    return replace(subject.found, layers=layers, tensors=placement(typed(subject.runnable), subject.found))
