"""The commands of docs/howto/tuning.md as they stand there, with fewer trials, and the shipped searches."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from runner.app.places import shipped
from runner.report.objective import OBJECTIVES
from tests.app.conftest import Tiny
from tests.command import ROOT, command
from tests.tune.conftest import Command, study

pytest.importorskip("optuna", reason="needs the extra 'tune'")
PAGE = (ROOT / "docs" / "howto" / "tuning.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(found.replace("\\\n", " "))[2:]
    for found in re.findall(r"^(python -m (?:.*\\\n)*.*)$", PAGE, re.MULTILINE)
]
SHIPPED = sorted(path.stem for path in Path(shipped("conf"), "hparams_search").glob("*.yaml"))


def test_commands_of_the_page_run(tmp_path: Path) -> None:
    searches = [arguments for module, *arguments in COMMANDS if module == "runner.tune"]
    assert len(searches) == 2
    for arguments in searches:
        ended = study(tmp_path, *(one for one in arguments if "trials" not in one), "tune.trials=1", "tracking=none")
        assert ended.status == 0, ended.err
        assert "1 settings tried" in ended.out
    ((_, *best),) = (one for one in COMMANDS if one[0] == "runner")
    assert command(*best, cwd=tmp_path).status == 0
    found = json.loads((tmp_path / "outputs/tune/digits/tune.json").read_text())["best"][0]
    summary = json.loads((tmp_path / "outputs/acc_auto/summary.json").read_text())
    assert summary["kl"] == found["values"]["kl"]
    folder = tmp_path / "outputs" / "tune" / "digits"
    for name in re.findall(r"^\| `([^|]*)` \|", PAGE.split("## What it leaves")[1], re.MULTILINE):
        for one in name.split("`, `"):
            place = folder / one.replace("0007", "0000")
            assert place.exists() or one == "front.svg", one


def test_page_lists_the_objectives() -> None:
    table = PAGE.split("## Which figure to make small")[1].split("## What it leaves")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(OBJECTIVES)


def test_page_names_the_shipped_searches() -> None:
    assert all(f"`{name}`" in PAGE or f"hparams_search={name}" in PAGE for name in SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_search_is_taken_by_the_schema(
    name: str, refused: Command, monkeypatch: pytest.MonkeyPatch, tiny: Tiny
) -> None:
    class Stopped(Exception):
        """Instead of the first trial."""

    def stop(*_: object, **__: object) -> None:
        raise Stopped

    monkeypatch.setattr("runner.tune.run_study.run_trials", stop)
    text = Path(shipped("conf"), "hparams_search", f"{name}.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text)["tune"]["study"] == name
    with pytest.raises(Stopped):
        refused(f"+hparams_search={name}", "tracking=none")


def test_only_digits_and_a_model_of_ones_own_are_needed(tiny: Tiny, tmp_path: Path) -> None:
    given = tiny.options(**{"observer": None, "calibration.count": None, "quant": None})
    small = ["tune.trials=2", "tune.space.calibration.count=[4,8]", "tune.jobs=2"]
    ended = study(tmp_path, "+hparams_search=observers", *given, *small)
    assert ended.status == 0, ended.err
    ended = command("--config-dir", "outputs/tune/observers", "+tuned=best", cwd=tmp_path)
    assert ended.status == 0, ended.err
    found = json.loads((tmp_path / "outputs/tune/observers/tune.json").read_text())["best"][0]
    summary = json.loads((tmp_path / "outputs/acc_auto/summary.json").read_text())
    assert -summary["sqnr_db"] == found["values"]["noise"]
