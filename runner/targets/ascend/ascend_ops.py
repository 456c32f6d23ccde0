"""The Ascend operators of a deploy model, as ATC's ONNX plugin reads them.

One table, because ATC reads attributes by type as well as by name: a ``scale`` that is not a FLOAT is silently taken as 0.
Only the deploy writer reads this file; whoever checks a deploy model says the format on its own.

    operator          inputs                      attributes
    AscendQuant       x float                     scale FLOAT = fl32(1 / scale_d), offset FLOAT, dst_type STRING
    AscendDequant     acc int32, param UINT64     dtype INT (0 float32, 1 float16)
    AscendAntiQuant   q int8                      scale FLOAT = scale_d, offset FLOAT, dtype INT

The parameter of AscendDequant holds the bits of the float32 ``scale_d * scale_w`` in its low half and zero in its high half.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runner.arithmetic import reciprocal
from runner.ranges import ActivationParams

QUANT, DEQUANT, ANTI_QUANT = "AscendQuant", "AscendDequant", "AscendAntiQuant"
DST_TYPE = "INT8"
FLOAT32_OUTPUT = 0


def quant_attributes(params: ActivationParams) -> dict[str, float | str]:
    """Return the attributes of AscendQuant."""
    return {"scale": float(reciprocal(params.scale)), "offset": float(params.zero_point), "dst_type": DST_TYPE}


def anti_quant_attributes(params: ActivationParams) -> dict[str, float | int]:
    """Return the attributes of AscendAntiQuant; its scale is not the reciprocal."""
    return {"scale": float(params.scale), "offset": float(params.zero_point), "dtype": FLOAT32_OUTPUT}


def dequant_parameter(deq: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Return the UINT64 parameter of AscendDequant for float32 scales of shape (n,)."""
    return np.atleast_1d(deq).astype(np.float32).view(np.uint32).astype(np.uint64)
