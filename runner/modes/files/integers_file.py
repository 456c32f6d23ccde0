"""The integers of corrected layers, ``scale_offset_record.integers.npz`` beside the record.

A record holds scales, from which weights and biases follow by rounding. Corrections choose other integers, so these go into a
file of their own, numpy arrays in a zip file:

    record_sha256   of the record that they belong to
    layers          names, in graph order
    weight_0 ...    int8, in the weight's own layout
    bias_0 ...      int32, absent for a layer without one
    shift_0 ...     float32, what the constant behind a MatMul has more than the float model's; absent where it has not
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner.array_faults import UNREADABLE, in_words
from runner.errors import RecordError
from runner.record import QuantizedLayers

# Layer -> weight, bias and shift, as a QuantizedLayer has them.
Integers = Mapping[str, tuple[NDArray[np.int8], NDArray[np.int32] | None, NDArray[np.float32] | None]]
NO_INTEGERS: Integers = MappingProxyType({})


def integers_path(record: Path) -> Path:
    """Return where the integers of a record lie: ``<record without .txt>.integers.npz``."""
    return record.with_name(f"{record.name.removesuffix('.txt')}.integers.npz")


def integers_bytes(form: QuantizedLayers, record: bytes) -> bytes:
    """Return the file's bytes; the same form and record give the same.

    Args:
        form: whose integers are kept.
        record: the record file's bytes.
    """
    arrays: dict[str, Any] = {"record_sha256": hashlib.sha256(record).hexdigest(), "layers": list(form.layers)}
    for index, layer in enumerate(form.layers.values()):
        arrays[f"weight_{index}"] = layer.weight
        if layer.bias is not None:
            arrays[f"bias_{index}"] = layer.bias
        if layer.shift is not None:
            arrays[f"shift_{index}"] = layer.shift
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def read_integers(record: Path) -> Integers | None:
    """Return the integers that lie beside a record; None where there are none.

    Raises:
        RecordError: the file cannot be read, or belongs to another record.
    """
    path = integers_path(record)
    if not path.is_file():
        return None
    advice = "Take it away to round the weights anew, or copy record and integers together."
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        digest, names = str(arrays["record_sha256"]), [str(name) for name in arrays["layers"]]
        integers = {
            name: (
                _of_type(arrays[f"weight_{k}"], np.int8),
                _of_type(arrays.get(f"bias_{k}"), np.int32),
                _of_type(arrays.get(f"shift_{k}"), np.float32),
            )
            for k, name in enumerate(names)
        }
    except UNREADABLE as error:
        raise RecordError(
            f"{path}: expected the integers of a record, got a file that cannot be read ({in_words(error)}). {advice}"
        ) from error
    if digest != hashlib.sha256(record.read_bytes()).hexdigest():
        raise RecordError(f"{path}: these integers belong to another record than {record}, or it was changed. {advice}")
    return integers


def _of_type(array: NDArray[Any] | None, dtype: type[np.generic]) -> Any:  # noqa: ANN401 - of that type, or None
    if array is None:
        return None
    found = getattr(array, "dtype", "bytes")
    if found != dtype:
        raise ValueError(f"{found} in place of {np.dtype(dtype)}")
    return array
