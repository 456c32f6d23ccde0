"""``quant-check-deploy``: what it prints and how it leaves."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from runner.app.check_deploy import console, main
from tests.amct_style import amct_model
from tests.command import environment


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "net_deploy_model.onnx"


def test_clean_file_is_said_to_be_clean(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_bytes(amct_model().SerializeToString())
    assert main([str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: 0 finding(s) that ATC would refuse or misread, 0 warning(s)\n"


def test_warnings_alone_are_told_and_are_no_failure(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deployed = amct_model()
    deployed.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"
    path.write_bytes(deployed.SerializeToString())
    assert main([str(path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "warning: x: expected fixed sizes, or atc --input_shape to fix them, got [N, 3, 4, 4]",
        f"{path}: 0 finding(s) that ATC would refuse or misread, 1 warning(s)",
    ]


@pytest.mark.parametrize("severity", ["fault", "unsupported"])
def test_what_atc_refuses_is_a_failed_check(severity: str, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deployed = amct_model()
    if severity == "fault":
        deployed.graph.node[0].attribute[1].f = 999
    else:
        deployed.opset_import[0].version = 19
    path.write_bytes(deployed.SerializeToString())
    assert main([str(path)]) == 4
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{severity}: ")
    assert last.endswith(": 1 finding(s) that ATC would refuse or misread, 0 warning(s)")


def test_file_that_cannot_be_read_is_wrong_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "gone.onnx")]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert said.err.startswith(f"error: {tmp_path}/gone.onnx does not exist; expected a deploy model")


def test_module_and_console_script_are_one_command(path: Path, root: Path) -> None:
    path.write_bytes(amct_model().SerializeToString())
    line = [sys.executable, "-m", "runner.app.check_deploy", str(path)]
    ended = subprocess.run(line, env=environment(), cwd=path.parent, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
    scripts = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert scripts["quant-check-deploy"] == f"{console.__module__}:{console.__name__}"
