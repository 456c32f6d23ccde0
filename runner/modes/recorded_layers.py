"""Quantized layers from a record: its scales, with weights and biases rounded under them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from runner.dataset.subset import Subset
from runner.graph.finite_weights import require_finite_weights
from runner.modes.calibration_result import CalibrationResult
from runner.modes.context import Context
from runner.modes.files.given_files import GivenFiles
from runner.modes.files.recorded_form import recorded_form
from runner.modes.layer_costs import cached_costs
from runner.modes.layer_source import skipped_layers, some_layers
from runner.modes.prepared_model import PreparedModel
from runner.record import QuantizedLayers


class RecordedLayers:
    """A ``LayerSource`` that reads a record.

    Args:
        subject: the model.
        given: holds the record, and integers where they lie beside it.
        part: items of which the first shows the layers' shapes.
    """

    config = None
    passes = 0
    symmetric: Collection[str] = ()
    warnings: tuple[str, ...] = ()

    def __init__(self, subject: PreparedModel, given: GivenFiles, part: Subset) -> None:
        assert given.record is not None  # the caller saw to it
        self._subject, self._part = subject, part
        self._corrected = given.integers is not None
        require_finite_weights(subject.prepared.graph, given.record.layers)
        self._quantization = recorded_form(given.record, subject, given.name, given.integers or {})
        self.skipped = skipped_layers(subject, given.record)

    def quantize(self, job: Context) -> CalibrationResult:
        """Return the layers that the record describes."""
        subject, form = self._subject, some_layers(self._quantization)
        costs = cached_costs(subject.runnable, subject.digest, self._part, job)
        return CalibrationResult(form, self._quantization.impossible, costs, self._corrected)

    def repaired(self, job: Context) -> Mapping[str, QuantizedLayers]:
        """Return nothing: the record says what the layers are."""
        return {}
