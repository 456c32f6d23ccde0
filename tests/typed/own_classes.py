"""A user's own code, for mypy alone: `.ci/run` checks it strictly against the installed package and its types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner import AccAutoOptions, Ifmr, ImageFolder, ImagePreprocess, MinMax, acc_auto
from runner.calibration.observer import Observer, TensorStatistic


@dataclass(frozen=True)
class Wider:
    """The range that was seen, which AMCT's configuration calls IFMR."""

    asymmetric: bool = True
    passes: int = 1

    def start(self, items: int) -> TensorStatistic:
        return MinMax(self.asymmetric).start(items)

    def amct_params(self) -> dict[str, Any]:
        return Ifmr(asymmetric=self.asymmetric).amct_params()


def largest(x: NDArray[np.float32]) -> float:
    return float(x.max())


def quantize() -> str:
    observer: Observer = Wider()
    photos = ImageFolder("photos", "photos/image_label.txt", ImagePreprocess(crop=224))
    result = acc_auto("net.onnx", photos, "outputs/net", AccAutoOptions(target_loss=0.2, observer=observer))
    acc_auto(3, photos, "outputs/net", AccAutoOptions(target_loss=0.2))  # type: ignore[arg-type]
    return result.status
