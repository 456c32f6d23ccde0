"""A model's external data lies in its own folder, or it is not read."""

from __future__ import annotations

import os
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from runner.errors import ModelError
from runner.external_data import refuse_outside
from runner.graph.model_file import load_model
from runner.inside import OutsideError, file_inside, own_file
from runner.lint.check import check_deploy
from runner.lint.deploy_file import read_deploy


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder with files, links and a pipe in it, and a file beside it."""
    inside = tmp_path / "model"
    (inside / "deep").mkdir(parents=True)
    (tmp_path / "secret.bin").write_bytes(bytes(16))
    (inside / "own.bin").write_bytes(bytes(16))
    (inside / "deep" / "own.bin").write_bytes(bytes(16))
    (inside / "within.bin").symlink_to("own.bin")
    (inside / "out.bin").symlink_to(tmp_path / "secret.bin")
    (inside / "up").symlink_to(tmp_path)
    (inside / "zero").symlink_to("/dev/zero")
    os.mkfifo(inside / "pipe")
    return inside


OUTSIDE = {
    "../secret.bin": "leaves its folder",
    "deep/../../secret.bin": "leaves its folder",
    "/dev/zero": "is no path below its folder",
    "C:/x": "is no path below its folder",
    "": "is no path below its folder",
    "out.bin": "is a link to .*secret.bin, which leaves its folder",
    "up/secret.bin": "is a link to .*secret.bin, which leaves its folder",
    "zero": "is a link to /dev/zero, which leaves its folder",
    "pipe": "is no regular file",
    "deep": "is no regular file",
}


@pytest.mark.parametrize("name", ["own.bin", "deep/own.bin", "./own.bin", "within.bin", "gone.bin"])
def test_files_of_the_folder_are_its_own(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert file_inside(folder, name) == folder / name
    monkeypatch.chdir(folder)
    assert file_inside(Path(), name) == Path(name)


@pytest.mark.parametrize("name", OUTSIDE)
def test_files_of_no_folder_are_refused(folder: Path, name: str) -> None:
    with pytest.raises(OutsideError, match=OUTSIDE[name]):
        file_inside(folder, name)


def test_own_file_is_there_and_no_link(folder: Path) -> None:
    assert own_file(folder, "deep/own.bin") == folder / "deep/own.bin"
    assert not any(own_file(folder, name) for name in [*OUTSIDE, "within.bin", "gone.bin"])


def kept_in(location: str, name: str = "w", shape: tuple[int, ...] = (4,)) -> TensorProto:
    tensor = TensorProto(name=name, dims=shape, data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    return tensor


def plain(name: str) -> TensorProto:
    return helper.make_tensor(name, TensorProto.INT64, [1], [0])


def model(place: str, location: str) -> onnx.ModelProto:
    """Return a model with one tensor kept elsewhere, at some place in it."""
    add = helper.make_node("Add", ["x", "w"], ["y"], name="add")
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
    graph = helper.make_graph([add], "g", [given], [made])
    whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    tensor, graph = kept_in(location), whole.graph
    constant = helper.make_node("Constant", [], ["w"], name="constant")
    if place == "initializer":
        graph.initializer.append(tensor)
    elif place == "sparse":
        graph.sparse_initializer.append(helper.make_sparse_tensor(tensor, plain("i"), [4]))
    elif place == "constant":
        constant.attribute.append(helper.make_attribute("value", tensor))
        graph.node.insert(0, constant)
    elif place == "sparse constant":
        sparse = helper.make_sparse_tensor(tensor, plain("i"), [4])
        constant.attribute.append(helper.make_attribute("sparse_value", sparse))
        graph.node.insert(0, constant)
    elif place == "body":
        body = helper.make_graph([], "b", [], [made], [tensor])
        graph.node.append(helper.make_node("If", ["x"], ["z"], name="if", then_branch=body, else_branch=body))
    else:
        constant.attribute.append(helper.make_attribute("value", tensor))
        opset = [helper.make_opsetid("", 17)]
        whole.functions.append(helper.make_function("own", "f", [], ["w"], [constant], opset))
    return whole


PLACES = ["initializer", "sparse", "constant", "sparse constant", "body", "function"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("location", ["../secret.bin", "zero", "pipe"])
def test_model_that_reads_elsewhere_is_refused_wherever_it_does(folder: Path, place: str, location: str) -> None:
    path = folder / "net.onnx"
    path.write_bytes(model(place, location).SerializeToString())
    with pytest.raises(ModelError, match=f"the tensor 'w' is kept in '{location}', which .*; expected a file beside"):
        load_model(path)


@pytest.mark.parametrize("place", PLACES)
def test_model_that_reads_its_own_files_passes(folder: Path, place: str) -> None:
    refuse_outside(model(place, "own.bin"), folder)


@pytest.mark.parametrize("location", ["../secret.bin", "out.bin", "zero", "pipe", "/dev/zero"])
def test_check_of_a_deploy_file_reads_nothing_elsewhere(folder: Path, location: str) -> None:
    path = folder / "net.onnx"
    path.write_bytes(model("initializer", location).SerializeToString())
    told = [str(finding) for finding in check_deploy(path)]
    assert any(line.startswith("w: expected its external data in a file beside the model, got ") for line in told)
    deploy = read_deploy(path)
    assert deploy.array(deploy.tensors["w"]) is None


@pytest.mark.parametrize(("key", "value"), [("offset", "x"), ("length", "-1"), ("length", "9" * 30), ("offset", "1e3")])
def test_place_that_is_no_number_is_told(folder: Path, key: str, value: str) -> None:
    broken = model("initializer", "own.bin")
    broken.graph.initializer[0].external_data.add(key=key, value=value)
    path = folder / "net.onnx"
    path.write_bytes(broken.SerializeToString())
    assert any(str(finding).startswith("w: expected ") for finding in check_deploy(path))
    deploy = read_deploy(path)
    array = deploy.array(deploy.tensors["w"])
    assert array is None or array.size == 4
