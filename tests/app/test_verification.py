"""A fault of ours that verification finds: exit status 4, the layer's name, and no result."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from runner.job_folder import read_manifest
from runner.verify import sums
from tests.app.conftest import Command, Tiny


def test_difference_ends_the_job_with_status_4_and_names_the_layer(
    run: Command, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    padded = sums.padded
    monkeypatch.setattr(sums, "padded", lambda b, x, view, fill, prefix, **more: padded(b, x, view, np.int8(0), prefix))
    ended = run(*tiny.options(paths__output=tmp_path))
    assert ended.status == 4
    assert "They part at the layer 'first': " in ended.err
    assert read_manifest(tmp_path / "acc_auto") == {}


def test_summary_has_the_figures_of_both_modes_options(run: Command, tiny: Tiny, tmp_path: Path) -> None:
    options = tiny.options(paths__output=tmp_path, verify__count=3, verify__device="fp16")
    ended = run(*options, "verbose=true")
    assert ended.status == 0, ended.err
    summary = json.loads((tmp_path / "acc_auto" / "summary.json").read_text(encoding="utf-8"))
    assert (summary["verify"]["items"], summary["verify"]["identical_outputs_share"]) == (3, 1.0)
    assert summary["device_metric"]["precision"] == "fp16"
    assert "gives the fake-quant file's bits for 3 of 3 items" in " ".join(ended.out.split())
    short = run(*options).out
    assert re.search(r"^proof +the deploy file gives the bits that were measured: 3 of 3 items$", short, re.MULTILINE)
    assert re.search(r"^on a chip .* with scales of 19 bits and float16 \(simulated, 40 items\)$", short, re.MULTILINE)


def test_unknown_device_is_refused(run: Command, tiny: Tiny, tmp_path: Path) -> None:
    ended = run(*tiny.options(paths__output=tmp_path, verify__device="fp8"))
    assert ended.status == 2
    assert "verify.device: expected fp32 or s19 or fp16 or none or null, got 'fp8'" in ended.err
