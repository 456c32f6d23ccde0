"""How a job comes by the quantized form of its layers: by calibration, or from a record."""

from __future__ import annotations

import logging
from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from runner.amct_config.layer_names import FUSABLE_TYPES
from runner.amct_config.model import QuantConfig
from runner.calibration.collect import Calibration, collect
from runner.calibration.observer import Observer
from runner.calibration.quantize import Quantization, quantize_layers, quantize_tensors
from runner.correction.balance import Balance, choose_balance
from runner.correction.correct import Calibrated, correct
from runner.correction.options import AUTO, EVERY_CORRECTION, Correction
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.errors import ConfigError, ModelError
from runner.events import CALIBRATE
from runner.graph.balance import why_not_balanced, with_balanced_inputs
from runner.graph.finite_weights import require_finite_weights
from runner.graph.layers import LeftAlone
from runner.graph.macs import LayerCost, layer_costs
from runner.modes.files.given_files import GivenFiles, StartingPoint
from runner.modes.files.recorded_form import recorded_form
from runner.modes.prepared_model import PreparedModel, input_shapes
from runner.modes.stages import Stages
from runner.record import QuantizedLayers

logger = logging.getLogger(__name__)

# The treatment of a layer that got every correction.
REPAIRED = "int8+corrections"


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationResult:
    """Every layer that shall be int8 in int8, with what all layers cost; and the layers that cannot be.

    Attributes:
        corrected: whether the integers are others than the record's scales give by rounding.
        strengths: layer name -> migration strength, of the layers whose input is balanced.
    """

    form: QuantizedLayers
    impossible: tuple[LeftAlone, ...]
    costs: Mapping[str, LayerCost]
    corrected: bool = False
    strengths: Mapping[str, float] = field(default_factory=dict)


