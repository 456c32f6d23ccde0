"""AMCT's files and an evaluator class on the command line, as docs/migration.md shows them."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from tests.app.conftest import Command, Tiny


@pytest.fixture
def _evaluator(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The documented class, in the directory of the command."""
    (code,) = re.findall(
        r"```python\n(.*?)```", (root / "docs" / "migration.md").read_text(encoding="utf-8"), re.DOTALL
    )
    (tmp_path / "my_evaluator.py").write_text(code)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "my_evaluator", raising=False)


def summary(folder: Path) -> dict[str, object]:
    found = json.loads((folder / "outputs" / "acc_auto" / "summary.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


@pytest.mark.usefixtures("_evaluator")
@pytest.mark.parametrize(("allowed", "status"), [(0.9, 0), (1e-9, None)])
def test_documented_evaluator_decides(
    run: Command, tiny: Tiny, tmp_path: Path, allowed: float, status: int | None
) -> None:
    own = ["metric=amct_evaluator", "metric.evaluator=my_evaluator.Top1", f"+metric.kwargs.path={tiny.data}"]
    ended = run(*tiny.options(), *own, f"+metric.kwargs.allowed={allowed}")
    figures = summary(tmp_path)
    assert ended.status in ((status,) if status is not None else (0, 3)), ended.err
    assert figures["target_met"] is (figures["loss"] < allowed) is (ended.status == 0)
    assert figures["float_metric"] == 1.0 and "metric_eval decides" in ended.out


@pytest.mark.usefixtures("_evaluator")
def test_evaluator_that_does_not_exist_is_named(run: Command, tiny: Tiny) -> None:
    ended = run(*tiny.options(), "metric=amct_evaluator", "metric.evaluator=my_evaluator.Top2")
    assert ended.status == 2 and "error: metric.evaluator: cannot import 'my_evaluator.Top2'" in ended.err
    ended = run(*tiny.options(), "metric=amct_evaluator")
    assert ended.status == 2 and "metric.evaluator: a value is required" in ended.err


def test_written_files_start_the_next_job(run: Command, tiny: Tiny, tmp_path: Path) -> None:
    assert run(*tiny.options()).status == 0
    job = tmp_path / "outputs" / "acc_auto"
    kept = {}
    for name in ("results/net_deploy_model.onnx", "tmp/scale_offset_record.txt"):
        kept[name] = (job / name).read_bytes()
    final = job / "results" / "accuracy_based_auto_calibration_final_config.json"
    (tmp_path / "config.json").write_bytes(final.read_bytes())
    (tmp_path / "record.txt").write_bytes(kept["tmp/scale_offset_record.txt"])
    for given in ("quant_config=config.json", "record=record.txt"):
        ended = run(*tiny.options(calibration__count=None, observer=None), given)
        assert ended.status == 0, ended.err
        assert {name: (job / name).read_bytes() for name in kept} == kept
    assert "from the record; nothing was calibrated, ranked or searched" in ended.out
    assert not final.exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("quant_config=gone.json", "error: quant_config: gone.json cannot be read: No such file"),
        ("record=gone.txt", "error: record: gone.txt cannot be read: No such file"),
        ("quant_config=3", "error: quant_config: 3 cannot be read: No such file or directory."),
    ],
)
def test_file_that_is_missing_is_named(run: Command, tiny: Tiny, given: str, message: str) -> None:
    ended = run(*tiny.options(), given)
    assert ended.status == 2 and message in ended.err
