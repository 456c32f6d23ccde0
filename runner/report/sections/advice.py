"""The result in a sentence, and what is worth doing next: with keys to copy, in the order in which they pay."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import singledispatch

from runner.figure import Block, Bullets, Marked, Paragraph, Part, Section
from runner.modes.result import AccAutoResult, Comparison, ConvertResult, JobResult
from runner.report.sections.metrics import shown
from runner.wording import Said, listed, say

_ENOUGH_TO_CALIBRATE = 300
_MOST_LAYERS = 3

Item = tuple[Part, ...]


def advice(result: JobResult, choices: Mapping[str, str]) -> Section:
    """Return the section.

    Args:
        result: of a job.
        choices: the option chosen in each configuration group.
    """
    items = list(_items(result, choices))
    blocks: list[Block] = [Paragraph((Marked(_sentence(result), "lead"),))]
    if items:
        title = say("Also worth doing:") if result.models else say("In the order in which it pays:")
        blocks += [Paragraph((title,)), Bullets(items)]
    return Section(name="next", heading=say("Result and next steps"), place="result", blocks=blocks)


@singledispatch
def _sentence(result: JobResult) -> Said:
    """Return what came of the job, in a sentence."""
    return say("The result is in the figures below.")


@_sentence.register
def _(result: AccAutoResult) -> Said:
    search, figure = result.search, result.comparison.headline
    values = _values(result)
    if search.best is None:
        closest = search.closest
        values |= {"loss": f"{closest.loss:.4g}", "count": len(closest.plan.fallback), "unit": figure.unit}
        if not result.complete:
            return say(
                "Stopped before a plan met the target: the closest so far loses {loss} {unit} with {count} of {total} layers "
                "float.",
                **_only(values, "loss", "unit", "count", "total"),
            )
        return say(
            "No plan met the target: the closest loses {loss} {unit} with {count} of {total} layers float. No model is "
            "written.",
            **_only(values, "loss", "unit", "count", "total"),
        )
    if result.status == "undecided":
        return say(
            "{int8} of {total} layers are int8 ({share:.1%} of the multiply-accumulates). The plan meets the target on the "
            "items of the search; those kept for the report are too few to tell: the loss on them is {loss} {unit}.",
            **_only(values, "int8", "total", "share", "loss", "unit"),
        )
    if result.status == "not_met":
        return say(
            "The plan meets the target on the items of the search, and misses it on those kept for the report: the loss on "
            "them is {loss} {unit}. No model is written.",
            **_only(values, "loss", "unit"),
        )
    told = say(
        "{int8} of {total} layers are int8 ({share:.1%} of the multiply-accumulates), and {metric} goes from {before} to "
        "{after}",
        **_only(values, "int8", "total", "share", "metric", "before", "after"),
    )
    if result.target_loss is None:
        return say("{told}: metric_eval accepts it.", told=told)
    return say(
        "{told}: a loss of {loss} {unit}, where less than {target:g} was asked for.",
        told=told,
        target=result.target_loss,
        **_only(values, "loss", "unit"),
    )


@_sentence.register
def _(result: ConvertResult) -> Said:
    counts = result.report["counts"]
    return say(
        "{exact} layers hold the integers of the training, {requantized} have weights that had to be rounded again, {left} "
        "stay float; {metric} goes from {before} to {after} (a loss of {loss} {unit}).",
        exact=counts["layers_exact"],
        requantized=counts["layers_requantized"],
        left=counts["layers_float"],
        **_only(_values(result), "metric", "before", "after", "loss", "unit"),
    )


def _values(result: JobResult) -> dict[str, object]:
    figure, total = result.comparison.headline, len(result.found.layers)
    return {
        "int8": total - len(result.fallback),
        "total": total,
        "share": result.layers.int8_share(result.fallback),
        "metric": figure.name,
        "before": shown(figure.before),
        "after": shown(figure.after),
        "loss": shown(figure.loss),
        "unit": figure.unit,
    }


def _only(values: Mapping[str, object], *names: str) -> dict[str, object]:
    return {name: values[name] for name in names}


@singledispatch
def _items(result: JobResult, choices: Mapping[str, str]) -> Iterator[Item]:
    """Yield what is worth doing."""
    yield from ()


@_items.register
def _(result: AccAutoResult, choices: Mapping[str, str]) -> Iterator[Item]:
    if not result.complete:
        yield (say("Run the same command again: it goes on from the last finished plan."),)
    if result.search.best is None or result.status == "not_met":
        yield from _missed(result, choices)
        return
    yield from _more_items(result.comparison, result.target_loss)
    share = 1 - result.layers.int8_share(result.fallback)
    if result.fallback and choices.get("quant") != "best" and not result.from_record:
        told = say(
            "{count} layers ({share:.1%} of the multiply-accumulates) stay float; all corrections may bring them back: ",
            count=len(result.fallback),
            share=share,
        )
        yield (told, _key("quant=best"))
    if not result.source.held_out and len(result.search.trials) > 1:
        told = say(
            "The plan was chosen on the items that it is measured on; keep some for a figure of items not seen: "
        )
        yield (told, _key("split.report=0.3"))


@_items.register
def _(result: ConvertResult, choices: Mapping[str, str]) -> Iterator[Item]:
    counts = result.report["counts"]
    if counts["layers_float"]:
        yield (say("{count} layers stay float; the tables below say why.", count=counts["layers_float"]),)
    if counts["layers_requantized"]:
        told = say(
            "Train with symmetric weights (zero point 0), one scale an output channel, for layers that convert exactly."
        )
        yield (told,)


def _missed(result: AccAutoResult, choices: Mapping[str, str]) -> Iterator[Item]:
    """Yield what to try where no plan met the target."""
    figure, source = result.comparison.headline, result.source
    metric = result.comparison.deciding
    if metric is not None and not metric.needs_labels:
        # It compares with the float model, whose own figure says nothing.
        yield (say("Is what reaches the model right? Look at the preprocessing: "), _key("python -m runner doctor"))
    else:
        told = say(
            "Is {metric} of the float model, {before}, what the model is known to reach? If not, look at the preprocessing: ",
            metric=figure.name,
            before=shown(figure.before),
        )
        yield (told, _key("python -m runner doctor"), " ", _key("expect=…"))
    yield from _more_items(result.comparison, result.target_loss)
    if not result.from_record:
        if source.calibration_items < _ENOUGH_TO_CALIBRATE:
            told = say(
                "Calibrate on more than {count} items, of more data where these are all: ",
                count=source.calibration_items,
            )
            yield (told, _key("calibration.count=…"), " ", _key("calibration.dataset=…"))
        if choices.get("quant") == "amct":
            yield (say("Correct biases, and choose float layers by what reaches the outputs: "), _key("quant=fast"))
        if choices.get("quant") != "best":
            yield (say("Make all corrections: "), _key("quant=best"))
        yield (say("Try other ranges of the activations: "), _key("-m observer=ifmr,hfmg,percentile,minmax"))
    worst = _worst(result)
    if worst:
        yield (say("See below what int8 does to the worst layers: {layers}.", layers=listed(worst)),)
    if result.target_loss is not None and result.search.closest.loss > 0:
        allowed = f"target_loss={_above(result.search.closest.loss):g}"
        yield (say("Where the loss of the closest plan is acceptable, allow it: "), _key(allowed))
    yield (say("Train the model for int8 (QAT), and convert it: "), _key("mode=convert_qat"))


def _more_items(comparison: Comparison, target: float | None) -> Iterator[Item]:
    interval = comparison.interval
    if interval is None or target is None or interval.verdict(target) != "undecided":
        return
    told = say("These items are too few to say on which side of the target the loss on others lies; give more.")
    needed = interval.items_to_settle
    if needed is not None and needed > comparison.items:
        told = say(
            "{count} items are too few to say on which side of the target the loss on others lies; about {needed} would tell.",
            count=comparison.items,
            needed=needed,
        )
    yield (told,)


def _worst(result: AccAutoResult) -> list[str]:
    measured = result.loss_contributions
    if measured is not None:
        groups = [group.layers for group, value in measured.worst_first if value > 0]
        return [name for layers in groups for name in layers][:_MOST_LAYERS]
    return [name for name, _ in result.ranking.entries[:_MOST_LAYERS]]


def _above(loss: float) -> float:
    """Return the next number of two digits above a loss."""
    step = 10.0 ** (len(f"{int(loss)}") - 2) if loss >= 1 else 10.0 ** (int(f"{loss:e}".partition("e")[2]) - 1)
    return float(f"{(loss // step + 1) * step:.2g}")


def _key(text: str) -> Marked:
    return Marked(text, "code")
