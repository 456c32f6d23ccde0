"""Ascend NPUs as a target: a deploy model for the ATC converter, and the fake-quant model that has the same bits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.convert.simulation import IntegerSimulation, Simulation
from runner.figure import Section
from runner.graph.layers import LayeredModel
from runner.graph.limits import Limits
from runner.graph.tensors import TensorInput
from runner.job_folder import JobFolder
from runner.lint.atc_operators import takes
from runner.ranges import Range
from runner.record import QuantizedLayers
from runner.targets.ascend.check import Checked, check
from runner.targets.ascend.intermediates import write_intermediates
from runner.targets.ascend.limits import ASCEND
from runner.targets.ascend.model_files import ModelPair, note_warnings, write_pair
from runner.targets.ascend.proof import proof_items
from runner.targets.ascend.sections import against_a_dump, deployed, to_the_chip
from runner.targets.ascend.untaken import untaken
from runner.targets.target import Keep, Measured, ModelFiles, VerifyOptions


@dataclass(frozen=True, slots=True)
class Ascend:
    """``target=ascend``."""

    @property
    def name(self) -> str:
        """Return ``ascend``."""
        return "ascend"

    @property
    def limits(self) -> Limits:
        """Return what AMCT's deploy format holds."""
        return ASCEND

    @property
    def simulation(self) -> Simulation:
        """Return the deploy graph's integers in standard operators."""
        return IntegerSimulation()

    def reads(self, op_type: str, opset: int) -> bool:
        """Return whether ATC has a plugin for an operator at an opset."""
        return takes(op_type, opset)

    def rounded_inputs(self, model: LayeredModel) -> tuple[TensorInput, ...]:
        """Return nothing: what the user does not ask for stays float."""
        return ()

    def bounds(self, model: LayeredModel, tensors: Sequence[str]) -> Mapping[str, Range]:
        """Return nothing: calibration decides."""
        return {}

    def planned(self, model: LayeredModel, form: QuantizedLayers) -> QuantizedLayers:
        """Return the form itself: falling back is leaving out."""
        return form

    def write(self, folder: JobFolder, prefix: str, model: LayeredModel, form: QuantizedLayers) -> ModelFiles:
        """Write the deploy model and the fake-quant model."""
        pair = write_pair(folder, prefix, model, form)
        return (pair.deploy, pair.fake_quant)

    def check_steps(self, options: VerifyOptions, evaluated: Sequence[int]) -> int:
        """Return on how many items the pair is compared, and a chip's precision tried."""
        return proof_items(options, evaluated)

    def check(self, files: ModelFiles, measured: Measured, progress: Callable[[int], None]) -> Checked:
        """Return that the deploy file holds the layers, and executed as integers gives the fake-quant file's bits."""
        return check(ModelPair(*files), measured, progress)

    def untaken(self, model: LayeredModel) -> list[str]:
        """Return what ATC has no parser for in a model."""
        return untaken(model)

    def warnings(self, checked: Checked) -> Sequence[str]:
        """Return what ATC does not take of the model."""
        return note_warnings(checked.written)

    def deployed(self, checked: Checked | None) -> Section:
        """Return the proof, and what other executions would change."""
        return deployed(checked)

    def next_steps(
        self, files: ModelFiles, checked: Checked | None, folder: JobFolder, kept: Path | None
    ) -> Sequence[Section]:
        """Return the ``atc`` lines, and how a chip's dump is held against the run."""
        return (to_the_chip(checked, folder), against_a_dump(kept))

    @property
    def keep(self) -> Keep | None:
        """Return what writes the deploy file's tensors beside the float model's."""
        return write_intermediates
