"""What ATC does not take of a model, told before anything is quantized or written."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir

from runner.graph.layers import LayeredModel
from runner.lint.check import check_opened
from runner.lint.deploy_file import opened
from runner.lint.finding import gathered
from runner.record import QuantizedLayers
from runner.targets.ascend.deploy import deploy_model


def untaken(model: LayeredModel) -> list[str]:
    """Return in sentences what ATC would refuse of a model's deploy file, whatever is quantized in it.

    Args:
        model: prepared, at the source's opset.
    """
    nothing = QuantizedLayers({})
    file = opened(ir.to_proto(deploy_model(model, nothing)), Path())
    return gathered(finding for finding in check_opened(file) if finding.severity == "unsupported")
