"""Whose fault a fault is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runner.errors import DatasetError, ModelError
from runner.modes.unsound_model import told_of_unsound
from tests.models import conv_gemm, proto, save


def test_fault_on_a_model_that_onnxruntime_refuses_is_the_models(tmp_path: Path) -> None:
    model = proto("g (float[N,3] x) => (float[N,3] y) { y = MatMul (x, w) }", w=np.ones((4, 3), np.float32))
    path = save(model, tmp_path / "net.onnx")
    with pytest.raises(ModelError) as error, told_of_unsound(path):
        raise KeyError("what it led to")
    assert str(error.value).startswith(f"model.path: {path} is no sound model: onnxruntime cannot load the model: ")
    assert str(error.value).endswith("Export or copy it again.")
    assert isinstance(error.value.__cause__, KeyError)


@pytest.mark.parametrize("fault", [KeyError("ours"), DatasetError("told already"), KeyboardInterrupt()], ids=repr)
def test_fault_on_a_sound_model_stays_what_it_is(tmp_path: Path, fault: BaseException) -> None:
    path = save(conv_gemm(), tmp_path / "net.onnx")
    with pytest.raises(type(fault)) as error, told_of_unsound(path):
        raise fault
    assert error.value is fault
