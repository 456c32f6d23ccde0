"""The pictures by the names of their files."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.figure import Figure

from benchmarks.pictures.arithmetic import accumulators, quantizer
from benchmarks.pictures.channels import balancing, equalization
from benchmarks.pictures.corrections import corrections
from benchmarks.pictures.output_ranges import output_ranges
from benchmarks.pictures.ranges import observers, pixels
from benchmarks.pictures.search import early_stopping, sensitivity, strategies
from benchmarks.pictures.uncertainty import interval
from benchmarks.pictures.weights import bias, rounding

PICTURES: dict[str, Callable[[], Figure]] = {
    made.__name__: made
    for made in (
        *(
            quantizer,
            accumulators,
            observers,
            pixels,
            equalization,
            balancing,
            rounding,
            bias,
            output_ranges,
            corrections,
        ),
        *(sensitivity, strategies, early_stopping, interval),
    )
}
