"""``quant-compare-dump``: what it prints and how it leaves, on a job of the command line and dumps made by numpy."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from runner.app.compare_dump import console, main
from tests.app.conftest import Command, Tiny
from tests.command import environment
from tests.dumps.chip import STAMP, Chip
from tests.kept_job import KeptJob


def rescaled(value):
    return value * np.float32(1.02)


def folders(kept: KeptJob, tmp_path: Path, **change) -> list[str]:
    Chip(tmp_path / "dumps", kept.result, {name.replace("_", " "): fault for name, fault in change.items()}).run(
        kept.x[:1]
    )
    return [str(kept.folder), str(tmp_path / "dumps")]


def test_equal_dump_is_said_to_be_equal(kept: KeptJob, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(folders(kept, tmp_path)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["tensor", "node", "max", "|diff|", "cosine", "SQNR", "dB", "equal", "own", "layout"]
    assert lines[3].split() == ["ok", "first", "sums", "first", "0", "1.000000", "inf", "100.00%", "100.00%"]
    assert lines[-3:] == ["item 0 ('item 0'): 12 tensors compared", "every value is equal", "nothing parts"]


def test_first_tensor_that_parts_is_told_with_its_file(
    kept, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(folders(kept, tmp_path, second_output=rescaled)) == 4
    lines = capsys.readouterr().out.splitlines()
    assert next(line.split()[1:3] for line in lines if line.startswith("parts")) == ["second", "output"]
    assert lines[-3:] == [
        "first unequal value: second output, second.dequant, 0.00% of its values are equal",
        f"first tensor that parts: second output, second.dequant (AscendDequant.second_dequant.7.0.{STAMP}.output.0.npy)",
        "  for what the dump says that it read, 0.00% of its values are right",
    ]


def test_tolerances_decide_what_parts(kept: KeptJob, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = folders(kept, tmp_path, first_output=lambda value: value.astype(np.float16).astype(np.float32))
    for path in (tmp_path / "dumps").glob("*first_dequant*.input.*"):
        path.unlink()
    for path in (tmp_path / "dumps").glob("Conv2D.first.*.output.*"):
        path.unlink()
    assert [main([*given, *more]) for more in ([], ["--exact"], ["--sqnr", "100"], ["--sqnr", "60"])] == [0, 4, 4, 0]
    assert "first unequal value: first output" in capsys.readouterr().out


def test_what_cannot_be_compared_is_counted(kept: KeptJob, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = folders(kept, tmp_path)
    (path,) = (tmp_path / "dumps").glob("Conv2D.second.*.output.0.npy")
    np.save(path, np.zeros(7, np.int32))
    assert main(given) == 0
    lines = capsys.readouterr().out.splitlines()
    (told,) = [line for line in lines if line.startswith("-")]
    assert told.endswith("its shape is [7], expected [1, 6, 2, 2]; convert it with -f NCHW")
    assert "item 0 ('item 0'): 11 tensors compared, 1 could not be, as told above" in lines


def test_json_holds_everything(kept: KeptJob, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*folders(kept, tmp_path, second_output=rescaled), "--json"]) == 4
    told = json.loads(capsys.readouterr().out)
    assert (told["item"], told["item_name"], len(told["tensors"]), told["missing"]) == (0, "item 0", 12, [])
    assert (told["first"]["layer"], told["first"]["tensor"]) == ("second", "output")
    assert told["first"] == told["first_unequal"] == told["tensors"][7]


@pytest.mark.parametrize("given", [["nowhere", "."], [".", "nowhere"]], ids=["no job", "no job, no dumps"])
def test_what_cannot_be_read_is_one_message(
    given, tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(given) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert said.err.startswith(f"error: {given[0]}: no index.json can be read there")


def test_module_and_console_script_are_one_command(kept: KeptJob, tmp_path: Path, root: Path) -> None:
    line = [sys.executable, "-m", "runner.app.compare_dump", *folders(kept, tmp_path), "--exact"]
    ended = subprocess.run(line, env=environment(), cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
    scripts = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert scripts["quant-compare-dump"] == f"{console.__module__}:{console.__name__}"


@pytest.mark.parametrize("mode", ["acc_auto", "convert_qat"])
def test_both_modes_keep_values_and_name_the_command(mode: str, tiny: Tiny, run: Command, tmp_path: Path) -> None:
    given = tiny.options() if mode == "acc_auto" else ["mode=convert_qat", "tracking=none", "evaluation.count=4"]
    ended = run(*given, "keep_intermediates=true", "intermediates.count=2", "cache=none", "verbose=true")
    assert ended.status == 0, ended.err
    (folder,) = (tmp_path / "outputs" / mode).rglob("temp*")
    assert f"To hold a chip's dump against this run:\n  quant-compare-dump {folder} DUMPS\n" in ended.out
    shown = [line for line in ended.out.splitlines() if "/temp" in line]
    assert len(shown) == 3  # the index, the table and the command, not each value
    log = (tmp_path / "outputs" / mode / "amct_log" / "amct_onnx.log").read_text(encoding="utf-8")
    assert "keep_intermediates: " in log and " are written below amct_log" in log
    assert main([str(folder), str(folder / "item1" / "deploy"), "--item", "1", "--exact"]) == 0


def test_wrong_options_are_refused(tiny: Tiny, run: Command, tmp_path: Path) -> None:
    ended = run(*tiny.options(), "keep_intermediates=true", "intermediates.count=41")
    assert (ended.status, ended.err.count("error: ")) == (2, 1)
    assert "intermediates.count: expected 1 to 40 (the dataset's items), got 41." in ended.err
    ended = run(*tiny.options(), "keep_intermediates=perhaps")
    assert ended.status == 2
    assert "keep_intermediates: expected true or false, got 'perhaps'" in ended.err
