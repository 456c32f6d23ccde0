"""Rewrite: the float model as its quantized form wants it, and how far that moved its outputs."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from runner.correction.options import Correction
from runner.modes.context import Context
from runner.modes.prepared_model import PreparedModel
from runner.modes.rewriting import rewritten_model
from runner.modes.rewriting_gap import cached_gap
from runner.modes.selection import Selection
from runner.modes.steps.load import Loaded

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Rewritten:
    """The float model that is quantized.

    Attributes:
        prepared: the model.
        gap: how far rewriting, folding and the raised opset moved the float outputs, relative to the largest.
    """

    prepared: PreparedModel
    gap: float


def rewrite(loaded: Loaded, selection: Selection, correction: Correction, job: Context, *, gap: float) -> Rewritten:
    """Return the float model that is quantized.

    Args:
        loaded: the model as it was prepared, and the items.
        selection: knows which layers stay float, and which have zero point 0.
        correction: says what may be done.
        job: runs models.
        gap: of the model as it was prepared.

    Raises:
        ModelError: rewriting moved the outputs by more than rounding can.
    """
    split = loaded.split
    prepared = rewritten_model(loaded.prepared, correction, split.calibration, selection, job)
    if prepared is not loaded.prepared:
        gap = cached_gap(prepared, split.search, job)
    logger.info("folding and the raised opset move the float outputs by %.3g of their largest value", gap)
    return Rewritten(prepared, gap)
