"""How an operator stores its weight, and the weight as rows: one output each, with the inputs that it sums.

    operator        layout                              stored                      rows
    Conv            OutputsFirst(group)                 [Cout, Cin/group, k...]     the same
    ConvTranspose   InputsFirst(group)                  [Cin, Cout/group, k...]     [Cout, Cin/group, k...], those of the
                                                                                    first group first
    Gemm, MatMul    Matrix()                            [K, N]                      [N, K]
    MatMul          Matrix(3)                           [B, K, N]                   [B * N, K], those of the first matrix first
    AveragePool     OutputsFirst()                      ones [1, 1, k...]           the same

Rows are what scales, sums and splits speak of, so only this file knows how they are stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Layout(Protocol):
    """Where a weight has its outputs and inputs."""

    @property
    def group(self) -> int:
        """Number of groups of channels; an output of one reads the inputs of that one only."""
        ...

    @property
    def channel_axis(self) -> int:
        """Axis of the stored weight for the output channels, those of one group where it has the groups elsewhere."""
        ...

    @property
    def scale_axis(self) -> int | None:
        """Axis of the stored weight that numbers all output channels; None where no single one does."""
        ...

    @property
    def input_axis(self) -> int:
        """Axis of the stored weight for the input channels of one output, or of all where it has the groups elsewhere."""
        ...

    @property
    def is_batch(self) -> bool:
        """Whether there are several matrices, each of which multiplies rows of its own."""
        ...

    def rows(self, weight: NDArray[Any]) -> NDArray[Any]:
        """Return a stored weight as [outputs, inputs of one output, k...]."""
        ...

    def stored(self, rows: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        """Return ``rows`` undone: contiguous, of the stored ``shape``."""
        ...

    def channels(self, shape: tuple[int, ...]) -> int:
        """Return how many output channels a weight of a stored ``shape`` has."""
        ...


@dataclass(frozen=True, slots=True)
class OutputsFirst:
    """Stored as rows are: Conv; the ones of an AveragePool."""

    group: int = 1
    channel_axis: int = 0
    scale_axis: int | None = 0
    input_axis: int = 1
    is_batch: bool = False

    def rows(self, weight: NDArray[Any]) -> NDArray[Any]:
        """Return the weight itself."""
        return weight

    def stored(self, rows: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        """Return the rows themselves, contiguous."""
        return np.ascontiguousarray(rows).reshape(shape)

    def channels(self, shape: tuple[int, ...]) -> int:
        """Return the length of the first axis."""
        return shape[0]


@dataclass(frozen=True, slots=True)
class InputsFirst:
    """Inputs first, those of all groups, then the outputs of one group: ConvTranspose."""

    group: int = 1
    channel_axis: int = 1
    input_axis: int = 0
    is_batch: bool = False

    @property
    def scale_axis(self) -> int | None:
        """The second axis, where there is one group."""
        return self.channel_axis if self.group == 1 else None

    def rows(self, weight: NDArray[Any]) -> NDArray[Any]:
        """Return [Cin, Cout/group, k...] as [Cout, Cin/group, k...]."""
        inputs, outputs, *kernel = weight.shape
        grouped = weight.reshape(self.group, inputs // self.group, outputs, *kernel)
        return grouped.swapaxes(1, 2).reshape(self.group * outputs, inputs // self.group, *kernel)

    def stored(self, rows: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        """Return [Cout, Cin/group, k...] as [Cin, Cout/group, k...]."""
        outputs, inputs, *kernel = rows.shape
        grouped = rows.reshape(self.group, outputs // self.group, inputs, *kernel).swapaxes(1, 2)
        return np.ascontiguousarray(grouped).reshape(shape)

    def channels(self, shape: tuple[int, ...]) -> int:
        """Return the outputs of a group times the groups."""
        return shape[1] * self.group


@dataclass(frozen=True, slots=True)
class Matrix:
    """Inputs times outputs: Gemm and MatMul; with three ``axes`` a batch of such matrices."""

    axes: int = 2

    @property
    def group(self) -> int:
        """Every output reads all inputs."""
        return 1

    @property
    def channel_axis(self) -> int:
        """The last axis."""
        return self.axes - 1

    @property
    def scale_axis(self) -> int | None:
        """The last axis."""
        return self.axes - 1

    @property
    def input_axis(self) -> int:
        """The last axis but one."""
        return self.axes - 2

    @property
    def is_batch(self) -> bool:
        """Whether there is an axis for the matrices."""
        return self.axes > 2

    def rows(self, weight: NDArray[Any]) -> NDArray[Any]:
        """Return [.., K, N] as [.. * N, K]."""
        return weight.swapaxes(-1, -2).reshape(-1, weight.shape[-2])

    def stored(self, rows: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        """Return [.. * N, K] as [.., K, N]."""
        return np.ascontiguousarray(rows.reshape(-1, shape[-1], shape[-2]).swapaxes(1, 2)).reshape(shape)

    def channels(self, shape: tuple[int, ...]) -> int:
        """Return the length of the last axis."""
        return shape[-1]
