"""Where a job's quantized layers come from: calibration (``calibrated_layers``), or a record (``recorded_layers``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from runner.calibration.quantize import Quantization
from runner.errors import ModelError
from runner.modes.calibration_result import CalibrationResult
from runner.modes.context import Context
from runner.record import QuantizedLayers
from runner.search.planned_models import Form


class LayerSource(Protocol):
    """Makes the quantized layers of a model."""

    def quantize(self, job: Context) -> CalibrationResult:
        """Return the layers in int8.

        Raises:
            ModelError: no layer can be expressed in int8.
        """
        ...

    def of_plans(self, job: Context) -> Form:
        """Return the layers as plans have them; asked after ``quantize``, whose form is that of the all-int8 plan."""
        ...

    def independent(self, job: Context) -> QuantizedLayers:
        """Return layers that do not depend on each other; asked where those of plans do."""
        ...

    def repaired(self, job: Context) -> Mapping[str, Form]:
        """Return stronger forms of the same layers, by treatment, the gentlest first; nothing where there are none.

        Asked once, after ``quantize``, where the plan of its form misses the target. Each has every layer of that form.
        """
        ...


def some_layers(quantization: Quantization) -> QuantizedLayers:
    """Return the quantized layers.

    Raises:
        ModelError: there are none.
    """
    if not quantization.form.layers:
        reasons = "; ".join(f"{left.name}: {left.reason}" for left in quantization.impossible[:3])
        raise ModelError(f"model.path: no layer can be expressed in int8 ({reasons}).")
    return quantization.form
