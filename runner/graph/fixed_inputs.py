"""Inputs of a model fixed at a value: they become constants, which everything after reads as such."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.errors import ConfigError, near_names
from runner.graph.model_file import SourceModel

_KEY = "dataset.constants"


def fix_inputs(source: SourceModel, constants: Mapping[str, Any]) -> SourceModel:
    """Return a model without the named inputs; what was read from the file is left as it is.

    Args:
        source: a model as it was read.
        constants: input -> a number, or a list of numbers, of lists …; true and false for booleans.

    Raises:
        ConfigError: the model has no such input or no other, or a value is not of the input's type or shape.
    """
    if not constants:
        return source
    model = source.graph.clone()
    graph = model.graph
    inputs = {value.name or "": value for value in graph.inputs}
    # Beside an initializer an input has a value already, which this one replaces.
    fed = [name for name in inputs if name not in graph.initializers]
    for name, given in constants.items():
        if name not in inputs:
            raise ConfigError(f"{_KEY}: the model has no input '{name}'.{near_names(name, inputs)}")
        value = inputs[name]
        array = _array(given, value)
        value.const_value = ir.tensor(array, name=name)
        value.shape = ir.Shape(array.shape)
        graph.inputs.remove(value)
        graph.initializers[name] = value
    if not set(fed) - set(constants):
        raise ConfigError(f"{_KEY}: fixes every input of the model; expected at least one for the dataset's items.")
    return replace(source, graph=model)


def _array(given: Any, value: ir.Value) -> NDArray[Any]:  # noqa: ANN401 - configuration is any value
    dtype = _dtype(value)
    where = f"{_KEY}.{value.name}"
    try:
        array = np.array(given)
    except ValueError:
        array = np.array(None)
    if array.dtype.kind not in "iufb" or array.size == 0:
        raise ConfigError(f"{where}: expected a number, or lists of numbers of one length, got {given!r}.")
    wanted = [None] * array.ndim if value.shape is None else [d if isinstance(d, int) else None for d in value.shape]
    if array.ndim != len(wanted) or any(w not in (None, got) for w, got in zip(wanted, array.shape, strict=True)):
        shown = ", ".join("?" if size is None else str(size) for size in wanted)
        raise ConfigError(
            f"{where}: expected the input's shape [{shown}], got {given!r}, of shape {list(array.shape)}."
        )
    boolean = array.dtype.kind == "b"
    with np.errstate(all="ignore"):
        cast = array.astype(dtype)
    same = boolean == (dtype.kind == "b") and (dtype.kind not in "iu" or bool(np.all(cast == array)))
    if not same or (np.isfinite(array).all() and not np.isfinite(cast.astype(np.float64)).all()):
        raise ConfigError(f"{where}: expected values of the input's type, {dtype.name}, got {given!r}.")
    return cast


def _dtype(value: ir.Value) -> np.dtype[Any]:
    if not isinstance(value.type, ir.TensorType) or value.dtype in (None, ir.DataType.STRING):
        raise ConfigError(f"{_KEY}.{value.name}: the input is no tensor of numbers ({value.type}) and cannot be fixed.")
    assert value.dtype is not None  # checked above
    return np.dtype(value.dtype.numpy())
