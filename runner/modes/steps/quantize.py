"""Quantize: every selected layer in int8, by calibration or from a record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from runner.correction.options import Correction
from runner.modes.calibrated_layers import CalibratedLayers
from runner.modes.calibration_result import CalibrationResult
from runner.modes.context import Context
from runner.modes.layer_source import LayerSource
from runner.modes.prepared_model import PreparedModel
from runner.modes.recorded_layers import RecordedLayers
from runner.modes.selection import Selection
from runner.modes.steps.load import Loaded
from runner.record import QuantizedLayers
from runner.search.plan import INT8
from runner.search.planned_models import Form, PlannedModels
from runner.wording import recalled, say


@dataclass(frozen=True, slots=True, eq=False)
class Quantized:
    """The layers in int8, and the models that can be made of them.

    Attributes:
        prepared: the model.
        selection: which of its layers, and how.
        result: the layers, and what all cost.
        repairs: gives stronger forms of the same layers, by treatment, the gentlest first; for a plan that misses the target.
        models: of plans.
    """

    prepared: PreparedModel
    selection: Selection
    result: CalibrationResult
    repairs: Callable[[], Mapping[str, Form]]
    models: PlannedModels

    @property
    def all_int8(self) -> QuantizedLayers:
        """The form with every layer in int8."""
        return self.result.form


def quantize(
    prepared: PreparedModel, selection: Selection, loaded: Loaded, correction: Correction, job: Context
) -> Quantized:
    """Return the layers in int8.

    Args:
        prepared: the model.
        selection: which of its layers, and how.
        loaded: the items.
        correction: of the integers.
        job: runs models.

    Raises:
        ModelError: no layer can be expressed in int8.
    """
    source = _source(prepared, selection, loaded, correction)
    result = source.quantize(job)
    impossible = (
        say("layer '{layer}' stays float: {reason}", layer=left.name, reason=recalled(left.reason))
        for left in result.impossible
    )
    job.warnings.warn(*selection.warnings, *impossible)
    target = prepared.target
    forms = {INT8: source.of_plans(job)}
    models = PlannedModels(prepared.runnable, forms, target.simulation, target.planned, lambda: source.independent(job))
    return Quantized(prepared, selection, result, lambda: source.repaired(job), models)


def _source(prepared: PreparedModel, selection: Selection, loaded: Loaded, correction: Correction) -> LayerSource:
    split = loaded.split
    if selection.recorded is not None:
        corrected = loaded.given.integers is not None
        return RecordedLayers(prepared, selection.recorded, split.search, corrected=corrected)
    assert split.calibration is not None  # there are items wherever no record is given
    return CalibratedLayers(prepared, selection, split.calibration, correction)
