"""The line for ATC, read as a shell reads it."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from runner.report.atc import atc_command


@pytest.mark.parametrize("folder", ["/out/results", "/my models/of today", "/it's/$HOME", "out"])
def test_line_survives_a_shell_whatever_the_folder_is_called(folder: str) -> None:
    line = atc_command(Path(folder) / "net.v2_deploy_model.onnx", {"x": (1, 3, 32, 32)})
    assert shlex.split(line) == [
        "atc",
        "--framework=5",
        f"--model={folder}/net.v2_deploy_model.onnx",
        f"--output={folder}/net.v2_deploy_model",
        "--input_shape=x:1,3,32,32",
        "--soc_version=Ascend310P3",
    ]


def test_every_input_is_named_with_a_fixed_batch() -> None:
    line = atc_command(Path("net.onnx"), {"left": (1, 3, 8, 8), "right": (1, 5), "flag": (1,)})
    assert '--input_shape="left:1,3,8,8;right:1,5;flag:1"' in line


def test_scalar_is_left_out_and_a_state_has_its_whole_shape() -> None:
    line = atc_command(Path("net.onnx"), {"x": (1, 8), "rate": (), "h": (2, 1, 4)})
    assert '--input_shape="x:1,8;h:2,1,4"' in line
