"""Operators that ATC does not read are written in those that it reads, where ONNX says how; what is left is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from runner.calibration.minmax import MinMax
from runner.evaluation.distance import Sqnr
from runner.events import Event, Warned
from runner.lint.check import check_deploy
from runner.modes.acc_auto import acc_auto
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.prepared_model import load_prepared
from tests.data import Items, noise, normal_items
from tests.models import plain_session, save

X = normal_items(6, 4, 6, 6)
ONES, ZEROS = np.ones(4, np.float32), np.zeros(4, np.float32)
CHANNELS = np.array([1], np.int64)
# opset, what stands behind the convolution, its constants
UNREAD = {
    "ReduceL1": (18, "n = ReduceL1 <keepdims = 1> (c, axes)\n y = Div (c, n)", {"axes": CHANNELS}),
    "ReduceL2": (18, "n = ReduceL2 <keepdims = 1> (c, axes)\n y = Div (c, n)", {"axes": CHANNELS}),
    "GroupNormalization": (21, "y = GroupNormalization <num_groups = 2> (c, s, b)", {"s": ONES, "b": ZEROS}),
    "Gelu": (20, "y = Gelu (c)", {}),
    "CenterCropPad": (18, "y = CenterCropPad <axes = [2,3]> (c, z)", {"z": np.array([4, 8], np.int64)}),
}


def network(opset: int, behind: str, **constants: np.ndarray) -> onnx.ModelProto:
    header = f'<ir_version: {8 if opset < 19 else 10}, opset_import: ["" : {opset}]>'
    text = f"g (float[N,4,6,6] x) => (float[N,4,A,B] y) {{ [conv] c = Conv <pads = [1,1,1,1]> (x, w)\n {behind} }}"
    built = onnx.parser.parse_model(header + text)
    constants["w"] = noise(0, 4, 4, 3, 3)
    built.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    return built


@pytest.mark.parametrize("op_type", UNREAD)
def test_unread_operator_is_written_in_others_and_nothing_is_left_to_tell(tmp_path: Path, op_type: str) -> None:
    opset, behind, constants = UNREAD[op_type]
    built = network(opset, behind, **constants)
    path = save(built, tmp_path / "net.onnx")
    options = AccAutoOptions(100, metric=Sqnr(), observer=MinMax(), calibration_count=4)
    result = acc_auto(path, Items(X), tmp_path / "out", options)
    assert result.checked is not None and result.status == "met"
    deploy = result.folder.path(result.checked.written.pair.deploy)
    written = onnx.load(deploy)
    assert op_type not in {node.op_type for node in written.graph.node}
    assert [entry.version for entry in written.opset_import] == [18]
    assert [note for note in check_deploy(deploy) if note.severity != "warning"] == []
    assert not [warning for warning in result.warnings if warning.startswith("for ATC")]
    # The float model that all of it starts from is the source's.
    (expected,) = plain_session(built).run(None, {"x": X})
    (got,) = plain_session(load_prepared(path).graph).run(None, {"x": X})
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_what_atc_does_not_take_of_the_source_is_a_warning_of_the_job(tmp_path: Path) -> None:
    # A transform that ONNX defines by no other operators.
    spectrum = (
        "f = Unsqueeze (c, last)\n [dft] d = DFT <axis = 1> (f)\n y = ReduceSumSquare <axes = [4], keepdims = 0> (d)"
    )
    built = network(17, spectrum, last=np.array([4], np.int64))
    options = AccAutoOptions(100, metric=Sqnr(), observer=MinMax(), calibration_count=4)
    events: list[Event] = []
    result = acc_auto(save(built, tmp_path / "net.onnx"), Items(X), tmp_path / "out", options, emit=events.append)
    said = (
        "for ATC, dft: expected an operator that ATC has a parser for, got DFT at opset 17, of which ATC registers no "
        "version; run it on the host, or write it as a MatMul by constants"
    )
    assert result.status == "met"
    assert result.warnings[-1] == said
    assert Warned(said) in events
