"""Where a job's quantized layers come from: calibration (``calibrated_layers``), or a record (``recorded_layers``)."""

from __future__ import annotations

import logging
from collections.abc import Collection, Container, Mapping
from typing import Protocol

from runner.amct_config.model import QuantConfig
from runner.calibration.quantize import Quantization
from runner.errors import ModelError
from runner.modes.calibration_result import CalibrationResult
from runner.modes.context import Context
from runner.modes.prepared_model import PreparedModel
from runner.record import QuantizedLayers

logger = logging.getLogger(__name__)


class LayerSource(Protocol):
    """Makes the quantized layers of a model.

    Attributes:
        config: the configuration that the job starts from, if there is one.
        skipped: names of layers that stay float because the user wants it so.
        symmetric: names of layers whose input has zero point 0 because the user wants it so.
        warnings: what the user should know of the files that the job was given.
        passes: how often calibration usually looks at every item, for progress bars.
    """

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

    def quantize(self, job: Context) -> CalibrationResult:
        """Return the layers in int8.

        Raises:
            ModelError: no layer can be expressed in int8.
        """
        ...

    def repaired(self, job: Context) -> Mapping[str, QuantizedLayers]:
        """Return stronger forms of the same layers, by treatment, the gentlest first; nothing where there are none.

        Asked once, after ``quantize``, where the plan of its form misses the target. Each has every layer of that form.
        """
        ...


def skipped_layers(subject: PreparedModel, wanted: Container[str]) -> tuple[str, ...]:
    """Return the names of a model's layers that are not wanted in int8."""
    skipped = tuple(layer.name for layer in subject.runnable.layers if layer.name not in wanted)
    for name in skipped:
        logger.info("skipped: %s stays float, as configured", name)
    return skipped


def some_layers(quantization: Quantization) -> QuantizedLayers:
    """Return the quantized layers.

    Raises:
        ModelError: there are none.
    """
    if not quantization.form.layers:
        reasons = "; ".join(f"{left.name}: {left.reason}" for left in quantization.impossible[:3])
        raise ModelError(f"model.path: no layer can be said in int8 ({reasons}).")
    return quantization.form
