"""Jobs to report on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from runner.calibration.minmax import MinMax
from runner.dataset.npz import NpzDataset
from runner.evaluation.distance import Mse
from runner.modes.acc_auto import acc_auto
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.result import AccAutoResult
from tests.data import normal_items
from tests.models import answers, chain, save


@pytest.fixture(scope="package")
def job(tmp_path_factory: pytest.TempPathFactory) -> dict[str, AccAutoResult]:
    """A job whose target is met, and one that misses it."""
    folder = tmp_path_factory.mktemp("report")
    model, x = chain(4), normal_items(20, 3, 4, 4)
    np.savez(folder / "data.npz", x=x, y=answers(model, x))
    path, data = save(model, folder / "net.onnx"), NpzDataset(str(folder / "data.npz"))
    options = AccAutoOptions(90, calibration_count=4, observer=MinMax())
    missed = replace(options, target_loss=0, metric=Mse())
    return {
        "met": acc_auto(path, data, folder / "met", options),
        "missed": acc_auto(path, data, folder / "missed", missed),
    }
