"""What a search found beyond AMCT's files: loss contributions and the curve of the plans, as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runner.search.end_to_end import LossContributions
from runner.search.pareto import Point


def contribution_entries(contributions: LossContributions) -> dict[str, Any]:
    """Return the content of ``damage.json``: an entry a layer group, the largest contribution first."""
    return {
        "measure": contributions.measure,
        "items": len(contributions.items),
        "all_int8": contributions.total,
        "units": [
            {"layers": list(group.layers), "damage": part, "share": contributions.share(part), "macs": group.macs}
            for group, part in contributions.worst_first
        ],
    }


def curve_entries(curve: Sequence[Point]) -> list[dict[str, Any]]:
    """Return the content of ``pareto.json``: an entry a plan tried, the most int8 first."""
    return [
        {
            "trial": point.step,
            "macs_int8_share": point.int8_share,
            "loss": point.loss,
            "accepted": point.accepted,
            "best_of_its_price": point.best_of_its_price,
            "chosen": point.chosen,
            "fallback": list(point.plan.fallback),
            "repaired": list(point.plan.repaired),
            "float_tensors": point.plan.float_tensors,
        }
        for point in curve
    ]
