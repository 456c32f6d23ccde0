"""Real models: every layer in int8, the written files hold the same bits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.command import ROOT, command

pytestmark = pytest.mark.zoo
# Small ones: residual adds, depthwise layers, attention, an old opset with SAME padding, a Q/DQ source.
ACC_AUTO = ["resnet20", "kws_float", "vit_mnist", "mnist_cntk"]
CONVERT_QAT = ["kws_qdq"]


@pytest.mark.parametrize("name", [*ACC_AUTO, *CONVERT_QAT])
def test_deploy_file_executed_as_integers_is_the_fake_quant_file(zoo: Path, tmp_path: Path, name: str) -> None:
    mode = "acc_auto" if name in ACC_AUTO else "convert_qat"
    options = ["target_loss=1e6", "observer=minmax", "calibration.count=4"] if mode == "acc_auto" else []
    ended = command(
        *["--config-dir", str(ROOT / "tests" / "conf"), f"+experiment=zoo/{name}", "evaluation.count=6"],
        *[*options, "tracking=none", f"paths.output={tmp_path}"],
        cwd=ROOT,
    )
    assert ended.status == 0, ended.err
    summary = json.loads((tmp_path / mode / "summary.json").read_text(encoding="utf-8"))
    assert summary["layers_int8"] > 0
    found = summary["verify"]
    assert (found["items"], found["identical_outputs_share"], found["max_abs_diff"]) == (6, 1.0, 0.0)
    assert found["record_matches_deploy"] is True
    assert found["accumulator_max"] < 2**31
    assert summary["device_metric"]["items"] == 6
