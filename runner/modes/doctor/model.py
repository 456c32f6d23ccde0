"""The model's file: read, sound, taken by onnxruntime; what goes in and comes out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import onnx
import onnx_ir as ir

from runner.dataset.binding import shown_shape
from runner.dataset.input_settings import constants_of
from runner.graph.fixed_inputs import fix_inputs
from runner.graph.model_file import load_model
from runner.modes.cautions import outputs_caution, require_measurable
from runner.modes.doctor.examined import Examined, NotKnown
from runner.modes.doctor.finding import Finding, ok, warning
from runner.rounded import rounded
from runner.session import input_specs

_MB = 1e6


def look_at_file(case: Examined) -> Iterator[Finding]:
    """Read the model."""
    case.source = fix_inputs(load_model(case.path), _constants(case))
    graph = case.source.graph
    size = case.source.path.stat().st_size / _MB
    yield ok(
        f"{case.source.path.name}: {rounded(size, 3)} MB, opset {graph.opset_imports['']}, {graph.graph.num_nodes()} nodes"
    )


def look_for_soundness(case: Examined) -> Iterator[Finding]:
    """Ask onnx.checker, which knows rules that onnxruntime lets pass."""
    path = str(case.source.path)
    try:
        onnx.checker.check_model(path, full_check=True)
    except Exception as error:  # its C++ raises whatever it likes
        text = " ".join(str(error).split())[:300]
        yield warning(
            f"onnx.checker refuses the model: {text}", key="model.path", advice="Export it again if results look wrong."
        )
        return
    yield ok("the model follows ONNX's rules")


def look_at_session(case: Examined) -> Iterator[Finding]:
    """Have onnxruntime load the model."""
    source = case.source
    case.session = case.engine.session(source.graph, given=True)
    inputs = ", ".join(f"{spec.name} {shown_shape(spec.shape)} {spec.dtype}" for spec in input_specs(source.graph))
    outputs = ", ".join(f"{value.name} {_shape(value)}" for value in source.graph.graph.outputs)
    yield ok(f"loads; takes {inputs}; gives {outputs}")
    require_measurable(source.graph, _metric(case))
    for caution in outputs_caution(source):
        yield warning(caution, key="model.path")


def _shape(value: ir.Value) -> str:
    sizes = None if value.shape is None else [size if isinstance(size, int) else None for size in value.shape]
    return "of any shape" if sizes is None else shown_shape(sizes)


def _constants(case: Examined) -> Mapping[str, Any]:
    try:
        return constants_of(case.dataset)
    except NotKnown:
        return {}


def _metric(case: Examined) -> Any:  # noqa: ANN401 - a metric, an evaluator of the user's, or None
    try:
        return case.metric
    except NotKnown:
        return None
