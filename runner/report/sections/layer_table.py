"""Every layer with its form, range and scales; what was measured of it; and the nodes that are no layers, with reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from runner.arithmetic import QMAX, QMIN
from runner.figure import Column, Figure, Paragraph, Row, Section, Table
from runner.graph.layers import Layer, LeftAlone
from runner.modes.result import AccAutoResult, JobResult
from runner.ranges import ActivationParams
from runner.search.plan import INT8
from runner.wording import listed, recalled, say

_BEFORE = (
    Column(say("layer"), "name"),
    Column(say("operator")),
    Column(say("MACs"), "number"),
    Column(say("form")),
)
_BEHIND = (
    Column(say("input range")),
    Column("scale_d", "number"),
    Column("offset_d", "number"),
    Column("scale_w"),
)


@dataclass(frozen=True, slots=True)
class Judged:
    """What a search knows of layers; a search that knows nothing leaves the columns out.

    Attributes:
        treatments: the int8 form of a layer where it is not the plain one.
        columns: a title and the cell of each layer.
    """

    treatments: Mapping[str, str] = field(default_factory=dict)
    columns: Sequence[tuple[str, Mapping[str, str]]] = ()


def judged(result: AccAutoResult) -> Judged:
    """Return what ranking, loss contributions and the chosen plan say of each layer."""
    columns: list[tuple[str, Mapping[str, str]]] = []
    contributions, entries = result.loss_contributions, result.ranking.entries
    if contributions is not None:
        shares = {
            name: f"{contributions.share(value):.1%}" for group, value in contributions.groups for name in group.layers
        }
        columns.append((say("damage that goes with it ({measure})", measure=contributions.measure), shares))
    if entries:
        # Without contributions the ranking is made of each layer's own output, whatever becomes of that further down.
        title = say("sensitivity (its own output alone)")
        if contributions is not None:
            title = say("sensitivity ({measure} at the model's outputs)", measure=contributions.measure)
        columns.append((say("rank"), {name: str(place) for place, (name, _) in enumerate(entries, start=1)}))
        columns.append((title, {name: f"{value:.6g}" for name, value in entries}))
    return Judged(dict((result.search.best or result.search.closest).plan.treatments), columns)


def layer_table(result: JobResult, known: Judged | None = None) -> Section:
    """Return the section."""
    known = known or Judged()
    measured = [Column(title, "number") for title, _ in known.columns]
    rows = [_row(result, layer, known) for layer in result.found.layers]
    float_too = any(row.kind for row in rows)
    choices = (("", say("int8")), ("float", say("float"))) if float_too else ()
    table = Table((*_BEFORE, *measured, *_BEHIND), rows, choices)
    left, better = result.found.left_alone, _better_float(result)
    told = [Paragraph((_reasons(say("Not quantizable:"), left),), soft=True)] if left else []
    told += [Paragraph((_reasons(say("Better float:"), better),), soft=True)] if better else []
    kinds = ", ".join(sorted({node.op_type for node in left}))
    phrase = f"{len(left)} nodes ({kinds}); the log gives each reason"
    figures = (Figure(title="left alone", phrase=phrase),) if left else ()
    return Section(name="layer_table", heading=say("Layers"), place="layers", figures=figures, blocks=(table, *told))


def _better_float(result: JobResult) -> list[LeftAlone]:
    """Return the layers that stay float by themselves."""
    if not isinstance(result, AccAutoResult) or result.from_record:
        return []
    return [layer for layer in result.found.better_float if layer.name in result.skipped]


def _row(result: JobResult, layer: Layer, known: Judged) -> Row:
    costs = result.layers.costs
    total = sum(cost.macs for cost in costs.values())
    quantized = None if layer.name in result.fallback else result.form.layers.get(layer.name)
    params = None if quantized is None else quantized.record.activation
    cells = (
        layer.name,
        _operator(layer),
        f"{costs[layer.name].macs / total:.2%}" if layer.name in costs and total else "",
        say("float") if quantized is None else known.treatments.get(layer.name, INT8),
        *(values.get(layer.name, "") for _, values in known.columns),
        _range(params) if params else "",
        f"{params.scale:.4g}" if params else "",
        str(params.zero_point) if params else "",
        "" if quantized is None else _spread(quantized.record.weight_scales),
    )
    return Row(cells, "float" if quantized is None else "")


def _operator(layer: Layer) -> str:
    if layer.group > 1 and layer.group == layer.channels:
        return say("{operator} depthwise", operator=layer.op_type)
    return layer.op_type


def _range(params: ActivationParams) -> str:
    """Return the real values of the lowest and the highest code."""
    low, high = ((code - params.zero_point) * params.scale for code in (QMIN, QMAX))
    return f"{low:.4g} … {high:.4g}"


def _spread(scales: Sequence[float]) -> str:
    low, high = min(scales), max(scales)
    return f"{low:.3g}" if low == high else f"{low:.3g} … {high:.3g}"


def _reasons(title: str, left: Sequence[LeftAlone]) -> str:
    said = [
        say("{node} ({operator}): {reason}", node=node.name, operator=node.op_type, reason=recalled(node.reason))
        for node in left
    ]
    return say("{title}\n{reasons}.\n", title=title, reasons=listed(said, "; \n"))
