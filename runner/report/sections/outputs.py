"""How far each output is from the float model's, and which of them is the worst."""

from __future__ import annotations

from typing import Any

from runner.evaluation.distance import OutputSums
from runner.figure import Column, Figure, Grid, Row, Section, Table
from runner.modes.result import Comparison
from runner.report.tracked import tracker_name
from runner.wording import say

_MOST = 24
_TITLES = (say("output"), say("SQNR"), say("mean squared error"), say("values that differ"))


def outputs(comparison: Comparison) -> Section:
    """Return the section: a table where there are several outputs, the worst first."""
    told, ceiling = comparison.output_sums, comparison.ceiling_db
    figures = [
        Figure(key=("outputs", name), value=_values(sums, ceiling, comparison.outputs.get(name, False)))
        for name, sums in told.items()
    ]
    if len(told) < 2:
        return Section(name="outputs", figures=figures)
    worst_first = sorted(told, key=lambda name: told[name].sqnr_db)
    worst = worst_first[0]
    said = f"{worst}, {min(told[worst].sqnr_db, ceiling):.1f} dB"
    figures.append(
        Figure(
            title="worst output",
            phrase=said,
            sentence=say("The output furthest from the float model's is {output}.", output=said),
        )
    )
    figures += [
        Figure(value=min(sums.sqnr_db, ceiling), tracked=f"outputs/{tracker_name(name)}/sqnr_db")
        for name, sums in told.items()
    ]
    by_equality = [name for name in told if comparison.outputs.get(name, False)]
    titles = _TITLES if by_equality else _TITLES[:-1]
    shown = [_cells(name, told[name], ceiling, by_equality=name in by_equality) for name in worst_first[:_MOST]]
    rows = [cells[: len(titles)] for cells in shown]
    more = len(told) - len(rows)
    below = [f"and {more} more; summary.json has all"] if more else []
    table = Table(
        [Column(_TITLES[0], "name"), *(Column(title, "number") for title in titles[1:])], list(map(Row, rows))
    )
    return Section(
        name="outputs",
        figures=figures,
        heading=say("Outputs"),
        blocks=(table,),
        grid=Grid("outputs", titles, rows, below),
    )


def _values(sums: OutputSums, ceiling: float, by_equality: bool) -> dict[str, Any]:
    values: dict[str, Any] = {"sqnr_db": min(sums.sqnr_db, ceiling), "mse": sums.mse}
    if by_equality:
        values["differing"] = sums.mse
    elif sums.signal == 0:
        values["no_signal"] = True
    return values


def _cells(name: str, sums: OutputSums, ceiling: float, *, by_equality: bool) -> tuple[str, ...]:
    db = f"{sums.sqnr_db:.1f} dB"
    if sums.sqnr_db >= ceiling:
        db = say("{ceiling:g} dB or more", ceiling=ceiling)
    if not by_equality and sums.signal == 0:
        db = say("{sqnr} (0 throughout in the float model)", sqnr=db)
    return (name, db, "", f"{sums.mse:.3%}") if by_equality else (name, db, f"{sums.mse:.3g}", "")
