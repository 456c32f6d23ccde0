"""Plain QuantizeLinear and DequantizeLinear as a target: int8 for onnxruntime, OpenVINO and TensorRT."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from runner.convert.shared_weights import share_weights
from runner.convert.simulation import Simulation
from runner.errors import ConfigError
from runner.figure import Section
from runner.graph.layers import LayeredModel
from runner.graph.limits import Limits
from runner.graph.opset import DEPLOY_OPSET, SIMULATION_OPSET
from runner.graph.tensors import TensorInput, typed
from runner.job_folder import JobFolder
from runner.ranges import Range
from runner.record import QuantizedLayers
from runner.targets.qdq.bounds import bounds
from runner.targets.qdq.placement import fused_inputs, without_trapped
from runner.targets.qdq.saturation import REDUCED_WEIGHT_MAX, WEIGHT_MAX, weight_max
from runner.targets.qdq.sections import deployed, next_steps, warnings
from runner.targets.qdq.simulation import QdqSimulation
from runner.targets.qdq.verify import Checked, verify
from runner.targets.qdq.write import PORTABLE, TENSORRT
from runner.targets.target import Keep, Measured, ModelFiles, VerifyOptions

logger = logging.getLogger(__name__)

_LAYERS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "AveragePool"})
_NEWEST = 21


@dataclass(frozen=True, slots=True)
class Qdq:
    """``target=qdq``.

    Attributes:
        for_: runtime whose limits hold: ``onnxruntime`` (and OpenVINO), or ``tensorrt``, which takes symmetric int8 alone.
        opset: of the file, 13 to 21; None for the opset of the model, and 13 or 18 where that is older or newer.
        reduce_range: whether weights use 7 bits, for CPUs whose int8 kernels saturate; ``auto`` tries it out on this one.
        rounded: which inputs are rounded besides those of layers: ``fused``, all that keeps onnxruntime on integer kernels
            from layer to layer, or ``layers``, none.
    """

    for_: Literal["onnxruntime", "tensorrt"] = "onnxruntime"
    opset: int | None = None
    reduce_range: Literal["auto"] | bool = "auto"
    rounded: Literal["fused", "layers"] = "fused"

    def __post_init__(self) -> None:
        if self.opset is not None and not SIMULATION_OPSET <= self.opset <= _NEWEST:
            raise ConfigError(
                f"target.opset: expected {SIMULATION_OPSET} to {_NEWEST}, or null for the model's own, got {self.opset}."
            )

    @property
    def name(self) -> str:
        """Return ``qdq``."""
        return "qdq"

    @property
    def limits(self) -> Limits:
        """Return what a Q/DQ file can say and its runtime takes."""
        return Limits(
            operators=_LAYERS,
            per_channel=_LAYERS - {"AveragePool"},
            newest_opset=min(self.opset or DEPLOY_OPSET, DEPLOY_OPSET),
            symmetric=self.for_ == "tensorrt",
            largest_code=self._largest_code,
            rounded=None,
        )

    @property
    def _largest_code(self) -> int:
        if self.reduce_range == "auto":
            return weight_max()
        return REDUCED_WEIGHT_MAX if self.reduce_range else WEIGHT_MAX

    @property
    def simulation(self) -> Simulation:
        """Return the file itself, in a default onnxruntime session."""
        dialect = TENSORRT if self.for_ == "tensorrt" else PORTABLE
        return QdqSimulation(dialect, self.opset or SIMULATION_OPSET)

    def reads(self, op_type: str, opset: int) -> bool:
        """Return that every standard operator is read."""
        return True

    def rounded_inputs(self, model: LayeredModel) -> tuple[TensorInput, ...]:
        """Return the inputs that have to be rounded for layers to run on integer kernels."""
        return fused_inputs(model.on(typed(model.graph))) if self.rounded == "fused" else ()

    def bounds(self, model: LayeredModel, tensors: Sequence[str]) -> Mapping[str, Range]:
        """Return what a Relu or Clip leaves of tensors: codes beyond would keep onnxruntime from dropping it."""
        return bounds(model.graph, tensors)

    def planned(self, model: LayeredModel, form: QuantizedLayers) -> QuantizedLayers:
        """Return the form without the tensors that would have onnxruntime quantize the weights of a float layer."""
        return without_trapped(model, form)

    def write(self, folder: JobFolder, prefix: str, model: LayeredModel, form: QuantizedLayers) -> ModelFiles:
        """Write ``<prefix>_qdq_model.onnx``."""
        name = f"{prefix}_qdq_model.onnx"
        graph = self.simulation.model(model, form, own_session=False)
        share_weights(graph)
        path = folder.write_model(name, graph)
        logger.info("The model file is saved in %s", path)
        return (name,)

    def check_steps(self, options: VerifyOptions, evaluated: Sequence[int]) -> int:
        """Return on how many items the file is held against what was measured.

        Raises:
            ConfigError: a chip's precision is asked for.
        """
        if options.device not in (None, "none"):
            raise ConfigError(
                f"verify.device={options.device}: an NPU's precision has nothing to do with target=qdq; leave it out, or set "
                "target=ascend."
            )
        return len(options.items(evaluated))

    def check(self, files: ModelFiles, measured: Measured, progress: Callable[[int], None]) -> Checked:
        """Return that the file holds the layers, loads at every level, and gives what was measured."""
        return verify(files[0], measured, progress)

    def warnings(self, checked: Checked) -> Sequence[str]:
        """Return what onnxruntime makes of the file that nobody asked for."""
        return warnings(checked)

    def deployed(self, checked: Checked | None) -> Section:
        """Return the check, and the kernels."""
        return deployed(checked)

    def next_steps(
        self, files: ModelFiles, checked: Checked | None, folder: JobFolder, kept: Path | None
    ) -> Sequence[Section]:
        """Return how to run the file."""
        return next_steps(checked, folder, self.for_)

    @property
    def keep(self) -> Keep | None:
        """Return nothing: onnxruntime itself shows every tensor of such a file."""
        return None
