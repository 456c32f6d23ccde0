"""Other ways to preprocess photos, tried on the same items: the one that gives clearly more is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from runner.dataset.geometry import Letterbox
from runner.dataset.input_settings import beneath
from runner.dataset.item import Dataset
from runner.dataset.photos import Photos
from runner.dataset.preprocess import Channels, ImagePreprocess
from runner.errors import RunnerError
from runner.evaluation.accuracy import PERCENTAGE_POINTS
from runner.evaluation.scorer import Scorer
from runner.modes.doctor.examined import Examined
from runner.modes.expectation import at_least
from runner.session import input_specs

# What a figure has to gain, in percentage points, and how likely its gain may be by chance.
_POINTS, _LIKELY = 5.0, 0.005
_VALUES = ("channels", "channel_order", "scale", "mean", "std")
_PLACE = ("resize", "crop", "letterbox", "interpolation", "rounding", "exif")


@dataclass(frozen=True, slots=True)
class Better:
    """Preprocessing that gives more.

    Attributes:
        typed: the options that choose it.
        figure: of the float model with it.
    """

    typed: str
    figure: float

    @property
    def said(self) -> str:
        """The options and the figure."""
        return f"{self.figure:.4g} with {self.typed}"


def better(case: Examined, scorer: Scorer, score: Callable[[Dataset], Scorer]) -> Better | None:
    """Return the preprocessing that gives a clearly better figure than the job's, if one does.

    Args:
        case: has the data and the presets.
        scorer: of the float model over some items, as the job has them.
        score: the same with other data.
    """
    dataset = beneath(case.dataset)
    if not isinstance(dataset, Photos) or scorer.metrics[0].unit != PERCENTAGE_POINTS:
        return None
    best, most = None, 0.0
    for typed, preprocess in candidates(dataset.preprocess, case):
        try:
            changed = dataset.preprocessed(preprocess)
            changed.fit_to(input_specs(case.source.graph))
            other = score(changed)
        except RunnerError:
            continue  # it does not fit the model
        gain = _gain(scorer, other)
        if gain > most and _clearly(gain, scorer, other):
            best, most = Better(typed, other.float_figure), gain
    return best


def candidates(now: ImagePreprocess, case: Examined) -> Iterator[tuple[str, ImagePreprocess]]:
    """Yield the options and the preprocessing: each preset's values on photos as they are cut now, and channels swapped."""
    seen = [_signature(now)]
    if now.order in ("rgb", "bgr"):
        other: Channels = "bgr" if now.order == "rgb" else "rgb"
        swapped = replace(now, channels=other, channel_order=None)
        seen.append(_signature(swapped))
        yield f"dataset.preprocess.channels={other}", swapped
    for name, preset in case.presets.items():
        values = {key: getattr(preset, key) for key in _VALUES}
        own = replace(now, **values, layout=now.layout)
        whole = replace(preset, layout=now.layout)
        for one in (own, whole):
            if _signature(one) not in seen:
                seen.append(_signature(one))
                yield _typed(name, preset, one), one


def _signature(preprocess: ImagePreprocess) -> str:
    return repr(preprocess.settings())


def _typed(name: str, preset: ImagePreprocess, wanted: ImagePreprocess) -> str:
    differing = [key for key in _PLACE if getattr(wanted, key) != getattr(preset, key)]
    return " ".join(
        [
            f"dataset/preprocess={name}",
            *(f"dataset.preprocess.{key}={_value(getattr(wanted, key))}" for key in differing),
        ]
    )


def _value(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, list):
        return f"[{','.join(map(str, value))}]"
    if isinstance(value, Letterbox):
        return f"{{{','.join(f'{key}:{_value(one)}' for key, one in asdict(value).items())}}}"
    return str(value)


def _rows(scorer: Scorer) -> NDArray[np.float64]:
    return scorer.float_scores.scores[scorer.metrics[0].name]


def _gain(before: Scorer, after: Scorer) -> float:
    """Return how much better a figure is than another, whether large ones are good or bad."""
    return -before.metrics[0].loss(_rows(before), _rows(after))


def _clearly(gain: float, before: Scorer, after: Scorer) -> bool:
    """Return whether a gain is more than chance gives, item by item where items are hits or misses."""
    if gain < _POINTS:
        return False
    old, new = _rows(before), _rows(after)
    if old.shape != new.shape or old.shape[1:] != (1,) or not np.isin(old, (0.0, 1.0)).all():
        smaller, larger = sorted((before.float_figure, after.float_figure))
        return larger >= 2 * smaller
    gained, lost = int(np.sum(new > old)), int(np.sum(new < old))
    return at_least(gained, gained + lost, 0.5) <= _LIKELY
