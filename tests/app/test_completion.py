"""The shell completes groups, options and keys: bash as it calls the function that it is given, the others by their scripts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import environment

# What is typed -> candidates that have to come, and one that must not.
TYPED = {
    "quant-runner mode=": ({"mode=acc_auto", "mode=convert_qat"}, "mode=file"),
    "quant-runner obs": ({"observer=", "observer."}, "target_loss="),
    "quant-runner observer=h": ({"observer=hfmg"}, "observer=ifmr"),
    "quant-runner mode=convert_qat on_": ({"on_asymmetric_weight="}, "target_loss="),
    "quant-runner dataset=npz dataset.pre": ({"dataset.preprocess.", "dataset.preprocess_inputs="}, "dataset.path="),
    "quant-runner +sweep=": ({"+sweep=presets", "+sweep=target_loss"}, "+sweep=digits"),
    "quant-runner verify.": ({"verify.count=", "verify.device="}, "split.report="),
}
ASK = """
eval "$(quant-runner -sc install=bash)"
complete -p quant-runner
ask() {
    COMP_LINE=$1; COMP_POINT=${#1}; read -ra COMP_WORDS <<< "$1"; COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=()
    hydra_bash_completion
    printf '%s\\n' "= $1" "${COMPREPLY[@]}"
}
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return an environment in which quant-runner is a command."""
    folder = tmp_path_factory.mktemp("bin")
    script = folder / "quant-runner"
    script.write_text(f"#!{sys.executable}\nfrom runner.app.start import console\n\nconsole()\n", encoding="utf-8")
    script.chmod(0o755)
    return environment(PATH=os.pathsep.join([str(folder), os.environ["PATH"]]))


def printed(line: list[str], cwd: Path, env: dict[str, str]) -> str:
    done = subprocess.run(line, cwd=cwd, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def candidates(installed: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Return what bash offers behind each thing that is typed."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("needs bash")
    asked = ASK + "".join(f"ask '{typed}'\n" for typed in TYPED)
    out = printed([bash, "-c", asked], tmp_path_factory.mktemp("typed"), installed)
    first, *answers = out.split("\n= ")
    assert "-F hydra_bash_completion quant-runner" in first
    return {answer.splitlines()[0]: set(answer.splitlines()[1:]) for answer in answers}


@pytest.mark.parametrize("typed", TYPED)
def test_bash_offers_what_fits(candidates: dict[str, set[str]], typed: str) -> None:
    wanted, other = TYPED[typed]
    assert wanted <= candidates[typed]
    assert other not in candidates[typed]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_given_a_script(shell: str, installed: dict[str, str], tmp_path: Path) -> None:
    out = printed(["quant-runner", "-sc", f"install={shell}"], tmp_path, installed)
    assert "quant-runner" in out and "-sc query=" in out
