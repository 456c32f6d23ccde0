"""The made detector is as large as it is said to be, and its bias says how many boxes there are."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from benchmarks.evaluation_scale import Photos, bias_for
from benchmarks.one_stage import one_stage
from runner.dataset.item import ONLY_INPUT
from runner.tasks.detection.yolov8 import Yolov8
from tests.models import run_plain


def test_made_detector_has_the_size_of_yolov8s() -> None:
    graph = one_stage(0.0).graph
    weights = {node.name: node.inputs[1].const_value for node in graph if node.op_type == "Conv"}
    assert 10e6 < sum(weight.size for weight in weights.values()) < 12e6
    # A convolution multiplies each weight once at each place of its output; the name of a head's says no place.
    side, products = 640, 0
    sides: dict[str, int] = {}
    for node in graph:
        if node.op_type == "Conv":
            before = sides.get(node.inputs[0].name, side)
            sides[node.outputs[0].name] = before // node.attributes["strides"].as_ints()[0]
            products += weights[node.name].size * sides[node.outputs[0].name] ** 2
        elif node.op_type == "Relu":
            sides[node.outputs[0].name] = sides[node.inputs[0].name]
    assert 27e9 < 2 * products < 31e9


def test_bias_lets_about_so_many_boxes_pass() -> None:
    postprocess = Yolov8()
    model = ir.to_proto(one_stage(bias_for(50, postprocess)))
    x = np.stack([Photos(2).item(index).arrays[ONLY_INPUT] for index in range(2)])
    found = [(output[0, 4:] > postprocess.score).sum() for (output,) in run_plain(model, x, ["output0"])]
    assert output_shape(model, x) == (1, 84, 8400)
    assert 90 <= sum(found) <= 110


def output_shape(model, x) -> tuple[int, ...]:
    return run_plain(model, x[:1], ["output0"])[0][0].shape
