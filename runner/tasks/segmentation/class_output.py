"""How a segmenter's output says the class of each pixel: scores of each class, of one class alone, or the class itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from runner.dataset.frame import Size
from runner.dataset.truth import ClassMap
from runner.errors import ConfigError
from runner.evaluation.outputs import NO_ANSWER, Outputs
from runner.tasks.segmentation.best_class import best_class

Layout = Literal["nchw", "nhwc", "map"]
LAYOUTS = ("nchw", "nhwc", "map")
EXPECTED = (
    "scores [1, classes, h, w] or [1, h, w, classes] whose h and w have the proportions of the model's input, scores of one "
    "class [1, h, w], or whole numbers [1, h, w]"
)
# Between which a score of one class is a probability, but for rounding.
_PROBABILITY = (-1e-3, 1 + 1e-3)
# What a class beyond this is called does not matter: no mask holds it.
_MOST_CLASS = 65535


@dataclass(frozen=True, slots=True)
class ClassOutput:
    """The output that holds a map, and how it is read.

    Attributes:
        output: its name; None for the only one that fits.
        layout: of scores with four axes ``nchw`` or ``nhwc``, of numbers of classes ``map``; None for what fits.
        threshold: of the only score of a pixel, above which it is of class 1; None: 0.5, of probabilities.
    """

    output: str | None = None
    layout: Layout | None = None
    threshold: float | None = None

    def __post_init__(self) -> None:
        if self.layout is not None and self.layout not in LAYOUTS:
            raise ConfigError(f"metric.layout: expected null, nchw, nhwc or map, got {self.layout}.")

    def classes(self, outputs: Outputs, size: Size) -> NDArray[np.int32]:
        """Return the class of each place of the output's own grid; ``NO_ANSWER`` where it tells none.

        Args:
            outputs: of the model, by name.
            size: (height, width) of the model's input.

        Raises:
            ConfigError: no output fits, or several do.
        """
        name, how = self._found(outputs, size)
        array = outputs[name]
        if how == "map":
            return _whole(array.reshape(_plane(array.shape)))
        scores = array[0] if array.ndim == 4 else array
        if how == "nhwc":
            scores = np.moveaxis(scores, -1, 0)
        return _above(scores[0], self._threshold) if len(scores) == 1 else best_class(scores)

    def check(self, outputs: Outputs, truth: ClassMap) -> None:
        """Refuse outputs that are no map, or tell fewer classes than a mask holds.

        Raises:
            ConfigError: says what was expected, what the outputs are, and what to set.
        """
        name, how = self._found(outputs, truth.frame.taken)
        if how == "map":
            return
        array = outputs[name]
        told = max(2, array.shape[-1 if how == "nhwc" else 1] if array.ndim == 4 else 1)
        counted = truth.classes if truth.ignore is None else truth.classes[truth.classes != truth.ignore]
        if (most := int(counted.max(initial=0))) >= told:
            raise ConfigError(
                f"metric=miou: a mask holds class {most}, but the output '{name}' {list(array.shape)}, read as {how}, tells "
                f"the classes 0 to {told - 1}. Set dataset.ignore={most} where that class does not count, metric.layout=nchw "
                "or nhwc where the output is read wrongly, or number the masks' classes as the model does."
            )
        if told == 2 and array.size and self.threshold is None and _channels(array, how) == 1:
            finite = array[np.isfinite(array)]
            if finite.size and not (finite.min() >= _PROBABILITY[0] and finite.max() <= _PROBABILITY[1]):
                raise ConfigError(
                    f"metric.threshold: expected probabilities in the output '{name}' {list(array.shape)}, got numbers from "
                    f"{finite.min():.4g} to {finite.max():.4g}. Set metric.threshold=0 for logits, or metric.layout=map where "
                    "they are numbers of classes."
                )

    @property
    def _threshold(self) -> float:
        return 0.5 if self.threshold is None else self.threshold

    def _found(self, outputs: Outputs, size: Size) -> tuple[str, Layout]:
        """Return the output that is read, and how."""
        if self.output is not None:
            if self.output not in outputs:
                raise ConfigError(f"metric.output: the model has no output '{self.output}'; it has {_told(outputs)}.")
            how = self._reading(outputs[self.output], size)
            if how is None:
                raise ConfigError(
                    f"metric.output: '{self.output}' {list(outputs[self.output].shape)} is no map of an input of "
                    f"{size[0]}x{size[1]}; expected {EXPECTED}. Set metric.layout, or name another output."
                )
            return self.output, how
        fitting = {name: how for name, array in outputs.items() if (how := self._reading(array, size)) is not None}
        if len(fitting) == 1:
            return next(iter(fitting.items()))
        if fitting:
            raise ConfigError(
                f"metric=miou: several outputs may be the map: {_told({name: outputs[name] for name in fitting})}. Name it "
                "with metric.output=NAME."
            )
        raise ConfigError(
            f"metric=miou: no output is a map of an input of {size[0]}x{size[1]}; expected {EXPECTED}, got {_told(outputs)}. "
            "Set metric.layout=nchw, nhwc or map where one is."
        )

    def _reading(self, array: NDArray[Any], size: Size) -> Layout | None:
        shape, numbers = array.shape, array.dtype.kind
        if array.ndim not in (3, 4) or shape[0] != 1 or 0 in shape or numbers not in "fiub":
            return None
        if self.layout == "map" or (self.layout is None and numbers in "iub"):
            return "map" if _plane(shape) is not None else None
        if array.ndim == 3:
            return "nchw" if _misfit(shape[1:], size) is not None else None
        if self.layout is not None:
            return self.layout
        misfits = {"nchw": _misfit(shape[2:], size), "nhwc": _misfit(shape[1:3], size)}
        return _least(misfits["nchw"], misfits["nhwc"])


def _least(nchw: float | None, nhwc: float | None) -> Layout | None:
    """Return the order of axes that fits better, ONNX's own where both do alike."""
    if nchw is None:
        return None if nhwc is None else "nhwc"
    return "nhwc" if nhwc is not None and nhwc < nchw else "nchw"


