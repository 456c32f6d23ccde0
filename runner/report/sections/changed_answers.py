"""The answers that the quantized model changed: how many, and the worst of them."""

from __future__ import annotations

from collections.abc import Sequence

from runner.figure import Block, Column, Marked, Paragraph, Picture, Row, Section, Table
from runner.report.flips import EFFECTS, FLIPS, Flip
from runner.wording import say

_MOST = 24
_COLUMNS = (
    Column(say("item"), "name"),
    Column(say("label"), "number"),
    Column(say("effect")),
    Column(say("float answer"), "number"),
    Column(say("margin"), "number"),
    Column(say("quantized answer"), "number"),
    Column(say("margin"), "number"),
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
                say("{count} of {total}: ", count=len(flips), total=items),
                Marked(say("{count} lost", count=lost), "lost"),
                say(", "),
                Marked(say("{count} gained", count=gained), "gained"),
                say(", {count} wrong before and after, or without a label.", count=len(flips) - lost - gained),
            )
        )
    ]
    if sheet is not None:
        blocks.append(Picture(png=sheet, shows=say("The worst of them, as the model sees them")))
    elif flips:
        blocks.append(Table(_COLUMNS, [_row(flip) for flip in flips[:_MOST]]))
    if len(flips) > _MOST:
        blocks.append(Paragraph((say("The worst {count}; {file} has all.", count=_MOST, file=FLIPS),), soft=True))
    return Section(name="changed_answers", heading=say("Answers that changed"), place="changes", blocks=blocks)


def _row(flip: Flip) -> Row:
    answers = [text for answer in (flip.before, flip.after) for text in (str(answer.category), f"{answer.margin:.3f}")]
    label = "" if flip.label is None else str(flip.label)
    return Row((flip.name, label, Marked(EFFECTS[flip.effect], flip.effect), *answers))
