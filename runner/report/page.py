"""A job's result as one HTML page: no script, no network, no clock, so it can be mailed, kept and compared by bytes."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from runner.arithmetic import QMAX, QMIN
from runner.modes.result import AccAutoResult, ConvertResult
from runner.ranges import ActivationParams
from runner.report.curve_chart import curve_chart
from runner.report.environment import versions
from runner.report.flips import Flip
from runner.report.proof import sentences
from runner.report.wording import (
    STATUS,
    coarse_phrases,
    input_phrases,
    items_phrase,
    loss_phrase,
    rewriting_phrases,
    uncertainty_phrases,
    written_phrases,
)
from runner.search.pareto import curve_of
from runner.search.plan import INT8, Trial
from runner.targets.ascend.atc_commands import atc_command, check_command

PAGE = "report.html"
Result = AccAutoResult | ConvertResult
_TEMPLATE = "page.html.j2"
_MOST_FLIPS = 24
_MOST_TRIALS = 60


@dataclass(frozen=True, slots=True)
class LayerRow:
    """A layer on the page; what does not apply is empty."""

    name: str
    operator: str
    macs: str
    treatment: str
    is_float: bool
    rank: str
    sensitivity: str
    damage: str
    range: str
    scale: str
    zero_point: str
    weight_scales: str


@dataclass(frozen=True, slots=True)
class TrialRow:
    """A plan tried, on the page."""

    step: int
    int8_layers: int
    repaired: int
    share: str
    loss: str
    verdict: str
    chosen: bool


def page(result: Result, summary: Mapping[str, Any], flips: Sequence[Flip] | None, sheet: bytes | None) -> str:
    """Return the page.

    Args:
        result: of a job, with its summary.
        summary: of it.
        flips: the answers that changed, worst first; None where the model is no classifier.
        sheet: a PNG of the worst flips, or None.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    said, colour = STATUS[result.status]
    root = result.folder.root
    deploy = None if result.written is None else Path(result.written.pair.deploy)
    shapes = {} if result.written is None else result.written.input_shapes
    files = sorted({path.relative_to(root).as_posix() for path in result.folder.files} | {"summary.json"})
    return environment.get_template(_TEMPLATE).render(
        summary=summary,
        status=said,
        colour=colour,
        metric=result.comparison.headline,
        cards=_cards(result, summary),
        facts=_facts(result, summary),
        warnings=result.warnings,
        chart=_chart(result),
        trials=_trials(result),
        most_trials=_MOST_TRIALS,
        layers=_layers(result),
        ranked=isinstance(result, AccAutoResult) and bool(result.ranking.entries),
        measure=result.damage.measure if isinstance(result, AccAutoResult) and result.damage else None,
        left_alone=result.found.left_alone,
        flips=flips,
        most_flips=_MOST_FLIPS,
        sheet=None if sheet is None else base64.b64encode(sheet).decode("ascii"),
        proof=[] if result.proof is None else sentences(result.proof),
        written=[] if result.written is None else written_phrases(result.written),
        atc=None if deploy is None else atc_command(deploy, shapes),
        atc_check=None if deploy is None else check_command(deploy),
        files=files,
        versions=versions(),
    )


