"""What AMCT's deploy format holds, as ATC reads it."""

from __future__ import annotations

from runner.graph.limits import Limits

ASCEND = Limits(
    operators=frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "AveragePool"}),
    per_channel=frozenset({"Conv", "ConvTranspose"}),
    symmetric_over=frozenset({3}),
    over_two_axes=frozenset({"ConvTranspose", "AveragePool"}),
)