def _misfit(grid: tuple[int, ...], size: Size) -> float | None:
    """Return how far a grid is from the input's proportions; None where it is farther than rounding brings it."""
    ratios = grid[0] / size[0], grid[1] / size[1]
    away = abs(ratios[0] - ratios[1])
    return away if away <= 1 / size[0] + 1 / size[1] else None


def _plane(shape: tuple[int, ...]) -> tuple[int, int] | None:
    """Return (height, width) of a shape that has one number a place; None where it has more."""
    if len(shape) == 3:
        return shape[1], shape[2]
    if shape[1] == 1:
        return shape[2], shape[3]
    return (shape[1], shape[2]) if shape[3] == 1 else None


def _channels(array: NDArray[Any], how: Layout) -> int:
    return 1 if array.ndim == 3 else int(array.shape[-1 if how == "nhwc" else 1])


def _above(scores: NDArray[Any], threshold: float) -> NDArray[np.int32]:
    return np.where(np.isnan(scores), NO_ANSWER, scores > threshold).astype(np.int32)


def _whole(numbers: NDArray[Any]) -> NDArray[np.int32]:
    """Return numbers of classes; what is none is no answer."""
    if numbers.dtype.kind != "f":
        known = (numbers >= 0) & (numbers <= _MOST_CLASS)
        return np.where(known, numbers, NO_ANSWER).astype(np.int32)
    with np.errstate(invalid="ignore"):
        known = (numbers >= 0) & (numbers <= _MOST_CLASS)
        return np.where(known, np.rint(np.where(known, numbers, 0)), NO_ANSWER).astype(np.int32)


def _told(outputs: Outputs) -> str:
    return ", ".join(f"'{name}' {list(array.shape)}" for name, array in outputs.items())
