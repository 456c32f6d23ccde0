"""``--version`` of every command."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import onnx
import onnxruntime
import pytest

from runner.app import version
from runner.app.version import asks_for_version, version_line
from tests.command import environment

MODULES = ("", ".tune", ".app.check_deploy", ".app.compare_dump", ".app.log_run", ".app.sweep.report")


@pytest.mark.parametrize("module", MODULES)
def test_every_command_prints_one_line_and_does_nothing_else(module: str, tmp_path: Path) -> None:
    line = [sys.executable, "-X", "importtime", "-m", f"runner{module}", "--version"]
    done = subprocess.run(line, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True)
    found = re.fullmatch(r"onnx-quant-runner (\S+) \(onnxruntime (\S+), onnx (\S+), Python (\S+)\)\n", done.stdout)
    assert found is not None, done.stdout
    own = metadata.version("onnx-quant-runner")
    assert found.groups() == (own, onnxruntime.__version__, onnx.__version__, platform.python_version())
    assert len(done.stdout) <= 81
    imported = {name.partition(".")[0] for name in re.findall(r"\| +(\S+)$", done.stderr, re.MULTILINE)}
    assert not imported & ({"onnxruntime", "onnx", "mlflow"} | ({"hydra", "numpy", "rich"} if not module else set()))
    assert list(tmp_path.iterdir()) == []


def test_a_checkout_that_is_not_installed_knows_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    own = metadata.version("onnx-quant-runner")
    monkeypatch.setattr(version.metadata, "version", missing)
    assert version_line().startswith(f"onnx-quant-runner {own} (onnxruntime not installed, onnx not installed, Python ")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--version"], True),
        (["mode=acc_auto", "--vers"], True),
        (["--"], False),
        (["-m", "seed=1,2"], False),
        (["--versions"], False),
        ([], False),
    ],
)
def test_version_is_asked_for_by_its_flag(arguments: list[str], expected: bool) -> None:
    assert asks_for_version(arguments) == expected
