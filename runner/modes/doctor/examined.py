"""What is known of a job while it is looked at: each check may rely on what those before it found out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar, overload

from numpy.typing import NDArray

from runner.dataset.item import Dataset
from runner.dataset.preprocess import ImagePreprocess
from runner.engine import Engine
from runner.evaluation.amct_evaluator import AmctEvaluator
from runner.evaluation.metric import Metric
from runner.evaluation.scorer import Scorer
from runner.graph.layers import LayeredModel
from runner.graph.model_file import SourceModel
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.convert_qat_options import ConvertQatOptions
from runner.modes.data import DataSplit
from runner.modes.files.given_files import GivenFiles
from runner.modes.input_values import InputsSeen
from runner.modes.prepared_model import PreparedModel
from runner.session import Session
from runner.targets.target import Target

T = TypeVar("T")


class NotKnown(Exception):  # noqa: N818 - no error of anybody's
    """A check relies on what no check before it could find out."""


class Part(Generic[T]):
    """Something that becomes known; asked for before, it says what is missing."""

    def __init__(self, said: str) -> None:
        self._said = said

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = f"_{name}"

    @overload
    def __get__(self, case: None, owner: type) -> Part[T]: ...
    @overload
    def __get__(self, case: object, owner: type) -> T: ...
    def __get__(self, case: object | None, owner: type) -> T | Part[T]:
        if case is None:
            return self
        if self._name not in case.__dict__:
            raise NotKnown(self._said)
        known: T = case.__dict__[self._name]
        return known

    def __set__(self, case: object, value: T) -> None:
        case.__dict__[self._name] = value


class Examined:
    """A job that is looked at."""

    mode: Part[str] = Part("a mode")
    path: Part[str] = Part("the model's path")
    name: Part[str] = Part("the model's path")
    target: Part[Target] = Part("the target")
    dataset: Part[Dataset] = Part("the data")
    calibration: Part[Dataset | None] = Part("the data")
    metric: Part[Metric | AmctEvaluator] = Part("the metric")
    options: Part[AccAutoOptions | ConvertQatOptions] = Part("sound options")
    source: Part[SourceModel] = Part("a model that can be read")
    session: Part[Session] = Part("a model that onnxruntime takes")
    layers: Part[LayeredModel] = Part("a model with layers")
    given: Part[GivenFiles] = Part("layers as the options have them")
    prepared: Part[PreparedModel] = Part("layers as the options have them")
    split: Part[DataSplit] = Part("data that fits the model")
    outputs: Part[Mapping[str, NDArray[Any]]] = Part("an item that the model takes")
    labels: Part[str] = Part("labels that fit the model")
    seen: Part[InputsSeen] = Part("data that fits the model")
    scorer: Part[Scorer] = Part("figures of the float model")
    seconds: Part[float] = Part("items that the model takes")

    def __init__(self, engine: Engine, presets: Mapping[str, ImagePreprocess]) -> None:
        self.engine = engine
        # Ways to preprocess photos that people use, by their names in the configuration.
        self.presets = presets

    @property
    def acc_auto(self) -> AccAutoOptions:
        """The options of ``mode=acc_auto``.

        Raises:
            NotKnown: the mode is another.
        """
        if not isinstance(self.options, AccAutoOptions):
            raise NotKnown("mode=acc_auto")
        return self.options
