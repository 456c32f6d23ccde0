"""What lies in the directory of a command is data: a module there is not run unless the configuration names it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import environment

# Names of libraries, and of modules of Python's own, that data folders have files of.
NAMES = (
    *(
        "numpy",
        "json",
        "csv",
        "onnx",
        "yaml",
        "hydra",
        "omegaconf",
        "onnxruntime",
        "rich",
        "filelock",
        "pyarrow",
        "PIL",
    ),
    *("typing", "dataclasses", "logging", "pathlib", "queue", "onnx_ir", "google", "random", "statistics", "tokenize"),
    *("code", "string", "copy", "__future__"),
)
COMMANDS = (
    ("runner", "--help"),
    ("runner", "seed=x"),
    ("runner", "mode=convert_qat", "tracking=none", "evaluation.count=20", "verify.count=2"),
    ("runner.app.check_deploy", "gone.onnx"),
    ("runner.app.compare_dump", "gone", "gone"),
    ("runner.app.log_run", "gone"),
    ("runner.app.sweep.report", "gone"),
    ("runner.tune", "tune.space={seed:[1,2]}", "seed=x"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of data whose files are called like libraries, and say so where they are run."""
    place = tmp_path_factory.mktemp("data")
    for name in NAMES:
        (place / f"{name}.py").write_text(f"raise SystemExit('RUN: {name}')\n", encoding="utf-8")
    (place / "hydra_plugins" / "own").mkdir(parents=True)
    (place / "hydra_plugins" / "own" / "__init__.py").write_text(
        "raise SystemExit('RUN: a plugin')\n", encoding="utf-8"
    )
    return place


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: " ".join(arguments[:2]))
def test_module_in_the_directory_of_the_command_is_not_run(folder: Path, arguments: tuple[str, ...]) -> None:
    line = [sys.executable, "-m", *arguments]
    done = subprocess.run(line, cwd=folder, env=environment(), capture_output=True, text=True, timeout=60)
    assert "RUN:" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout + done.stderr


def test_directory_is_left_for_python_itself_where_another_module_runs(folder: Path) -> None:
    """The test could see a module that is run: without the package, Python looks there first."""
    line = [sys.executable, "-m", "json.tool"]
    done = subprocess.run(line, cwd=folder, env=environment(), capture_output=True, text=True, timeout=60)
    assert "RUN: json" in done.stderr
