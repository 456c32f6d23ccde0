"""What a target can hold in int8: which layers, and in which form. What it cannot hold stays float, or is rewritten."""

from __future__ import annotations

from dataclasses import dataclass

from runner.graph.opset import DEPLOY_OPSET


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one target.

    Attributes:
        operators: types of nodes that it holds as layers.
        per_channel: those of them that take one weight scale per output channel; the others take one in all. A batch of
            matrices always has one in all.
        symmetric_over: numbers of axes behind the channels (0 for matrices) over which a layer's input takes only zero point 0.
        over_two_axes: types that it holds over two axes and not over one, so that those are made layers over two.
        matrix_axes: most axes that the weight of a matrix product may have.
        newest_opset: no operator may be newer.
        symmetric: whether whatever is rounded takes only zero point 0.
        largest_code: of a weight; the smallest is its negative less 1.
        rounded: types of other nodes whose inputs it takes rounded to int8; None for all.
    """

    operators: frozenset[str]
    per_channel: frozenset[str]
    symmetric_over: frozenset[int] = frozenset()
    over_two_axes: frozenset[str] = frozenset()
    matrix_axes: int = 3
    newest_opset: int = DEPLOY_OPSET
    symmetric: bool = False
    largest_code: int = 127
    rounded: tuple[str, ...] | None = ("Add", "MaxPool")
