"""The line for ATC, read as a shell reads it."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from runner.targets.ascend.atc_commands import atc_command, check_command


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


@pytest.mark.parametrize(
    "name", ["input:0", "a b", "it's", 'a"b', "$HOME", "`id`", "back\\slash", "serving_default_x:0"]
)
def test_input_of_any_name_reaches_atc_as_it_is(name: str) -> None:
    line = atc_command(Path("net.onnx"), {name: (1, 4), "other": (2,)})
    # A shell's own reading: shlex leaves what double quotes keep from it.
    shell = ["sh", "-c", line.replace("atc ", "printf '%s\\n' ", 1)]
    said = subprocess.run(shell, capture_output=True, text=True, check=True, timeout=10).stdout.splitlines()
    assert f"--input_shape={name}:1,4;other:2" in said


@pytest.mark.parametrize("folder", ["/out/results", "/it's/$HOME"])
def test_line_that_only_checks_names_the_file_and_its_report(folder: str) -> None:
    line = check_command(Path(folder) / "net_deploy_model.onnx")
    assert shlex.split(line) == [
        "atc",
        "--mode=3",
        "--framework=5",
        f"--model={folder}/net_deploy_model.onnx",
        f"--check_report={folder}/net_deploy_model_check.json",
    ]