def _cards(result: Result, summary: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return the figures to see first: title, figure, what stands below it."""
    metric = result.comparison.headline
    cards = [
        (metric.name, f"{metric.before:.4g} → {metric.after:.4g}", items_phrase(result)),
        ("loss", f"{metric.loss:.4g}", loss_phrase(result, summary).partition("; ")[2] or metric.unit),
        (
            "int8 layers",
            f"{summary['layers_int8']} of {summary['layers_total']}",
            f"{summary['macs_int8_share']:.1%} of multiply-accumulates",
        ),
    ]
    if "agreement" in summary:
        cards.append(("agreement", f"{summary['agreement']:.2%}", "of answers as before"))
    if "kl" in summary:
        cards.append(("KL divergence", f"{summary['kl']:.3g}", "nats, from the float model's"))
    elif "sqnr_db" in summary:
        cards.append(("SQNR", f"{summary['sqnr_db']:.1f} dB", "of the raw outputs"))
    return cards


def _facts(result: Result, summary: Mapping[str, Any]) -> list[str]:
    facts = [f"Loss {loss_phrase(result, summary)}.", *(f"{text}." for text in uncertainty_phrases(summary))]
    facts += [f"Input values: {text}." for text in input_phrases(summary)]
    facts += [f"For the int8 form {text}." for text in rewriting_phrases(summary)]
    if summary["tensors_quantized"]:
        facts.append(f"{summary['tensors_quantized']} tensors that other nodes read are int8 too.")
    if isinstance(result, ConvertResult):
        facts.append("The loss is that against the QuantizeLinear/DequantizeLinear model as it was given.")
        facts += [f"{phrase[0].upper()}{phrase[1:]}." for phrase in coarse_phrases(summary)]
    else:
        if result.from_record:
            facts.append("The scales were read from a record; nothing was calibrated, ranked or searched.")
        else:
            facts.append(
                f"{result.source.calibration_items} calibration items, {result.source.overlap} of them measured on."
            )
        if result.repaired:
            facts.append(
                f"{len(result.repaired)} of the int8 layers are repaired: their biases, weights or ranges were refitted."
            )
        if result.search.best is None:
            closest = result.search.closest
            facts.append(
                f"No plan met the target, so no model is written; the closest one loses {closest.loss:.4g} with "
                f"{len(closest.plan.fallback)} layers float."
            )
    return facts


def _chart(result: Result) -> Markup | None:
    """Return the picture of the plans that were scored in full, where there is more than one."""
    if not isinstance(result, AccAutoResult):
        return None
    curve = curve_of(result.search, result.costs)
    if len({point.plan for point in curve}) < 2:
        return None
    unit = result.comparison.headline.unit
    # The SVG is ours, and its texts are escaped where it is made.
    return Markup(curve_chart(curve, title="Plans scored over every item", unit=unit, target=result.target_loss))


def _trials(result: Result) -> list[TrialRow]:
    if not isinstance(result, AccAutoResult) or result.from_record:
        return []
    total = sum(cost.macs for cost in result.costs.values())
    chosen = result.search.best
    return [
        TrialRow(
            step,
            len(trial.plan.int8_layers),
            len(trial.plan.repaired),
            f"{sum(result.costs[name].macs for name in trial.plan.int8_layers) / total:.1%}" if total else "",
            f"{trial.loss:.4g}",
            _verdict(trial),
            trial is chosen,
        )
        for step, trial in enumerate(result.search.trials)
    ]


def _verdict(trial: Trial) -> str:
    said = "accepted" if trial.accepted else "refused"
    return said if trial.settled_after is None else f"{said}, settled after {trial.settled_after} items"


def _layers(result: Result) -> list[LayerRow]:
    total = sum(cost.macs for cost in result.costs.values())
    ranks: dict[str, tuple[int, float]] = {}
    treatments: Mapping[str, str] = {}
    damages: Mapping[str, float] = {}
    if isinstance(result, AccAutoResult):
        ranks = {name: (place, value) for place, (name, value) in enumerate(result.ranking.entries, start=1)}
        treatments = dict((result.search.best or result.search.closest).plan.treatments)
        if result.damage is not None:
            shares = [(unit.layers, result.damage.share(value)) for unit, value in result.damage.groups]
            damages = {name: share for layers, share in shares for name in layers}
    rows = []
    for layer in result.found.layers:
        quantized = None if layer.name in result.fallback else result.form.layers.get(layer.name)
        params = None if quantized is None else quantized.record.activation
        cost = result.costs.get(layer.name)
        rank = ranks.get(layer.name)
        rows.append(
            LayerRow(
                layer.name,
                layer.op_type + (" depthwise" if layer.group > 1 and layer.group == layer.channels else ""),
                f"{cost.macs / total:.2%}" if cost and total else "",
                "float" if quantized is None else treatments.get(layer.name, INT8),
                quantized is None,
                str(rank[0]) if rank else "",
                f"{rank[1]:.6g}" if rank else "",
                f"{damages[layer.name]:.1%}" if layer.name in damages else "",
                _range(params) if params else "",
                f"{params.scale:.4g}" if params else "",
                str(params.zero_point) if params else "",
                "" if quantized is None else _spread(quantized.record.weight_scales),
            )
        )
    return rows


def _range(params: ActivationParams) -> str:
    """Return the real values of the lowest and the highest code."""
    low, high = ((code - params.zero_point) * params.scale for code in (QMIN, QMAX))
    return f"{low:.4g} … {high:.4g}"


def _spread(scales: Sequence[float]) -> str:
    low, high = min(scales), max(scales)
    return f"{low:.3g}" if low == high else f"{low:.3g} … {high:.3g}"
