"""A signal ends a run of onnxruntime that would go on for an hour."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.command import environment
from tests.models import proto, save


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM], ids=lambda ending: ending.name)
def test_model_that_loops_for_an_hour_is_interrupted(tmp_path: Path, ending: signal.Signals) -> None:
    model = proto(
        """g (float[N,4] x) => (float[N,3] y) {
            [product] h = MatMul (x, w)
            [endless] y = Loop (trips, yes, h) <body = b (int64 i, bool go, float[N,3] held) => (bool again, float[N,3] next) {
                [half] next = Mul (held, half)
                [again] again = Identity (go)
            }>
        }""",
        trips=np.array(10**9),
        yes=np.array(True),
        half=np.float32(0.5),
        w=np.ones((4, 3), np.float32),
    )
    save(model, tmp_path / "net.onnx")
    np.savez(tmp_path / "data.npz", x=np.ones((3, 4), np.float32))
    line = [
        "model=file",
        "model.path=net.onnx",
        "dataset=npz",
        "dataset.path=data.npz",
        "metric=sqnr",
        "target_loss=100",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "runner", *line, "tracking=none"],
        cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not (tmp_path / "outputs" / "acc_auto" / "events.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(1.5)  # it is in the run then, or nearly
    process.send_signal(ending)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "error: interrupted"
