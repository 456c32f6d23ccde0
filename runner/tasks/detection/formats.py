"""In which order, and in what unit, a detector gives the four numbers of a box."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from runner.dataset.frame import Size
from runner.errors import ConfigError
from runner.evaluation.outputs import Outputs
from runner.tasks.detection.head import around, told

Order = Literal["xyxy", "yxyx", "xywh", "cxcywh"]
ORDERS = ("xyxy", "yxyx", "xywh", "cxcywh")
# Boxes as shares of the input may reach a little beyond it; boxes in pixels of a photo all within this are none.
_SHARES = 2.0


def that_holds_boxes(outputs: Outputs, names: Iterable[str]) -> str | None:
    """Return which of some outputs holds boxes, of a last axis of 4: the only one, or the one whose name says so; or None."""
    shaped = [name for name in names if outputs[name].ndim > 1 and outputs[name].shape[-1] == 4]
    named = [name for name in shaped if "box" in name.lower()]
    return shaped[0] if len(shaped) == 1 else named[0] if len(named) == 1 else None


def refuse_order(order: str) -> None:
    """Refuse an order that is not known.

    Raises:
        ConfigError: names those that are.
    """
    if order not in ORDERS:
        raise ConfigError(f"postprocess.order: expected {', '.join(ORDERS[:-1])} or {ORDERS[-1]}, got {order}.")


def corners_of(boxes: NDArray[np.floating], order: Order, size: Size, *, normalized: bool) -> NDArray[np.float64]:
    """Return boxes as x1, y1, x2, y2 in pixels of the input.

    Args:
        boxes: shape (n, 4).
        order: of the numbers; ``xywh`` begins with the top left corner.
        size: (height, width) of the input.
        normalized: whether they are shares of the input's width and height.
    """
    places = np.asarray(boxes, np.float64)
    if order == "yxyx":
        places = places[:, [1, 0, 3, 2]]
    elif order == "xywh":
        places = np.concatenate([places[:, :2], places[:, :2] + places[:, 2:]], axis=1)
    elif order == "cxcywh":
        places = around(places)
    return places * np.array([size[1], size[0]] * 2, np.float64) if normalized else places


def usual(numbers: NDArray[np.floating]) -> float:
    """Return what half of the numbers that are not 0 exceed: where nothing is found a head may say anything, and often 0."""
    said = numbers[numbers != 0]
    return float(np.median(said)) if len(said) else 0.0


def refuse_other_unit(
    boxes: NDArray[np.floating], outputs: Outputs, *, normalized: bool, every_place: bool = False
) -> None:
    """Refuse boxes in pixels where shares are expected, and the other way round.

    Args:
        boxes: of one item, shape (n, 4).
        outputs: that hold them, for the message.
        normalized: whether shares are expected.
        every_place: whether there is a box at places where nothing was found too: some of those lie far outside of the photo,
            so that half of the numbers tell, and not the largest.

    Raises:
        ConfigError: says what to set.
    """
    finite = np.abs(boxes[np.isfinite(boxes)])
    if not len(finite) or not finite.max():
        return
    telling = usual(finite) if every_place else float(finite.max())
    if (telling <= _SHARES) != normalized:
        raise ConfigError(
            f"postprocess.normalized: expected boxes {'as shares of the input' if normalized else 'in pixels'}, as normalized="
            f"{str(normalized).lower()} has it, got numbers up to {finite.max():.4g} in {told(outputs)}. Set "
            f"postprocess.normalized={str(not normalized).lower()}."
        )
