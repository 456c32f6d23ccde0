"""Where the scales come from, and which items served for what."""

from __future__ import annotations

from runner.figure import Figure, Line, Section
from runner.modes.result import Source
from runner.wording import say


def data_split(source: Source, *, from_record: bool) -> Section:
    """Return the section.

    Args:
        source: what was run on what.
        from_record: whether the scales were read from a record.
    """
    split = {
        "calibration": source.calibration_items,
        "search": source.search_items,
        "report": source.evaluation_items,
        "held_out": source.held_out,
        "left_out": source.left_out,
    }
    read = say("The scales were read from a record; nothing was calibrated, ranked or searched.")
    calibrated = say(
        "{count} calibration items, {overlap} of them measured on.",
        count=source.calibration_items,
        overlap=source.overlap,
    )
    figures = (
        Figure(
            key="overlap",
            value=source.overlap,
            title="scales",
            phrase="from the record; nothing was calibrated, ranked or searched" if from_record else "",
            sentence=read if from_record else calibrated,
        ),
        Figure(key="split", value=split),
    )
    brief = (Line("scales", figures[0].phrase),) if from_record else ()
    return Section(name="data_split", figures=figures, brief=brief)
