"""A job on a small model that kept what flows through it."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from runner.calibration.minmax import MinMax
from runner.evaluation.accuracy import TopK
from runner.modes.acc_auto import acc_auto
from runner.modes.acc_auto_options import AccAutoOptions
from tests.small_data import Items, answers, conv_gemm, normal_items, save


@pytest.fixture(scope="session")
def _kept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept")
    source, x = conv_gemm(), normal_items(8, 2, 6, 6)
    options = AccAutoOptions(
        target_loss=100.0, metric=TopK(), observer=MinMax(), calibration_count=8, keep_intermediates=True, intermediates_count=2
    )  # fmt: skip
    result = acc_auto(save(source, folder / "net.onnx"), Items(x, answers(source, x)), folder / "job", options)
    result.folder.finish()
    return SimpleNamespace(job=folder / "job", result=result, x=x)


@pytest.fixture
def kept(_kept, tmp_path: Path):
    """Return the job: ``folder`` of its intermediate values in a copy that may be spoilt, ``result``, items ``x``."""
    shutil.copytree(_kept.job, tmp_path / "job")
    folder = tmp_path / "job" / _kept.result.intermediates.relative_to(_kept.job)
    return SimpleNamespace(folder=folder, result=_kept.result, x=_kept.x, job=tmp_path / "job")
