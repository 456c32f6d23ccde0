"""Plans measured as the written file runs: the file itself, in a default onnxruntime session, with its integer kernels."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from runner.graph.layers import LayeredModel
from runner.graph.opset import raise_opset
from runner.record import QuantizedLayers
from runner.session import Profile, plain
from runner.targets.qdq import write
from runner.targets.qdq.write import PORTABLE, Dialect, qdq_model


@dataclass(frozen=True, slots=True)
class QdqSimulation:
    """The Q/DQ model as it is written.

    Attributes:
        dialect: what the runtime wants of the file.
        opset: that the file is raised to, where the model's is older.
        version: of the writer, so that what an older one's file gave is not taken for this one's.
    """

    dialect: Dialect = PORTABLE
    opset: int = 13
    version: int = write.VERSION

    @property
    def profile(self) -> Profile:
        """Return the profile of a session with nothing set."""
        return plain("all")

    def model(self, float_model: LayeredModel, form: QuantizedLayers, *, own_session: bool) -> ir.Model:
        """Return the file's model, whoever runs it."""
        return qdq_model(float_model.on(raise_opset(float_model.graph, self.opset)), form, self.dialect)
