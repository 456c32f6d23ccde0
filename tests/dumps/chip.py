"""A chip in numpy: runs ``tests.models.conv_gemm`` as its deploy file means it, and dumps every operator.

The integers are computed by ``tests.device``, in exact int64, from the form that the job wrote; nothing of what writes or
reads the intermediate values takes part. ``faults`` spoil one step each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from runner.modes.result import AccAutoResult
from tests import device

STAMP = "1764170000123456"
# Layer -> what the chip calls its type, and how it convolves.
LAYERS = {
    "first": ("Conv2D", {"pads": (1, 1, 1, 1)}),
    "second": ("Conv2D", {"strides": (2, 2)}),
    "logits": ("MatMulV2", {}),
}


@dataclass
class Chip:
    """Dumps into ``folder`` what a run of one item gives.

    Attributes:
        change: of a step, named ``layer tensor`` as in the index, what the chip makes of the right value.
        convert: of an array, what the converter writes.
    """

    folder: Path
    result: AccAutoResult
    change: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    convert: Callable[[Any], Any] = lambda array: array
    task: int = 0

    def run(self, x):
        """Dump everything and return the logits."""
        self.folder.mkdir(parents=True, exist_ok=True)
        value = x
        for layer, (kind, attributes) in LAYERS.items():
            value = self._layer(layer, kind, attributes, value)
            if layer != "logits":
                value = self._op("Relu", {"first": "a", "second": "b"}[layer], value, np.maximum(value, 0))
            if layer == "second":
                value = value.reshape(value.shape[0], -1)
        return value

    def _layer(self, layer, kind, attributes, x):
        held = self.result.form.layers[layer]
        scale, zero_point = held.record.activation.scale, held.record.activation.zero_point
        centred = device.centred(x, scale, zero_point)
        codes = self._changed(f"{layer} codes", (centred + zero_point).astype(np.int8))
        self._op("AscendQuant", f"{layer}.quant", x, codes)
        centred = codes.astype(np.int64) - zero_point
        weight = held.weight.T if kind == "MatMulV2" and held.weight.shape[0] != codes.shape[-1] else held.weight
        sums = device.matmul if kind == "MatMulV2" else device.conv
        total = self._changed(f"{layer} sums", sums(centred, weight, held.bias, **attributes).astype(np.int32))
        self._op(kind, layer, codes, total)
        axis = 1
        real = self._changed(f"{layer} output", device.real(total, scale, held.record.weight_scales, axis))
        return self._op("AscendDequant", f"{layer}.dequant", total, real)

    def _changed(self, step, value):
        return self.change.get(step, lambda right: right)(value)

    def _op(self, op_type, name, read, made):
        self.task += 1
        called = name.replace(".", "_").replace("/", "_").replace(" ", "_").replace("\\", "_")
        stem = f"{op_type}.{called}.{self.task}.0.{STAMP}"
        for side, array in (("input", read), ("output", made)):
            np.save(self.folder / f"{stem}.{side}.0.npy", self.convert(array))
        return made
