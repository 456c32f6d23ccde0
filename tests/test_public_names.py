"""What ``from runner import …`` offers, and that asking for it costs nothing until it is used."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import runner
from tests.command import environment

NAMES = [
    "AccAutoOptions",
    "Agreement",
    "AmctEvaluator",
    "ArrayPreprocess",
    "BinBatches",
    "Binary",
    "Boxes",
    "CharacterErrors",
    "ClassMap",
    "ClassTree",
    "CocoDataset",
    "ConvertQatOptions",
    "Correction",
    "Cosine",
    "CosineSimilarity",
    "Detections",
    "DumpTolerance",
    "EndToEnd",
    "Engine",
    "Expectation",
    "Greedy",
    "Hfmg",
    "Ifmr",
    "ImageFolder",
    "ImagePreprocess",
    "InputSettings",
    "Kl",
    "LayerRule",
    "LayerSettings",
    "Letterbox",
    "Linear",
    "MasksDataset",
    "MeanAbsoluteError",
    "MeanAveragePrecision",
    "MeanIou",
    "MeanSquaredError",
    "MinMax",
    "Mse",
    "NmsInside",
    "NpyDataset",
    "NpzDataset",
    "Pareto",
    "ParquetDataset",
    "Percentile",
    "Retrieval",
    "RunnerError",
    "SignalToNoise",
    "Split",
    "Sqnr",
    "Ssd",
    "TensorRule",
    "TextLines",
    "TopK",
    "YoloDataset",
    "Yolov5",
    "Yolov8",
    "Yolox",
    "acc_auto",
    "check_deploy",
    "compare_dump",
    "convert_qat",
    "read_record",
]
HEAVY = {"onnx", "onnx_ir", "onnxruntime", "hydra", "omegaconf", "mlflow", "numpy", "PIL", "rich", "pyarrow"}


def test_public_names_are_these() -> None:
    assert runner.__all__ == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_public_name_is_the_object_of_its_home(name: str) -> None:
    module = importlib.import_module(runner._HOMES[name])
    assert getattr(runner, name) is getattr(module, name)
    assert getattr(runner, name).__doc__


def test_names_for_type_checkers_are_the_same_as_those_at_run_time() -> None:
    tree = ast.parse(Path(runner.__file__).read_text(encoding="utf-8"))
    homes = {
        alias.name: node.module
        for block in ast.walk(tree)
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert homes == runner._HOMES
    assert sorted(homes) == NAMES


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'runner' has no attribute 'acc_manual'"):
        runner.acc_manual  # noqa: B018 - the access is the test


def imported(statement: str, cwd: Path) -> set[str]:
    """Return the top-level modules that a statement imports in a fresh process."""
    code = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    line = [sys.executable, "-c", code]
    return set(
        subprocess.run(line, cwd=cwd, env=environment(), capture_output=True, text=True, check=True).stdout.split()
    )


def test_importing_the_package_imports_nothing_heavy(tmp_path: Path) -> None:
    assert imported("import runner", tmp_path) & HEAVY == set()


def test_library_needs_neither_hydra_nor_mlflow(tmp_path: Path) -> None:
    modules = imported("from runner import *", tmp_path)
    assert {"onnxruntime", "numpy"} <= modules
    assert modules & {"hydra", "omegaconf", "mlflow", "rich", "pyarrow"} == set()
