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
from runner.correction.options import EVERY_CORRECTION, INDEPENDENT_CORRECTION, Correction, Strength, is_number
from runner.correction.plan_corrections import PlanCorrections
from runner.correction.smoothing import Smoothing, choose_smoothing, items_to_look_at
from runner.dataset.subset import Subset
from runner.events import CALIBRATE
from runner.graph.layers import Layer
from runner.graph.macs import layer_costs
from runner.graph.pixel_codes import Levels
from runner.graph.smoothing import with_smoothed_inputs
from runner.graph.tensors import TensorInput
from runner.modes.calibration_result import CALIBRATION_RESULT, QUANTIZED_LAYERS, CalibrationResult
from runner.modes.context import Context
from runner.modes.layer_source import some_layers
from runner.modes.prepared_model import PreparedModel, input_shapes
from runner.modes.selection import Selection
from runner.ranges import Range, within
from runner.record import QuantizedLayers
from runner.search.plan import Plan
from runner.search.planned_models import Form
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


@dataclass(frozen=True, slots=True)
class PlanInputs:
    """What the layers of a plan depend on.

    Attributes:
        all_int8: what they depend on where every layer is int8.
        fallback: the layers that are left float.
        float_tensors: whether what other nodes read is left float although it was to be rounded.
    """

    all_int8: CalibrationInputs
    fallback: tuple[str, ...]
    float_tensors: bool


# What a plan's corrections go on from, whether or not the all-int8 plan keeps all of it.
ALL_INT8_CORRECTION = Stage(
    "corrected layers before they are judged", CalibrationInputs, QUANTIZED_LAYERS, through=CALIBRATION.through
)
PLAN_CORRECTION = Stage("quantized layers of a plan", PlanInputs, QUANTIZED_LAYERS, through=CALIBRATION.through)


