"""Quantized layers from calibration: ranges from data, weights by ARQ, then corrections."""

from __future__ import annotations

import logging
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace

from runner.amct_config.layer_names import FUSABLE_TYPES
from runner.calibration import collect as ranges
from runner.calibration import layer_by_layer
from runner.calibration import quantize as integers
from runner.calibration.collect import Calibration, collect
from runner.calibration.observer import Observer
from runner.calibration.quantize import quantize_layers, quantize_tensors
from runner.convert import fake_quant
from runner.correction import correct as corrections
from runner.correction import smoothing
from runner.correction.calibrated import Calibrated
from runner.correction.correct import correct
from runner.correction.options import AUTO, EVERY_CORRECTION, Correction, Strength
from runner.correction.smoothing import Smoothing, choose_smoothing
from runner.dataset.subset import Subset
from runner.errors import ConfigError
from runner.events import CALIBRATE
from runner.graph.balance import why_not_balanced, with_balanced_inputs
from runner.graph.finite_weights import require_finite_weights
from runner.graph.layers import Layer
from runner.graph.macs import layer_costs
from runner.graph.pixels import Levels
from runner.graph.tensors import TensorInput
from runner.modes.calibration_result import CALIBRATION_RESULT, CalibrationResult
from runner.modes.context import Context
from runner.modes.files.given_files import StartingPoint
from runner.modes.layer_source import skipped_layers, some_layers
from runner.modes.prepared_model import PreparedModel, input_shapes
from runner.ranges import Range, within
from runner.record import QuantizedLayers
from runner.store.stage import Stage

logger = logging.getLogger(__name__)

# The treatment of a layer that got every correction.
REPAIRED = "int8+corrections"


@dataclass(frozen=True, slots=True)
class CalibrationInputs:
    """What calibrated layers depend on.

    Attributes:
        graph: digest of the model that runs.
        calibration_items: digest of their contents.
        layers: to quantize, in graph order.
        other_inputs: of nodes that are no layers, to quantize too.
        observers: of each of both, by layer name or tensor's key.
        strengths: layer name -> migration strength, of the layers to balance.
        one_scale: layers whose channels share one weight scale.
        unfused: layers that nothing was folded into because the user wants it so.
        skipped: layers that stay float.
        levels: of the layers that read whole pixels.
        bounds: that the target sets to ranges.
        symmetric: names and keys of what has zero point 0.
        correction: of the layers, once they are calibrated.
    """

    graph: str
    calibration_items: str
    layers: tuple[Layer, ...]
    other_inputs: tuple[TensorInput, ...]
    observers: Mapping[str, Observer]
    strengths: Mapping[str, Strength]
    one_scale: frozenset[str]
    unfused: frozenset[str]
    skipped: tuple[str, ...]
    levels: Mapping[str, Levels]
    bounds: Mapping[str, Range]
    symmetric: frozenset[str]
    correction: Correction


CALIBRATION = Stage(
    "quantized layers, and the costs of all",
    CalibrationInputs,
    CALIBRATION_RESULT,
    through=(ranges, integers, layer_by_layer, smoothing, corrections, fake_quant),
)


