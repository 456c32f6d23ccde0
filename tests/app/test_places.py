"""Shipped files, absolute paths and names of folders."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from runner.app import places
from runner.app.places import absolute, own_name, register_resolvers, shipped


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


@pytest.mark.parametrize("name", ["", "  ", "..", "a/b", "sweeps", "cache", "mlflow.db"])
def test_name_of_a_users_own_that_is_no_folder_or_taken_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected the name of a folder, without slashes and not among sweeps, cache"):
        own_name(name, "acc_auto")


def test_folder_is_named_by_its_user_or_else_as_it_would_be() -> None:
    assert (own_name("2024", "acc_auto"), own_name("mine", "x"), own_name(None, "acc_auto")) == (
        "2024",
        "mine",
        "acc_auto",
    )


def test_resolvers_serve_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    register_resolvers()
    register_resolvers()
    config = OmegaConf.create({"a": "${shipped:conf}", "b": "${absolute:out}", "c": "${own_name:null,x}"})
    assert dict(config) == {"a": shipped("conf"), "b": f"{tmp_path}/out", "c": "x"}
