"""The answers that the quantized model changed: how many, and the worst of them."""

from __future__ import annotations

from collections.abc import Sequence

from runner.figure import Block, Column, Marked, Paragraph, Picture, Row, Section, Table
from runner.report.flips import FLIPS, Flip

_MOST = 24
_COLUMNS = (
    Column("item", "name"),
    Column("label", "number"),
    Column("effect"),
    Column("float answer", "number"),
    Column("margin", "number"),
    Column("quantized answer", "number"),
    Column("margin", "number"),
)


def changed_answers(flips: Sequence[Flip] | None, sheet: bytes | None, items: int) -> Section:
    """Return the section; empty where the model is no classifier.

    Args:
        flips: the answers that changed, worst first.
        sheet: a PNG of the worst, where the items are images.
        items: how many were compared.
    """
    if flips is None:
        return Section(name="changed_answers")
    lost, gained = (sum(flip.effect == effect for flip in flips) for effect in ("lost", "gained"))
    blocks: list[Block] = [
        Paragraph(
            (
                f"{len(flips)} of {items}: ",
                Marked(f"{lost} lost", "lost"),
                ", ",
                Marked(f"{gained} gained", "gained"),
                f", {len(flips) - lost - gained} wrong before and after, or without a label.",
            )
        )
    ]
    if sheet is not None:
        blocks.append(Picture(png=sheet, shows="The worst of them, as the model sees them"))
    elif flips:
        blocks.append(Table(_COLUMNS, [_row(flip) for flip in flips[:_MOST]]))
    if len(flips) > _MOST:
        blocks.append(Paragraph((f"The worst {_MOST}; {FLIPS} has all.",), soft=True))
    return Section(name="changed_answers", heading="Answers that changed", blocks=blocks)


def _row(flip: Flip) -> Row:
    answers = [text for answer in (flip.before, flip.after) for text in (str(answer.category), f"{answer.margin:.3f}")]
    label = "" if flip.label is None else str(flip.label)
    return Row((flip.name, label, Marked(flip.effect, flip.effect), *answers))
