"""The option ``tensor_quantize``: which inputs of Add and MaxPool are rounded to int8, beside those of ``quant_config``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import onnx_ir as ir

from runner.errors import ConfigError
from runner.graph.tensors import TensorInput, Types, residual_adds, tensor_input, typed


@dataclass(frozen=True, slots=True)
class TensorRule:
    """One input of a node, under AMCT's words.

    Attributes:
        layer: name of an Add or MaxPool.
        input: which of its inputs, from 0.
    """

    layer: str
    input: int


TensorSettings = Literal["none", "adds"] | Sequence[TensorRule]


def select_tensors(wanted: TensorSettings, model: ir.Model, types: Types) -> tuple[TensorInput, ...]:
    """Return the inputs that are meant, each once.

    Args:
        wanted: ``adds`` for both inputs of every Add of two computed values, or single inputs.
        model: the prepared float model.
        types: of nodes whose inputs the target takes rounded; None for all.

    Raises:
        ConfigError: an input does not exist or cannot be rounded, or ``adds`` finds none.
    """
    if wanted == "none":
        return ()
    model = typed(model)
    if wanted == "adds":
        adds = residual_adds(model)
        if not adds:
            raise ConfigError(
                "tensor_quantize: adds: the model has no Add of two computed float32 values; expected at least one. "
                "A bias is a constant, which is not quantized as a tensor. Leave it at none."
            )
        return adds
    assert not isinstance(wanted, str)  # both words are handled
    found: dict[TensorInput, None] = {}
    for place, rule in enumerate(wanted):
        try:
            found[tensor_input(model, rule.layer, rule.input, types)] = None
        except ValueError as error:
            raise ConfigError(f"tensor_quantize[{place}]: {error}") from error
    return tuple(found)
