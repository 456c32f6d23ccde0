"""Quantized layers from a record: its scales, with weights and biases rounded under them."""

from __future__ import annotations

from collections.abc import Mapping

from runner.calibration.quantize import Quantization
from runner.dataset.subset import Subset
from runner.modes.calibration_result import CalibrationResult
from runner.modes.context import Context
from runner.modes.layer_costs import cached_costs
from runner.modes.layer_source import some_layers
from runner.modes.prepared_model import PreparedModel
from runner.record import QuantizedLayers
from runner.search.planned_models import Form


class RecordedLayers:
    """A ``LayerSource`` that read a record.

    Args:
        prepared: the model.
        recorded: its layers as the record describes them.
        part: items of which the first shows the layers' shapes.
        corrected: whether integers lay beside the record.
    """

    def __init__(self, prepared: PreparedModel, recorded: Quantization, part: Subset, *, corrected: bool) -> None:
        self._prepared, self._quantization, self._part, self._corrected = prepared, recorded, part, corrected

    def quantize(self, job: Context) -> CalibrationResult:
        """Return the layers that the record describes."""
        prepared, form = self._prepared, some_layers(self._quantization)
        costs = cached_costs(prepared.runnable, prepared.digest, self._part, job)
        return CalibrationResult(form, self._quantization.impossible, costs, self._corrected)

    def of_plans(self, job: Context) -> Form:
        """Return the same layers: a record's do not depend on each other."""
        return some_layers(self._quantization)

    def independent(self, job: Context) -> QuantizedLayers:
        """Return the same layers."""
        return some_layers(self._quantization)

    def repaired(self, job: Context) -> Mapping[str, Form]:
        """Return nothing: the record says what the layers are."""
        return {}
