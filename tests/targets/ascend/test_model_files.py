"""The pair on disk: named, re-opened, and refused where it does not say what was measured."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from runner.calibration.collect import collect
from runner.calibration.minmax import MinMax
from runner.calibration.quantize import quantize_layers
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.errors import VerificationError
from runner.job_folder import JobFolder
from runner.record import QuantizedLayers
from runner.targets.ascend import model_files
from runner.targets.ascend.model_files import ModelPair, note_warnings, verify_pair, write_pair
from tests.data import Items, normal_items
from tests.models import conv_gemm, for_all, prepared

X = normal_items(40, 2, 6, 6)
PAIR = ModelPair("results/m_deploy_model.onnx", "results/m_fake_quant_model.onnx")


@pytest.fixture(scope="module")
def subject():
    """The tiny model, its layers and its int8 form."""
    graph, found = prepared(conv_gemm())
    seen = collect(found, Subset(Items(X), range(8)), observers=for_all(found, MinMax()), engine=Engine(1))
    return graph, found, quantize_layers(found, seen).form


@pytest.fixture
def folder(tmp_path: Path, subject) -> JobFolder:
    """A job folder that holds the pair."""
    job = JobFolder(tmp_path)
    assert write_pair(job, "results/m", *subject[1:]) == PAIR
    return job


def verified(folder: JobFolder, form: QuantizedLayers) -> model_files.Written:
    model, found = prepared(conv_gemm())
    return verify_pair(folder, PAIR, found.on(model), form, Items(X))


def test_deploy_model_is_written_and_logged_first(tmp_path: Path, subject, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "runner.targets.ascend.model_files")
    job = JobFolder(tmp_path)
    write_pair(job, "results/m", *subject[1:])
    paths = [tmp_path / PAIR.deploy, tmp_path / PAIR.fake_quant]
    assert list(job.files) == paths
    assert caplog.messages == [f"The model file is saved in {path}" for path in paths]


def test_fake_quant_file_needs_standard_operators_only_and_deploy_holds_int8(folder: JobFolder) -> None:
    fake, deploy = onnx.load(folder.path(PAIR.fake_quant)), onnx.load(folder.path(PAIR.deploy))
    onnx.checker.check_model(fake, full_check=True)
    assert {node.domain for node in fake.graph.node} | {node.domain for node in deploy.graph.node} == {""}
    kinds = {node.op_type for node in deploy.graph.node}
    assert {"AscendQuant", "AscendDequant"} <= kinds
    assert not {"QuantizeLinear", "DequantizeLinear"} & kinds
    assert sum(t.data_type == onnx.TensorProto.INT8 for t in deploy.graph.initializer) == 3


def test_pair_that_says_what_was_meant_is_verified(folder: JobFolder, subject) -> None:
    written = verified(folder, subject[2])
    assert written.pair == PAIR
    assert written.input_shapes == {"x": (1, 2, 6, 6)}
    # The batch is open; a line of atc's fixes it.
    assert [str(note) for note in written.notes] == [
        "x: expected fixed sizes, or atc --input_shape to fix them, got [N, 2, 6, 6]"
    ]


def tampered(path: Path, change: object) -> None:
    model = onnx.load(path)
    change(model)
    onnx.save(model, path)


def flip_weight(model: onnx.ModelProto) -> None:
    tensor = next(t for t in model.graph.initializer if t.data_type == onnx.TensorProto.INT8)
    values = numpy_helper.to_array(tensor).copy()
    values.flat[3] ^= 1
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def shift_offset(model: onnx.ModelProto) -> None:
    quant = next(node for node in model.graph.node if node.op_type == "AscendQuant")
    next(a for a in quant.attribute if a.name == "offset").f += 1


def next_float_of_scale(model: onnx.ModelProto) -> None:
    quant = next(node for node in model.graph.node if node.op_type == "AscendQuant")
    scale = next(a for a in quant.attribute if a.name == "scale")
    scale.f = float(np.nextafter(np.float32(scale.f), np.float32(9)))


def offset_as_integer(model: onnx.ModelProto) -> None:
    quant = next(node for node in model.graph.node if node.op_type == "AscendQuant")
    offset = next(a for a in quant.attribute if a.name == "offset")
    offset.CopyFrom(onnx.helper.make_attribute("offset", int(offset.f)))


def test_fault_of_the_format_is_our_fault_too(folder: JobFolder, subject) -> None:
    tampered(folder.path(PAIR.deploy), offset_as_integer)
    message = r"1 fault\(s\): first\.quant: expected attribute offset of type FLOAT, got INT\. Please report this\."
    with pytest.raises(VerificationError, match=message):
        verified(folder, subject[2])


def later_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 24


def test_what_atc_does_not_take_is_a_warning_and_no_fault(folder: JobFolder, subject) -> None:
    tampered(folder.path(PAIR.deploy), later_opset)
    written = verified(folder, subject[2])
    message = (
        "for ATC, model: expected opset 8 to 18, at which ATC registers standard operators, got opset 24 for 12 nodes: "
        "AscendQuant (3, the first 'first.quant'), Conv (2, the first 'first'), AscendDequant (3, the first 'first.dequant'), "
        "Relu (2, the first 'a'), Flatten (1, the first 'flat') and 1 more operator; export the model at opset 11 to 18"
    )
    assert note_warnings(written) == [message]


@pytest.mark.parametrize("change", [flip_weight, shift_offset, next_float_of_scale], ids=lambda f: f.__name__)
def test_deploy_file_that_says_something_else_is_our_fault_and_named(folder: JobFolder, subject, change) -> None:
    tampered(folder.path(PAIR.deploy), change)
    with pytest.raises(VerificationError, match=r"m_deploy_model\.onnx: 1 fault\(s\): .*first.* Please report this\."):
        verified(folder, subject[2])
