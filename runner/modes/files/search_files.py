"""What a search found beyond AMCT's files: the damage of each unit and the curve of the plans, as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runner.search.end_to_end import Damage
from runner.search.pareto import Point


def damage_entries(damage: Damage) -> dict[str, Any]:
    """Return the content of ``damage.json``: an entry a unit, most damage first."""
    return {
        "measure": damage.measure,
        "items": len(damage.items),
        "all_int8": damage.total,
        "units": [
            {"layers": list(unit.layers), "damage": value, "share": damage.share(value), "macs": unit.macs}
            for unit, value in damage.worst_first
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
