"""A job on a small model that kept what flows through it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runner.calibration.minmax import MinMax
from runner.evaluation.accuracy import TopK
from runner.modes.acc_auto import acc_auto
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.result import AccAutoResult
from tests.data import Items, normal_items
from tests.models import answers, conv_gemm, save


@dataclass(frozen=True)
class KeptJob:
    """A job on ``conv_gemm``: its folder, that of its intermediate values, its result, and the items it was given."""

    job: Path
    folder: Path
    result: AccAutoResult
    x: NDArray[np.float32]

    def copied(self, to: Path) -> KeptJob:
        """Return the job in a folder of its own, to be spoilt; the result still names the first."""
        shutil.copytree(self.job, to)
        return replace(self, job=to, folder=to / self.folder.relative_to(self.job))


def kept_job(folder: Path) -> KeptJob:
    """Run the job, which keeps the values of two items."""
    source, x = conv_gemm(), normal_items(8, 2, 6, 6)
    options = AccAutoOptions(
        target_loss=100.0,
        metric=TopK(),
        observer=MinMax(),
        calibration_count=8,
        keep_intermediates=True,
        intermediates_count=2,
    )
    result = acc_auto(save(source, folder / "net.onnx"), Items(x, answers(source, x)), folder / "job", options)
    result.folder.finish()
    assert result.files.intermediates is not None
    return KeptJob(folder / "job", result.files.intermediates, result, x)
