"""What a target is: a value that says all that the rest of the product has to know of where a quantized model runs.

It says what can be int8 there and in which form (``limits``), how plans are measured (``simulation``), which files are written,
how these are checked, and what is told of them. Search, calibration, corrections and reports know no target by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from runner.convert.simulation import Simulation
from runner.dataset.item import Dataset, evenly_spaced
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.errors import ConfigError
from runner.evaluation.scorer import Scorer
from runner.evaluation.scores import Evaluation
from runner.figure import Section
from runner.graph.layers import LayeredModel
from runner.graph.limits import Limits
from runner.graph.tensors import TensorInput
from runner.job_folder import JobFolder
from runner.ranges import Range
from runner.record import QuantizedLayers
from runner.store.store import Store

# Names of files relative to the job's folder; the first is the one that is deployed.
ModelFiles = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """``verify``: on how many items the files are held against what was measured, and which precision is tried besides.

    Attributes:
        count: so many evaluation items, evenly spaced, or all there are where they are fewer; None or ``all`` for every one.
        device: precision of a chip whose effect on the metric is measured: of scales (``s19``), of scales and every float
            value (``fp16``), or no other (``fp32``); ``none`` measures nothing; None for the target's own, if it has any.
    """

    count: int | Literal["all"] | None = 100
    device: Literal["fp32", "s19", "fp16", "none"] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.count, int) and self.count < 1:
            raise ConfigError(f"verify.count: expected 1 or more, or all, got {self.count}.")

    def positions(self, items: int) -> list[int]:
        """Return the places of the items to verify on, among so many that were evaluated on."""
        if self.count is None or self.count == "all":
            return list(range(items))
        return evenly_spaced(min(self.count, items), items)

    def items(self, evaluated: Sequence[int]) -> list[int]:
        """Return the indices of the items to verify on, of those evaluated on."""
        return [evaluated[position] for position in self.positions(len(evaluated))]


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What was measured, and what a target has at hand when it checks that its files are just that.

    Attributes:
        folder: the job's.
        record: name of the record file.
        model: the prepared float model at the source's opset.
        form: what the files shall hold.
        dataset: evaluation data.
        scorer: that measured the quantized model.
        quantized: its scores.
        options: how the files are verified.
        float_graph: digest of the model that the scorer refers to.
        graph: digest of the model that the layers are of.
        engine: runs models.
        store: what is known of the same files is not worked out again; None knows nothing.
    """

    folder: JobFolder
    record: str
    model: LayeredModel
    form: QuantizedLayers
    dataset: Dataset
    scorer: Scorer
    quantized: Evaluation
    options: VerifyOptions
    float_graph: str
    graph: str
    engine: Engine
    store: Store | None


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """What intermediate values are to be kept of.

    Attributes:
        name: configured, of the model.
        model: the prepared float model at the source's opset.
        form: what the files hold.
        files: the job's models; none where no plan was accepted.
        items: to keep the values of.
        engine: runs models.
        all_int8: the form with every layer in int8, where plans were tried.
    """

    name: str
    model: LayeredModel
    form: QuantizedLayers
    files: ModelFiles
    items: Subset
    engine: Engine
    all_int8: QuantizedLayers | None = None


# Writes them below the job's folder, tells how many items are done, each counting twice, and returns their folder.
Keep = Callable[[Kept, JobFolder, Callable[[int], None]], Path]


class Target(Protocol):
    """Where a quantized model runs. ``checked`` is a value of the target's own, which only the target looks into."""

    @property
    def name(self) -> str:
        """Return its name in configurations, files and reports."""
        ...

    @property
    def limits(self) -> Limits:
        """Return what it holds in int8, and up to which opset it is written."""
        ...

    @property
    def simulation(self) -> Simulation:
        """Return how plans are measured."""
        ...

    def reads(self, op_type: str, opset: int) -> bool:
        """Return whether it reads an operator of the default domain at an opset; another is written in those that it reads."""
        ...

    def rounded_inputs(self, model: LayeredModel) -> tuple[TensorInput, ...]:
        """Return the inputs of nodes that are no layers which it wants rounded, whether the user asks for them or not."""
        ...

    def bounds(self, model: LayeredModel, tensors: Sequence[str]) -> Mapping[str, Range]:
        """Return, by name, what values of tensors may be rounded to at most; nothing where calibration alone decides."""
        ...

    def planned(self, model: LayeredModel, form: QuantizedLayers) -> QuantizedLayers:
        """Return the form of a plan as it is written: without what makes no sense once some layers are float."""
        ...

    def write(self, folder: JobFolder, prefix: str, model: LayeredModel, form: QuantizedLayers) -> ModelFiles:
        """Write the models.

        Args:
            folder: the job's.
            prefix: sub-folder and model name, which every file name begins with.
            model: the prepared float model at the source's opset.
            form: what is quantized.
        """
        ...

    def check_steps(self, options: VerifyOptions, evaluated: Sequence[int]) -> int:
        """Return how many items ``check`` runs, for a progress bar.

        Raises:
            ConfigError: the options are none of this target's.
        """
        ...

    def check(self, files: ModelFiles, measured: Measured, progress: Callable[[int], None]) -> Any:  # noqa: ANN401
        """Return what re-opening the written files showed.

        Raises:
            VerificationError: a file is at fault, or is not what was measured.
        """
        ...

    def warnings(self, checked: Any) -> Sequence[str]:  # noqa: ANN401
        """Return what the user should know of the files before deploying them."""
        ...

    def deployed(self, checked: Any | None) -> Section:  # noqa: ANN401
        """Return the section of the report that says whether the deployed model is the measured one; None: none was written."""
        ...

    def next_steps(
        self,
        files: ModelFiles,
        checked: Any | None,  # noqa: ANN401
        folder: JobFolder,
        kept: Path | None,
    ) -> Sequence[Section]:
        """Return how to go on with the files, and with the intermediate values that were kept."""
        ...

    @property
    def keep(self) -> Keep | None:
        """Return what writes the values that flow through the model, for comparing; None where there is nothing to compare."""
        ...


@runtime_checkable
class KnowsUntaken(Protocol):
    """A target whose reader is known well enough to tell beforehand what it will refuse."""

    def untaken(self, model: LayeredModel) -> list[str]:
        """Return, in sentences, what its reader does not take of a model around the quantized layers.

        Args:
            model: the prepared float model at the source's opset; nothing is written.
        """
        ...
