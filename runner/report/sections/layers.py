"""How much of the model is int8: its layers, the tensors that other nodes read, the work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from runner.figure import Card, Figure, Line, Section
from runner.modes.result import Layers
from runner.wording import say

_MOST_NAMES = 8
# For names in a line of 80 columns, beside what it is about and "and 99 more".
_ROOM = 54


def layers(kept: Layers, fallback: Sequence[str]) -> Section:
    """Return the section.

    Args:
        kept: the layers and their costs.
        fallback: names of those left float, in graph order.
    """
    total, tensors = len(kept.found.layers), len(kept.form.tensors)
    int8, share = total - len(fallback), kept.int8_share(fallback)
    figures = (
        Figure(key="layers_total", value=total, tracked="layers/total"),
        Figure(
            key="layers_int8",
            value=int8,
            tracked="layers/int8",
            title="int8 layers",
            phrase=f"{int8} of {total}, {share:.1%} of MACs",
            card=Card(
                say("int8 layers"),
                say("{count} of {total}", count=int8, total=total),
                say("{share:.1%} of multiply-accumulates", share=share),
            ),
        ),
        Figure(value=len(fallback), tracked="layers/fallback", title="left float", phrase=_names(fallback)),
        Figure(
            key="tensors_quantized",
            value=tensors,
            title="int8 tensors",
            phrase=f"{tensors} that other nodes read" if tensors else "",
            sentence=say("{count} tensors that other nodes read are int8 too.", count=tensors) if tensors else "",
        ),
        Figure(key="macs_int8_share", value=share, tracked="layers/macs_int8_share"),
        Figure(key="fallback", value=list(fallback)),
    )
    return Section(name="layers", figures=figures, brief=tuple(_brief(int8, total, share, fallback)))


def _brief(int8: int, total: int, share: float, fallback: Sequence[str]) -> Iterator[Line]:
    yield Line(
        "int8 layers",
        f"{int8} of {total}, {share:.1%} of multiply-accumulates" + ("" if fallback else "; none is float"),
    )
    if fallback:
        fitting = [n for n in range(1, len(fallback) + 1) if len(", ".join(fallback[:n])) <= _ROOM]
        more = len(fallback) - len(fitting)
        named = ", ".join(fallback[: len(fitting)])
        yield Line("left float", (f"{named} and {more} more" if more else named) if named else f"{more} layers")


def _names(names: Sequence[str]) -> str:
    if not names:
        return "none"
    shown = ", ".join(names[:_MOST_NAMES])
    return shown if len(names) <= _MOST_NAMES else f"{shown} and {len(names) - _MOST_NAMES} more"
