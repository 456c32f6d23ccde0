"""Which files of a folder are dumps."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from runner.dumps.files import DumpFiles
from runner.dumps.index import Place


def test_pipes_among_dumps_are_left_alone(tmp_path: Path) -> None:
    np.save(tmp_path / "Conv2D.conv.1.2.3.output.0.npy", np.zeros(2))
    os.mkfifo(tmp_path / "Conv2D.other.1.2.3.output.0.npy")
    os.mkfifo(tmp_path / "mapping.csv")
    files = DumpFiles(tmp_path, (("conv", "Conv"), ("other", "Conv")))
    assert [file.path.name for _, file in files.of([Place("conv", "output", 0), Place("other", "output", 0)])] == [
        "Conv2D.conv.1.2.3.output.0.npy"
    ]
