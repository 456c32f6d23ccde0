"""Loops that never end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runner.errors import ModelError
from runner.graph.model_file import load_model
from tests.models import proto, save

LOOP = """g (float[N,3] x, bool from_outside) => (float[N,3] y) {
    true = Constant <value = bool {1}> ()
    [loop] y = Loop (STEPS, BEGINS, x) <body = b (int64 i, bool go, float[N,3] held) => (bool again, float[N,3] next) {
        next = Mul (held, half)
        again = GOES
    }>
}"""


def model(steps: str = "", begins: str = "yes", goes: str = "Identity (go)", count: int = 2**62):
    text = LOOP.replace("STEPS", steps).replace("BEGINS", begins).replace("GOES", goes)
    return proto(text, count=np.array(count), yes=np.array(True), no=np.array(False), half=np.float32(0.5))


@pytest.mark.parametrize(
    "endless",
    [{}, {"begins": ""}, {"steps": "count"}, {"goes": "Identity (yes)"}, {"steps": "count", "goes": "Identity (true)"}],
    ids=str,
)
def test_loop_whose_condition_stays_true_is_refused(tmp_path: Path, endless: dict[str, str]) -> None:
    path = save(model(**endless), tmp_path / "net.onnx")
    with pytest.raises(ModelError, match=r"net\.onnx: the Loop 'loop' never ends: .* Is the model damaged"):
        load_model(path)


@pytest.mark.parametrize(
    "ends",
    [
        {"steps": "count", "count": 10**6},
        {"begins": "no"},
        {"begins": "from_outside"},
        {"goes": "Less (i, count)", "count": 3},
        {"goes": "Identity (no)"},
        {"goes": "Identity (from_outside)"},
    ],
    ids=str,
)
def test_loop_that_may_end_is_read(tmp_path: Path, ends: dict) -> None:
    assert load_model(save(model(**ends), tmp_path / "net.onnx")).graph.graph.num_nodes() == 2