class CalibratedLayers:
    """A ``LayerSource`` that looks at calibration items.

    Args:
        prepared: the model.
        selection: which of its layers are quantized, and how.
        calibration: what its activations are observed on.
        correction: of the integers.
    """

    def __init__(
        self, prepared: PreparedModel, selection: Selection, calibration: Subset, correction: Correction
    ) -> None:
        self._prepared, self._selection = prepared, selection
        self._calibration, self._correction = calibration, correction
        self._layers = prepared.runnable.only(selection.layers).with_tensors(selection.tensors)
        config = selection.config
        self._unfused = frozenset(
            layer.name
            for layer in self._layers.layers
            if layer.op_type in FUSABLE_TYPES and config is not None and not config.folds(layer.name)
        )
        # What these read is whole numbers, whatever an observer makes of them.
        self._pixels = {
            name: levels for name, levels in prepared.rewriting.pixels.items() if name in selection.observers
        }
        self._strengths = {
            name: strength
            for name, strength in selection.balance.items()
            if is_number(strength) or name not in self._pixels
        }
        self._calibrated: tuple[Calibration, CalibrationResult] | None = None
        self._results: dict[Correction, CalibrationResult] = {}
        self._chains: dict[Correction, PlanCorrections] = {}
        self._of_plan_made: dict[tuple[Correction, tuple[str, ...], bool], QuantizedLayers] = {}

    def quantize(self, job: Context) -> CalibrationResult:
        """Return the layers after looking at the calibration items."""
        return self._corrected(self._correction, job)

    def of_plans(self, job: Context) -> Form:
        """Return the layers as plans have them."""
        return self._of_plans(self._correction, job)

    def independent(self, job: Context) -> QuantizedLayers:
        """Return the layers with a correction that looks at each alone."""
        return self._corrected(INDEPENDENT_CORRECTION, job).form

    def repaired(self, job: Context) -> Mapping[str, Form]:
        """Return the layers with every correction, where repairs are wanted."""
        if not self._correction.repair:
            return {}
        return {REPAIRED: self._of_plans(EVERY_CORRECTION, job)}

    def inputs(self, correction: Correction) -> CalibrationInputs:
        """Return what the layers depend on that are corrected so."""
        selection = self._selection
        return CalibrationInputs(
            graph=self._prepared.digest,
            calibration_items=self._calibration.content,
            layers=self._layers.layers,
            other_inputs=self._layers.tensors,
            observers=dict(selection.observers),
            strengths=self._strengths,
            one_scale=selection.one_scale,
            unfused=self._unfused,
            skipped=selection.skipped,
            levels=self._pixels,
            bounds=self._bounds(),
            symmetric=frozenset(self._selection.symmetric),
            correction=correction.of_layers,
        )

    def _of_plans(self, correction: Correction, job: Context) -> Form:
        whole = self._corrected(correction, job).form
        if not correction.depends_on_plan:
            return whole
        return lambda plan: self._of_plan(correction, plan, job) if plan.fallback or plan.float_tensors else whole

    def _of_plan(self, correction: Correction, plan: Plan, job: Context) -> QuantizedLayers:
        """Return the layers that a plan leaves int8, corrected with the others float."""
        key = correction.of_layers, plan.fallback, plan.float_tensors
        if key not in self._of_plan_made:
            inputs = PlanInputs(self.inputs(correction), plan.fallback, plan.float_tensors)

            def work_out() -> QuantizedLayers:
                with job.clock.apart(CALIBRATE):
                    return self._chain(correction, job).form(plan.fallback, float_tensors=plan.float_tensors)

            self._of_plan_made[key] = PLAN_CORRECTION.cached(job.store, inputs, work_out)
        return self._of_plan_made[key]

    def _corrected(self, correction: Correction, job: Context) -> CalibrationResult:
        key = correction.of_layers
        if key not in self._results:
            inputs = self.inputs(correction)
            self._results[key] = CALIBRATION.cached(job.store, inputs, lambda: self._correct(correction, job))
        return self._results[key]

    def _correct(self, correction: Correction, job: Context) -> CalibrationResult:
        rounded = self._seen(job)[1]
        if correction.changes_nothing:
            return rounded
        with job.clock.stage(CALIBRATE, len(rounded.form.layers), "corrections") as progress:
            form = self._chain(correction, job).form(progress=progress)
        return replace(rounded, form=form, corrected=True)

    def _chain(self, correction: Correction, job: Context) -> PlanCorrections:
        """Return what corrects the layers of any plan."""
        key = correction.of_layers
        if key not in self._chains:
            seen, rounded = self._seen(job)
            start = Calibrated(self._layers, rounded.form, seen, self._selection.symmetric)
            if correction.depends_on_plan:
                inputs = self.inputs(correction)
                self._chains[key] = PlanCorrections(
                    start,
                    self._calibration,
                    key,
                    job.engine,
                    lambda: self.independent(job),
                    lambda make: ALL_INT8_CORRECTION.cached(job.store, inputs, make),
                )
            else:
                self._chains[key] = PlanCorrections(start, self._calibration, key, job.engine, None)
        return self._chains[key]

    def _seen(self, job: Context) -> tuple[Calibration, CalibrationResult]:
        if self._calibrated is None:
            self._calibrated = self._calibrate(job)
        return self._calibrated

    def _calibrate(self, job: Context) -> tuple[Calibration, CalibrationResult]:
        """Return what calibration saw, and the form rounded to nearest under it."""
        prepared, items, selection = self._prepared, self._calibration, self._selection
        smoothed = self._smoothing(job)
        model = with_smoothed_inputs(self._layers, smoothed.factors)
        with job.clock.stage(CALIBRATE, len(items.indices) * selection.observer_passes) as progress:
            seen = collect(
                model,
                items,
                observers=selection.observers,
                engine=job.engine,
                progress=progress,
            )
            whole = {name: levels.range for name, levels in self._pixels.items() if name not in smoothed.factors}
            seen = replace(seen, ranges=within({**seen.ranges, **whole}, self._bounds(smoothed.factors)))
            quantization = quantize_layers(
                self._layers,
                seen,
                symmetric=selection.symmetric,
                one_scale=selection.one_scale,
                unfused=self._unfused,
                smoothing=smoothed.factors,
            )
            quantization = quantize_tensors(quantization, self._layers, seen, symmetric=selection.symmetric)
        # Skipped layers cost MACs too, though calibration did not look at them.
        unseen = [layer for layer in prepared.runnable.layers if layer.name in selection.skipped]
        shapes = {**seen.input_shapes, **input_shapes(prepared.runnable.graph, unseen, items, job.engine)}
        costs = layer_costs(prepared.runnable, shapes)
        return seen, CalibrationResult(
            some_layers(quantization), quantization.impossible, costs, strengths=smoothed.strengths
        )

    def _bounds(self, smoothed: Container[str] = ()) -> dict[str, Range]:
        """Return what the target lets ranges reach at most, by the observers' names; what is smoothed has other values."""
        read = {layer.name: layer.input for layer in self._layers.layers}
        read |= {tensor.key: tensor.source for tensor in self._layers.tensors}
        known = self._prepared.target.bounds(self._layers, list(read.values()))
        return {key: known[source] for key, source in read.items() if source in known and key not in smoothed}

    def _smoothing(self, job: Context) -> Smoothing:
        """Return how the inputs of layers are smoothed."""
        strengths = self._strengths
        if not strengths:
            return Smoothing()
        items = items_to_look_at(strengths, self._calibration)
        with job.clock.stage(CALIBRATE, len(items.indices), "balancing") as progress:
            smoothed = choose_smoothing(
                self._prepared.runnable.graph,
                self._layers.layers,
                strengths,
                items,
                symmetric=self._selection.symmetric,
                engine=job.engine,
                progress=progress,
            )
        for name, values in smoothed.factors.items():
            logger.info("balanced: %s by factors from %.3g to %.3g", name, min(values), max(values))
        return smoothed