class CalibratedLayers:
    """A ``LayerSource`` that looks at calibration items.

    Args:
        subject: the model.
        calibration: what its activations are observed on.
        start: what calibration starts from.
        warnings: of the files that the job was given.
        correction: of the integers.

    Raises:
        ConfigError: layers are to be balanced, and the model's opset is too old for it.
        ModelError: a layer that is to be int8 has weights that are not finite.
    """

    def __init__(
        self,
        subject: PreparedModel,
        calibration: Subset,
        start: StartingPoint,
        warnings: tuple[str, ...],
        correction: Correction,
    ) -> None:
        require_finite_weights(subject.prepared.graph, {layer.name for layer in start.layers.layers})
        reason = why_not_balanced(subject.prepared.graph)
        if reason is not None and any(strength != AUTO for strength in start.balance.values()):
            raise ConfigError(f"correction.balance: {reason}. Export it again, or balance no layer.")
        self._correction = correction
        self._subject, self._calibration, self._start = subject, calibration, start
        self.config = start.config
        self.skipped = skipped_layers(subject, start.observers)
        self.warnings = (*warnings, *start.warnings)
        self.symmetric = {
            name
            for name, observer in start.observers.items()
            if subject.target.limits.symmetric or not observer.asymmetric
        }
        self._unfused = frozenset(
            layer.name
            for layer in start.layers.layers
            if layer.op_type in FUSABLE_TYPES and not self.config.folds(layer.name)
        )
        # What these read is whole numbers, whatever an observer makes of them.
        self._pixels = {name: levels for name, levels in subject.rewriting.pixels.items() if name in start.observers}
        self._strengths = {
            name: strength
            for name, strength in start.balance.items()
            if strength != AUTO or (reason is None and name not in self._pixels)
        }
        self.passes = _passes(start.observers) + bool(self._strengths)
        self._calibrated: tuple[Calibration, CalibrationResult] | None = None

    def quantize(self, job: Context) -> CalibrationResult:
        """Return the layers after looking at the calibration items."""
        return self._corrected(self._correction, job)

    def repaired(self, job: Context) -> Mapping[str, QuantizedLayers]:
        """Return the layers with every correction, where repairs are wanted."""
        if not self._correction.repair:
            return {}
        return {REPAIRED: self._corrected(EVERY_CORRECTION, job).form}

    def inputs(self, correction: Correction) -> CalibrationInputs:
        """Return what the layers depend on that are corrected so."""
        start = self._start
        return CalibrationInputs(
            graph=self._subject.digest,
            calibration_items=self._calibration.content,
            layers=start.layers.layers,
            other_inputs=start.layers.tensors,
            observers=dict(start.observers),
            strengths=self._strengths,
            one_scale=start.one_scale,
            unfused=self._unfused,
            skipped=self.skipped,
            levels=self._pixels,
            bounds=self._bounds(),
            symmetric=frozenset(self.symmetric),
            correction=correction.of_layers,
        )

    def _corrected(self, correction: Correction, job: Context) -> CalibrationResult:
        return CALIBRATION.cached(job.store, self.inputs(correction), lambda: self._correct(correction, job))

    def _correct(self, correction: Correction, job: Context) -> CalibrationResult:
        items = self._calibration
        if self._calibrated is None:
            self._calibrated = self._calibrate(job)
        seen, rounded = self._calibrated
        if correction.changes_nothing:
            return rounded
        with job.stages.stage(CALIBRATE, len(rounded.form.layers), "corrections") as progress:
            form = correct(
                Calibrated(self._start.layers, rounded.form, seen, self.symmetric),
                items,
                options=correction,
                engine=job.engine,
                progress=progress,
            )
        return replace(rounded, form=form, corrected=True)

    def _calibrate(self, job: Context) -> tuple[Calibration, CalibrationResult]:
        """Return what calibration saw, and the form rounded to nearest under it."""
        subject, items, start = self._subject, self._calibration, self._start
        balance = self._balance(job)
        model = with_balanced_inputs(start.layers, balance.factors)
        with job.stages.stage(CALIBRATE, len(items.indices) * _passes(start.observers)) as progress:
            seen = collect(
                model,
                items,
                observers=start.observers,
                engine=job.engine,
                progress=progress,
            )
            whole = {name: levels.range for name, levels in self._pixels.items() if name not in balance.factors}
            seen = replace(seen, ranges=within({**seen.ranges, **whole}, self._bounds(balance.factors)))
            quantization = quantize_layers(
                start.layers,
                seen,
                symmetric=self.symmetric,
                one_scale=start.one_scale,
                unfused=self._unfused,
                balance=balance.factors,
            )
            quantization = quantize_tensors(quantization, start.layers, seen, symmetric=self.symmetric)
        # Skipped layers cost MACs too, though calibration did not look at them.
        unseen = [layer for layer in subject.runnable.layers if layer.name in self.skipped]
        shapes = {**seen.input_shapes, **input_shapes(subject.runnable.graph, unseen, items, job.engine)}
        costs = layer_costs(subject.runnable, shapes)
        return seen, CalibrationResult(
            some_layers(quantization), quantization.impossible, costs, strengths=balance.strengths
        )

    def _bounds(self, smoothed: Container[str] = ()) -> dict[str, Range]:
        """Return what the target lets ranges reach at most, by the observers' names; what is smoothed has other values."""
        layered = self._start.layers
        read = {layer.name: layer.input for layer in layered.layers}
        read |= {tensor.key: tensor.source for tensor in layered.tensors}
        known = self._subject.target.bounds(layered, list(read.values()))
        return {key: known[source] for key, source in read.items() if source in known and key not in smoothed}

    def _balance(self, job: Context) -> Smoothing:
        """Return how the inputs of layers are to be balanced."""
        items, strengths = self._calibration, self._strengths
        if not strengths:
            return Smoothing()
        with job.stages.stage(CALIBRATE, len(items.indices), "balancing") as progress:
            balance = choose_smoothing(
                self._subject.runnable.graph,
                self._start.layers.layers,
                strengths,
                items,
                symmetric=self.symmetric,
                engine=job.engine,
                progress=progress,
            )
        for name, values in balance.factors.items():
            logger.info("balanced: %s by factors from %.3g to %.3g", name, min(values), max(values))
        return balance


def _passes(observers: Mapping[str, Observer]) -> int:
    return max(observer.passes for observer in observers.values())
