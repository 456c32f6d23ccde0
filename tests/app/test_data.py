"""Kinds of data from the command line: the same items give the same result, whatever file they come from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.app.conftest import Command, Tiny
from tests.command import Ended, command
from tests.models import onnx_text, save

# docs/howto/extend-dataset.md shows this class.
OWN = '''
import hashlib

import numpy as np

from runner.dataset.item import ONLY_INPUT, Item


class Waves:
    """Sine waves of rising frequency, shape (2, 6, 6); the class is the frequency modulo 5."""

    def __init__(self, count: int, phase: float = 0.0) -> None:
        self.count, self.phase = count, phase

    def __len__(self) -> int:
        return self.count

    def item(self, index: int) -> Item:
        wave = np.sin(np.arange(72, dtype=np.float32) * (index + 1) / 10 + self.phase)
        return Item({ONLY_INPUT: wave.reshape(2, 6, 6)}, self.label(index))

    def label(self, index: int) -> int:
        return index % 5

    def name(self, index: int) -> str:
        return f"wave {index}"

    def fingerprint(self, index: int) -> str:
        return hashlib.sha256(self.item(index).arrays[ONLY_INPUT].tobytes()).hexdigest()

    def describe(self) -> str:
        return "waves"
'''
YAML = "_target_: my_data.Waves\ncount: 30\nphase: 0.0\n"


def summary(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / "outputs" / "acc_auto" / "summary.json").read_text(encoding="utf-8"))
    return read


def own_class(folder: Path) -> None:
    (folder / "conf" / "dataset").mkdir(parents=True)
    (folder / "conf" / "dataset" / "waves.yaml").write_text(YAML, encoding="utf-8")
    (folder / "my_data.py").write_text(OWN, encoding="utf-8")


def waves(folder: Path, tiny: Tiny, *more: str) -> Ended:
    line = tiny.options(dataset="waves", dataset__path=None, target_loss=100)
    return command("--config-dir", "conf", *line, *more, cwd=folder)


def test_own_dataset_in_the_directory_of_the_command_is_used(tmp_path: Path, tiny: Tiny) -> None:
    own_class(tmp_path)
    ended = waves(tmp_path, tiny, "dataset.count=20")
    assert ended.status == 0, ended.err
    assert (summary(tmp_path)["dataset"], summary(tmp_path)["samples"]) == ("waves", 20)


def test_own_datasets_constructor_is_its_schema(tmp_path: Path, tiny: Tiny) -> None:
    own_class(tmp_path)
    ended = waves(tmp_path, tiny, "dataset.count=many")
    assert ended.status == 2 and "dataset.count: expected a whole number, got 'many'." in ended.err


def test_documentation_shows_the_tested_class(root: Path) -> None:
    shown = (root / "docs" / "howto" / "extend-dataset.md").read_text(encoding="utf-8")
    assert OWN.strip() in shown
    assert YAML.strip() in shown


def test_npy_gives_the_result_of_npz(run: Command, tiny: Tiny, tmp_path: Path) -> None:
    results = []
    for more in (
        {},
        {"dataset": "npy", "dataset.path": tiny.folder / "x.npy", "dataset.labels": tiny.folder / "y.npy"},
    ):
        assert run(*tiny.options(**more)).status == 0
        results.append(summary(tmp_path))
    assert results[0]["dataset_fingerprint"] == results[1]["dataset_fingerprint"]
    assert results[0]["metrics"] == results[1]["metrics"]


def test_bin_batches_calibrate_as_in_amct(run: Command, tiny: Tiny, tmp_path: Path) -> None:
    records = []
    for more in (
        [],
        [
            "+dataset@calibration.dataset=bin",
            f"calibration.dataset.data_dir={tiny.folder}/bin",
            "calibration.dataset.input_shape='x:20,2,6,6'",
        ],
    ):
        ended = run(*tiny.options(), *more)
        assert ended.status == 0, ended.err
        records.append((tmp_path / "outputs" / "acc_auto" / "tmp" / "scale_offset_record.txt").read_text())
    assert records[0] == records[1]


def test_bin_batches_need_no_label_with_agreement(run: Command, tiny: Tiny, tmp_path: Path) -> None:
    line = tiny.options(dataset="bin", dataset__path=None, metric="agreement")
    ended = run(*line, f"dataset.data_dir={tiny.folder}/bin", "dataset.input_shape='x:20,2,6,6'")
    assert ended.status == 0, ended.err
    assert summary(tmp_path)["samples"] == 40


@pytest.fixture
def two_inputs(tmp_path: Path) -> Path:
    """A network of 3 numbers and 2 ids -> 4 logits; ids pick rows of a table."""
    rng = np.random.default_rng(0)
    model = onnx_text(
        """g (float[N,3] photo, int64[N,2] ids) => (float[N,4] logits) {
            rows = Gather (table, ids)
            axes = Constant <value_ints = [1]> ()
            sum = ReduceSum <keepdims = 0> (rows, axes)
            both = Concat <axis = 1> (photo, sum)
            hidden = Gemm (both, w, b)
            a = Relu (hidden)
            logits = Gemm (a, v)
        }""",
        table=rng.normal(size=(20, 5)).astype(np.float32),
        w=rng.normal(size=(8, 6)).astype(np.float32),
        b=rng.normal(size=6).astype(np.float32),
        v=rng.normal(size=(6, 4)).astype(np.float32),
    )
    np.savez(
        tmp_path / "two.npz",
        numbers=rng.integers(0, 255, (24, 3), np.uint8),
        tokens=rng.integers(0, 20, (24, 2)),
        y=rng.integers(0, 4, 24),
    )
    return save(model, tmp_path / "two.onnx")


def test_model_with_an_integer_input_is_quantized(run: Command, tiny: Tiny, two_inputs: Path, tmp_path: Path) -> None:
    line = tiny.options(model__path=two_inputs, dataset__path=tmp_path / "two.npz", target_loss=100)
    inputs = ["dataset.inputs={photo: numbers, ids: tokens}", "dataset.preprocess.scale=0.01"]
    wrong = run(*line, *inputs)
    assert wrong.status == 2
    assert (
        "but the model input 'ids' takes int64. Set dataset.preprocess to fit, or dataset.preprocess_inputs"
        in wrong.err
    )
    ended = run(*line, *inputs, "dataset.preprocess_inputs=[photo]")
    assert ended.status == 0, ended.err
    assert (summary(tmp_path)["layers_int8"], summary(tmp_path)["samples"]) == (2, 24)


def test_one_array_for_two_inputs_is_refused(run: Command, tiny: Tiny, two_inputs: Path) -> None:
    ended = run(*tiny.options(model__path=two_inputs))
    assert ended.status == 2
    assert "gives one array an item, but the model has 2 inputs: photo, ids. Set dataset.inputs" in ended.err
