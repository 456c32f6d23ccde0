"""What reaches the model's inputs: the values of each, and those that are fixed."""

from __future__ import annotations

from collections.abc import Iterator

from runner.figure import Figure, Line, Section
from runner.modes.result import ModelInputs
from runner.report.tracked import tracker_name
from runner.wording import recalled, say

_TITLE = "input values"
_MOST = 2


def inputs(given: ModelInputs) -> Section:
    """Return the section."""
    return Section(
        name="inputs",
        heading=say("What reaches the model"),
        place="again",
        figures=(*_values(given), *_settled(given)),
        brief=tuple(_brief(given)),
    )


def _brief(given: ModelInputs) -> Iterator[Line]:
    """Yield the values of the first inputs, and what was chosen for them."""
    seen = given.seen.values if given.seen is not None else {}
    told = [f"{name} {one.low:.4g} to {one.high:.4g}, mean {one.mean:.4g}" for name, one in list(seen.items())[:_MOST]]
    told += [f"and of {len(seen) - _MOST} more inputs: verbose=true"] if len(seen) > _MOST else []
    for place, text in enumerate(told):
        yield Line("" if place else _TITLE, text)
    for text in given.chosen:
        yield Line("chosen", text)


def _values(given: ModelInputs) -> Iterator[Figure]:
    seen = given.seen
    for name, values in seen.values.items() if seen is not None else ():
        items = 0 if seen is None else seen.items
        told = {"min": values.low, "max": values.high, "mean": values.mean, "items": items}
        phrase = say(
            "{name} {low:.4g} to {high:.4g}, mean {mean:.4g} ({items} items)",
            name=name,
            low=values.low,
            high=values.high,
            mean=values.mean,
            items=items,
        )
        yield _figure(("inputs", name), told, phrase)
        for key in ("min", "max", "mean"):
            yield Figure(value=told[key], tracked=f"input/{tracker_name(name)}/{key}")


def _settled(given: ModelInputs) -> Iterator[Figure]:
    if given.chosen:
        yield Figure(key="chosen", value=list(given.chosen))
    for text in given.chosen:
        sentence = say("Input values: chosen: {text}.", text=recalled(text))
        yield Figure(title=_TITLE, phrase=f"chosen: {text}", sentence=sentence)
    for name, value in given.constants.items():
        yield _figure(("constants", name), value, say("{name} fixed at {value}", name=name, value=value))


def _figure(key: tuple[str, str], value: object, phrase: str) -> Figure:
    return Figure(
        key=key, value=value, title=_TITLE, phrase=phrase, sentence=say("Input values: {values}.", values=phrase)
    )
