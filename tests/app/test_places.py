"""Shipped files, absolute paths and the labels of a sweep's jobs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from runner.app import places
from runner.app.places import absolute, job_label, register_resolvers, shipped


@pytest.mark.parametrize(
    "name",
    [
        "conf/config.yaml",
        "model/mobilenet_v2_digits.onnx",
        "model/mobilenet_v2_digits_qat.onnx",
        "data/digits/eval/image_label.txt",
        "data/digits/calibration/image_label.txt",
    ],
)
def test_shipped_files_are_found(name: str) -> None:
    assert Path(shipped(name)).is_file()
    assert Path(shipped(name)).is_absolute()


def test_files_inside_the_package_come_before_those_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "runner"
    for folder in (package, tmp_path):
        (folder / "conf").mkdir(parents=True, exist_ok=True)
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(places, "_PACKAGE", package)
    assert shipped("conf") == str(package / "conf")
    assert shipped("data") == str(tmp_path / "data")


def test_relative_path_is_meant_from_the_directory_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert absolute("outputs") == f"{tmp_path}/outputs"
    assert absolute("/data/outputs") == "/data/outputs"
    assert absolute("~/outputs") == "/home/somebody/outputs"


@pytest.mark.parametrize(
    ("overrides", "label"),
    [
        ("target_loss=0.1", "target_loss=0.1"),
        ("mode=acc_auto,target_loss=0.1", "target_loss=0.1"),
        ("mode=acc_auto,paths.output=/somewhere/else,tracking=none", "job"),
        ("", "job"),
        ("+experiment=zoo/resnet20", "experiment=resnet20"),
        ("model.path=/models/big/net.onnx", "model.path=net.onnx"),
        ("dataset.images=photos/", "dataset.images=photos"),
        ("hydra/launcher=joblib,seed=3", "seed=3"),
        ("metric=top1,target_loss=0.5", "metric=top1,target_loss=0.5"),
        ("model.name=a b", "model.name=a_b"),
        ("++seed=1", "seed=1"),
        ("dataset.preprocess.mean=[1,2,3],seed=1", "dataset.preprocess.mean=_1,2,3_,seed=1"),
    ],
)
def test_label_says_the_options_without_folders(overrides: str, label: str) -> None:
    assert job_label(overrides) == label


def test_long_labels_are_cut_and_stay_apart() -> None:
    start = "dataset.images=" + "a" * 70
    first, second = job_label(f"{start}b"), job_label(f"{start}c")
    assert first != second
    assert {len(first), len(second)} == {60}
    assert first[:51] == second[:51] == start[:51]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=120))
def test_label_is_always_the_name_of_one_folder(overrides: str) -> None:
    label = job_label(overrides)
    assert 1 <= len(label) <= 60
    assert re.fullmatch(r"[\w.=,+-]+", label)


def test_resolvers_serve_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    register_resolvers()
    register_resolvers()
    config = OmegaConf.create({"a": "${shipped:conf}", "b": "${absolute:out}", "c": "${job_label:'seed=1,mode=x'}"})
    assert dict(config) == {"a": shipped("conf"), "b": f"{tmp_path}/out", "c": "seed=1"}
