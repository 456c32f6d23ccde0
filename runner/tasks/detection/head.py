"""The output of a detector that holds its boxes: which it is, its shape, and what to say where it is another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner.errors import ConfigError
from runner.evaluation.outputs import Outputs

# Input pixels a place of the grids that YOLO's families answer on.
STRIDES = (8, 16, 32)
# The same, and as their variants for smaller and for larger things have them.
GRIDS = (STRIDES, (4, 8, 16, 32), (8, 16, 32, 64))
# Boxes of the highest score that NMS looks at, as in ultralytics' non_max_suppression.
CANDIDATES = 30_000


def told(outputs: Outputs) -> str:
    """Return outputs for a message: their names and shapes."""
    return ", ".join(f"'{name}' {list(np.shape(array))}" for name, array in outputs.items())


def only_output(outputs: Outputs, name: str | None, family: str, shape: str) -> NDArray[Any]:
    """Return the named output, or the only one, of shape [1, a, b], without its first axis.

    Args:
        outputs: of the model.
        name: of the output; None for the only one.
        family: what the postprocess reads, for messages.
        shape: that is expected, for messages.

    Raises:
        ConfigError: there is no such output, there are several, or it has another number of axes.
    """
    if name is not None and name not in outputs:
        raise ConfigError(f"postprocess.output: the model has no output '{name}'; it has {told(outputs)}.")
    if name is None and len(outputs) != 1:
        raise ConfigError(
            f"postprocess: {family} reads one output, {shape}; the model has {len(outputs)}: {told(outputs)}. "
            "Name it with postprocess.output=NAME, or choose another postprocess."
        )
    array = outputs[next(iter(outputs)) if name is None else name]
    if array.ndim != 3 or array.shape[0] != 1:
        raise ConfigError(
            f"postprocess: {family} reads an output {shape}; got {told(outputs)}. Choose another postprocess, or "
            "name the output with postprocess.output=NAME."
        )
    return np.asarray(array[0])


def grid_places(size: Sequence[int], strides: Sequence[int] = STRIDES) -> int:
    """Return how many places grids of some strides have over an input of (height, width)."""
    return sum((size[0] // stride) * (size[1] // stride) for stride in strides)


def refuse_thresholds(score: float, iou: float, most: int) -> None:
    """Refuse options that no postprocess takes.

    Raises:
        ConfigError: ``score`` or ``iou`` is not in 0..1, or ``most`` is less than 1.
    """
    for key, value in (("score", score), ("iou", iou)):
        if not 0 <= value <= 1:
            raise ConfigError(f"postprocess.{key}: expected 0 to 1, got {value}.")
    if most < 1:
        raise ConfigError(f"postprocess.most: expected 1 or more, got {most}.")


def scored(
    scores: NDArray[np.floating], above: float, *, multi_label: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the place and the class of every score above a threshold.

    Args:
        scores: shape (places, classes); what is no number is above nothing.
        above: the threshold.
        multi_label: every class of a place; else its likeliest, of a place whose scores are all numbers.
    """
    if multi_label:
        places, classes = np.nonzero(scores > above)
        return places, classes
    classes = np.argmax(scores, axis=1) if len(scores) else np.empty(0, np.int64)
    places = np.flatnonzero(scores[np.arange(len(scores)), classes] > above)
    return places, classes[places]


def around(centres: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return boxes [n, (centre x, centre y, width, height)] as x1, y1, x2, y2."""
    places = np.asarray(centres, np.float64)
    half = places[:, 2:4] / 2
    return np.concatenate([places[:, :2] - half, places[:, :2] + half], axis=1)
