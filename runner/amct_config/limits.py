"""The legal values of AMCT's options, one check for both file formats.

A check says what is wrong as ``expected …, got …``; who calls it says where.
"""

from __future__ import annotations

from decimal import Decimal

from runner.calibration.ifmr import MOST_RATIOS
from runner.correction.options import LEAST_STRENGTH, MOST_STRENGTH

NUM_OF_BINS = (1024, 2048, 4096, 8192)
GLOBAL_KEYS = (
    "version",
    "batch_num",
    "activation_offset",
    "joint_quant",
    "do_fusion",
    "skip_fusion_layers",
    "fakequant_precision_mode",
    "tensor_quantize",
)


def check_percentile(value: float) -> None:
    """Raise a ValueError unless the share lies in (0.5, 1]."""
    if not Decimal("0.5") < _decimal(value) <= 1:
        raise ValueError(f"expected a share in (0.5, 1.0], got {value}")


def check_search_range(start: float, end: float) -> None:
    """Raise a ValueError unless 0 < start < end."""
    if not 0 < _decimal(start) < _decimal(end):
        raise ValueError(f"expected 0 < start < end, got [{start}, {end}]")


def check_search_step(step: float, start: float, end: float) -> None:
    """Raise a ValueError unless 0 < step <= end - start, compared as the decimals that the file shows."""
    width = _decimal(end) - _decimal(start)
    if not 0 < _decimal(step) <= width:
        raise ValueError(f"expected more than 0 and at most end - start = {width}, got {step}")
    if width > MOST_RATIOS * _decimal(step):
        raise ValueError(f"expected at most {MOST_RATIOS} ratios between {start} and {end}, got steps of {step}")


def check_num_of_bins(value: int) -> None:
    """Raise a ValueError unless the number of bins is one of AMCT's."""
    if value not in NUM_OF_BINS:
        raise ValueError(f"expected one of {', '.join(map(str, NUM_OF_BINS))}, got {value}")


def check_batch_num(value: int) -> None:
    """Raise a ValueError unless there is at least one batch."""
    if value < 1:
        raise ValueError(f"expected 1 or more, got {value}")


def check_migration_strength(value: float) -> None:
    """Raise a ValueError unless the DMQ balancer takes this strength."""
    if not LEAST_STRENGTH <= value <= MOST_STRENGTH:
        raise ValueError(f"expected a migration strength of {LEAST_STRENGTH} to {MOST_STRENGTH}, got {value}")


def check_input_index(value: int) -> None:
    """Raise a ValueError unless it can be the index of a node's input."""
    if value < 0:
        raise ValueError(f"expected 0 or more, got {value}")


def check_num_bits(value: int) -> None:
    """Raise a ValueError unless it is int8, all that this tool makes."""
    if value != 8:
        raise ValueError(f"expected 8, the only width that is supported here, got {value}")


def _decimal(value: float) -> Decimal:
    return Decimal(str(value))
