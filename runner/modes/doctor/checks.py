"""What is looked at of the model and the data, in the order in which it is told."""

from __future__ import annotations

from runner.modes.doctor.cost import look_at_memory, look_at_time
from runner.modes.doctor.data import look_at_items, look_at_parts, look_at_values
from runner.modes.doctor.examine import Check
from runner.modes.doctor.examined import Examined
from runner.modes.doctor.figure import look_at_figure
from runner.modes.doctor.labels import look_at_labels
from runner.modes.doctor.layers import look_at_deploy, look_at_layers, look_at_selection
from runner.modes.doctor.model import look_at_file, look_at_session, look_for_soundness
from runner.modes.doctor.resolution import look_at_calibration, look_at_target_loss

MODEL_AND_DATA: tuple[Check[Examined], ...] = (
    Check("model", look_at_file),
    Check("onnx.checker", look_for_soundness),
    Check("onnxruntime", look_at_session),
    Check("layers", look_at_layers),
    Check("target", look_at_deploy),
    Check("data", look_at_parts),
    Check("selection", look_at_selection),
    Check("items", look_at_items),
    Check("labels", look_at_labels),
    Check("values", look_at_values),
    Check("float figure", look_at_figure),
    Check("target_loss", look_at_target_loss),
    Check("calibration", look_at_calibration),
)
COST: tuple[Check[Examined], ...] = (Check("memory", look_at_memory), Check("time", look_at_time))
