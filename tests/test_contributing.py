"""What CONTRIBUTING.md says of the code, held against it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from runner.graph.operators import OPERATORS
from tests.command import ROOT

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
RUNNER = ROOT / "runner"
# Exact rewritings that are of one operator by nature, AMCT's own lists of types, and the readers that know files alone.
OWN_BUSINESS = {
    "amct_config/layer_names.py",
    "convert/qdq/activations/limits.py",
    "convert/qdq/layers/source.py",
    "convert/qdq/materialize.py",
    "correction/patches.py",
    "dumps/compare.py",
    "dumps/own.py",
    "graph/batch_weight.py",
    "graph/batchnorm_before.py",
    "graph/einsum_products.py",
    "graph/older_form.py",
    "graph/pixel_codes.py",
    "graph/plain_gemm.py",
    "targets/ascend/intermediates.py",
}


def named_files(text: str) -> set[str]:
    """Return the Python, JSON and YAML files that a text names."""
    return set(re.findall(r"`([\w/]+\.(?:py|json|yaml|toml|md))`", text))


def strings_of(path: Path) -> set[str]:
    """Return the texts in a module's code, docstrings apart."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


@pytest.mark.parametrize("name", sorted(named_files(PAGE)))
def test_every_file_that_is_named_exists(name: str) -> None:
    beside = [path for path in RUNNER.rglob(Path(name).name) if path.as_posix().endswith(f"/{name}")]
    assert (ROOT / name).is_file() or beside, f"CONTRIBUTING.md names {name}"


@pytest.mark.parametrize("folder", sorted({path.name for path in RUNNER.iterdir() if (path / "__init__.py").is_file()}))
def test_every_package_has_its_line_among_the_floors(folder: str) -> None:
    assert f"| `{folder}/` |" in PAGE


@pytest.mark.parametrize("op_type", sorted(OPERATORS))
def test_a_layer_type_is_known_by_name_only_where_the_page_says(op_type: str) -> None:
    told = re.search(r"\* \*\*Another layer type\*\*:(.*?)\n\* ", PAGE, re.S)
    assert told is not None
    allowed = named_files(told[1]) | OWN_BUSINESS
    knowing = {path.relative_to(RUNNER).as_posix() for path in RUNNER.rglob("*.py") if op_type in strings_of(path)}
    beyond = {
        name
        for name in knowing - allowed
        if not name.startswith(("graph/operators/", "lint/", "verify/", "targets/qdq/"))
    }
    assert not beyond


def test_targets_are_known_by_name_only_where_a_default_is_needed() -> None:
    ours = {path.name for path in (RUNNER / "targets").iterdir() if (path / "__init__.py").is_file()}
    knowing = {
        path.relative_to(RUNNER).as_posix()
        for path in RUNNER.rglob("*.py")
        if any(f"runner.targets.{name}" in path.read_text(encoding="utf-8") for name in ours)
    }
    outside = {name for name in knowing if not name.startswith("targets/")}
    defaults = {
        "app/options.py",
        "modes/acc_auto_options.py",
        "modes/convert_qat_options.py",
        "modes/prepared_model.py",
    }
    assert outside - defaults <= {"modes/result.py", "modes/stage_table.py", "__init__.py", "app/compare_dump.py"}


def test_sessions_that_data_goes_through_are_made_by_the_engine() -> None:
    making = {
        path.relative_to(RUNNER).as_posix()
        for path in RUNNER.rglob("*.py")
        if re.search(r"(?<![\w.])(?:Session|InferenceSession)\(", path.read_text(encoding="utf-8"))
    }
    # They run no model on data: probes of this machine, constants, and what onnxruntime makes of a file.
    probes = {"integer_kernels.py", "convert/qdq/constants/folding.py", "targets/qdq/saturation.py"}
    probes |= {"targets/qdq/check.py", "targets/qdq/kernels.py", "dumps/own.py", "modes/unsound_model.py"}
    assert making - probes == {"engine.py"}


def test_the_main_function_is_read_without_scrolling() -> None:
    tree = ast.parse((RUNNER / "modes" / "acc_auto.py").read_text(encoding="utf-8"))
    (main,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "_quantized")
    first = main.body[0]
    assert main.end_lineno is not None and main.end_lineno - first.lineno < 40
    branches = [node for node in ast.walk(main) if isinstance(node, ast.If | ast.For | ast.While | ast.Try)]
    assert not branches


def test_no_file_is_excused_that_knows_no_layer_type() -> None:
    assert {name for name in OWN_BUSINESS if not strings_of(RUNNER / name) & set(OPERATORS)} == set()