class Recipe(Protocol):
    """Makes the quantized form of a model's layers.

    Attributes:
        config: the configuration that the job starts from, if there is one.
        skipped: names of layers that stay float because the user wants it so.
        symmetric: names of layers whose input has zero point 0 because the user wants it so.
        warnings: what the user should know of the files that the job was given.
        settings: everything that the form depends on beside the model and the items.
        passes: how often calibration usually looks at every item, for progress bars.
    """

    @property
    def settings(self) -> Sequence[Any]: ...  # noqa: D102
    @property
    def passes(self) -> int: ...  # noqa: D102
    @property
    def config(self) -> QuantConfig | None: ...  # noqa: D102
    @property
    def skipped(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def symmetric(self) -> Collection[str]: ...  # noqa: D102
    @property
    def warnings(self) -> tuple[str, ...]: ...  # noqa: D102

    def quantize(self, engine: Engine, stages: Stages) -> CalibrationResult:
        """Return the form.

        Raises:
            ModelError: no layer can be said in int8.
        """
        ...

    def repaired(self, engine: Engine, stages: Stages) -> Mapping[str, QuantizedLayers]:
        """Return stronger forms of the same layers, by treatment, the gentlest first; nothing where there are none.

        Asked once, after ``quantize``, where the plan of its form misses the target. Each has every layer of that form.
        """
        ...


class CalibrationRecipe:
    """Ranges from data, weights by ARQ, then corrections.

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
        self.skipped = _others(subject, start.observers)
        self.warnings = (*warnings, *start.warnings)
        self.symmetric = {name for name, observer in start.observers.items() if not observer.asymmetric}
        self._unfused = {
            layer.name
            for layer in start.layers.layers
            if layer.op_type in FUSABLE_TYPES and not self.config.folds(layer.name)
        }
        # What these read is whole numbers, whatever an observer makes of them.
        self._pixels = {name: levels for name, levels in subject.rewriting.pixels.items() if name in start.observers}
        self._strengths = {
            name: strength
            for name, strength in start.balance.items()
            if strength != AUTO or (reason is None and name not in self._pixels)
        }
        self.settings = [
            start.layers.layers,
            dict(start.observers),
            self._strengths,
            start.layers.tensors,
            start.one_scale,
            self._unfused,
            self.skipped,
            correction,
            self._pixels,
        ]

        self.passes = _passes(start.observers) + bool(self._strengths)
        self._calibrated: tuple[Calibration, CalibrationResult] | None = None

    def quantize(self, engine: Engine, stages: Stages) -> CalibrationResult:
        """Return the form after looking at the calibration items."""
        return self._made(self._correction, engine, stages)

    def repaired(self, engine: Engine, stages: Stages) -> Mapping[str, QuantizedLayers]:
        """Return the form with every correction, where repairs are wanted."""
        if not self._correction.repair:
            return {}
        return {REPAIRED: self._made(EVERY_CORRECTION, engine, stages).form}

    def _made(self, correction: Correction, engine: Engine, stages: Stages) -> CalibrationResult:
        items = self._calibration
        if self._calibrated is None:
            self._calibrated = self._calibrate(engine, stages)
        seen, rounded = self._calibrated
        if correction.changes_nothing:
            return rounded
        with stages.stage(CALIBRATE, len(rounded.form.layers), "corrections") as progress:
            form = correct(
                Calibrated(self._start.layers, rounded.form, seen, self.symmetric),
                items.dataset,
                items.indices,
                options=correction,
                engine=engine,
                progress=progress,
            )
        return replace(rounded, form=form, corrected=True)

    def _calibrate(self, engine: Engine, stages: Stages) -> tuple[Calibration, CalibrationResult]:
        """Return what calibration saw, and the form rounded to nearest under it."""
        subject, items, start = self._subject, self._calibration, self._start
        balance = self._balance(engine, stages)
        model = with_balanced_inputs(start.layers, balance.factors)
        with stages.stage(CALIBRATE, len(items.indices) * _passes(start.observers)) as progress:
            seen = collect(
                model,
                items.dataset,
                items.indices,
                observer=next(iter(start.observers.values())),
                observers=start.observers,
                engine=engine,
                progress=progress,
            )
            whole = {name: levels.range for name, levels in self._pixels.items() if name not in balance.factors}
            seen = replace(seen, ranges={**seen.ranges, **whole})
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
        shapes = {**seen.input_shapes, **input_shapes(subject.runnable.graph, unseen, items)}
        costs = layer_costs(subject.runnable, shapes)
        return seen, CalibrationResult(_some(quantization), quantization.impossible, costs, strengths=balance.strengths)

    def _balance(self, engine: Engine, stages: Stages) -> Balance:
        """Return how the inputs of layers are to be balanced."""
        items, strengths = self._calibration, self._strengths
        if not strengths:
            return Balance()
        with stages.stage(CALIBRATE, len(items.indices), "balancing") as progress:
            balance = choose_balance(
                self._subject.runnable.graph,
                self._start.layers.layers,
                strengths,
                items.dataset,
                items.indices,
                symmetric=self.symmetric,
                engine=engine,
                progress=progress,
            )
        for name, values in balance.factors.items():
            logger.info("balanced: %s by factors from %.3g to %.3g", name, min(values), max(values))
        return balance


class RecordRecipe:
    """Scales from a record; weights and biases rounded under them.

    Args:
        subject: the model.
        given: holds the record, and integers where they lie beside it.
        part: items of which one shows the layers' shapes.
    """

    config = None
    passes = 0
    symmetric: Collection[str] = ()

    def __init__(self, subject: PreparedModel, given: GivenFiles, part: Subset) -> None:
        assert given.record is not None  # the caller saw to it
        self._subject, self._part = subject, part
        self._corrected = given.integers is not None
        require_finite_weights(subject.prepared.graph, given.record.layers)
        self._quantization = recorded_form(given.record, subject, given.name, given.integers or {})
        self.settings = [dict(given.record), given.integers]
        self.skipped = _others(subject, given.record)
        self.warnings: tuple[str, ...] = ()

    def quantize(self, engine: Engine, stages: Stages) -> CalibrationResult:
        """Return the form that the record describes."""
        subject = self._subject
        shapes = input_shapes(subject.runnable.graph, subject.runnable.layers, self._part)
        costs = layer_costs(subject.runnable, shapes)
        return CalibrationResult(_some(self._quantization), self._quantization.impossible, costs, self._corrected)

    def repaired(self, engine: Engine, stages: Stages) -> Mapping[str, QuantizedLayers]:
        """Return nothing: the record says what the layers are."""
        return {}


def _passes(observers: Mapping[str, Observer]) -> int:
    return max(observer.passes for observer in observers.values())


def _others(subject: PreparedModel, layers: Container[str]) -> tuple[str, ...]:
    skipped = tuple(layer.name for layer in subject.runnable.layers if layer.name not in layers)
    for name in skipped:
        logger.info("skipped: %s stays float, as configured", name)
    return skipped


def _some(quantization: Quantization) -> QuantizedLayers:
    if not quantization.form.layers:
        reasons = "; ".join(f"{left.name}: {left.reason}" for left in quantization.impossible[:3])
        raise ModelError(f"model.path: no layer can be said in int8 ({reasons}).")
    return quantization.form
