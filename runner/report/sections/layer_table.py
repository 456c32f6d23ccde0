"""Every layer with its form, range and scales; what was measured of it; and the nodes that are no layers, with reasons."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from runner.arithmetic import QMAX, QMIN
from runner.graph.layers import Layer, LeftAlone
from runner.modes.result import AccAutoResult, JobResult
from runner.ranges import ActivationParams
from runner.record import QuantizedLayer
from runner.report.figure import Block, Column, Figure, Paragraph, Row, Section, Table
from runner.search.plan import INT8


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
    """Return what ranking, measured damage and the chosen plan say of each layer."""
    columns: list[tuple[str, Mapping[str, str]]] = []
    entries = result.ranking.entries
    if entries:
        columns.append(("rank", {name: str(place) for place, (name, _) in enumerate(entries, start=1)}))
        columns.append(("sensitivity", {name: f"{value:.6g}" for name, value in entries}))
    damage = result.damage
    if damage is not None:
        shares = {name: f"{damage.share(value):.1%}" for unit, value in damage.units for name in unit.layers}
        columns.append((f"damage that goes with it ({damage.measure})", shares))
    return Judged(dict((result.search.best or result.search.closest).plan.treatments), columns)


def layer_table(result: JobResult, known: Judged | None = None) -> Section:
    """Return the section."""
    known = known or Judged()
    columns = [column for column, _ in _columns(result, known)]
    rows = []
    for layer in result.found.layers:
        quantized = None if layer.name in result.fallback else result.form.layers.get(layer.name)
        cells = [cell(layer, quantized) for _, cell in _columns(result, known)]
        rows.append(Row(cells, "float" if quantized is None else ""))
    blocks: list[Block] = [Table(columns, rows)]
    left = result.found.left_alone
    if not left:
        return Section(name="layer_table", heading="Layers", blocks=blocks)
    blocks.append(Paragraph((_reasons(left),), soft=True))
    kinds = ", ".join(sorted({node.op_type for node in left}))
    figure = Figure(title="left alone", phrase=f"{len(left)} nodes ({kinds}); the log gives each reason")
    return Section(name="layer_table", heading="Layers", figures=(figure,), blocks=blocks)


_Cell = Callable[[Layer, QuantizedLayer | None], str]


def _columns(result: JobResult, known: Judged) -> list[tuple[Column, _Cell]]:
    """Return each column with what it says of a layer and its int8 form."""
    costs = result.layers.costs
    total = sum(cost.macs for cost in costs.values())

    def macs(layer: Layer, quantized: QuantizedLayer | None) -> str:
        return f"{costs[layer.name].macs / total:.2%}" if layer.name in costs and total else ""

    def form(layer: Layer, quantized: QuantizedLayer | None) -> str:
        return "float" if quantized is None else known.treatments.get(layer.name, INT8)

    def measured(values: Mapping[str, str]) -> _Cell:
        return lambda layer, quantized: values.get(layer.name, "")

    return [
        (Column("layer", "name"), lambda layer, quantized: layer.name),
        (Column("operator"), lambda layer, quantized: layer.op_type + (" depthwise" if _is_depthwise(layer) else "")),
        (Column("MACs", "number"), macs),
        (Column("form"), form),
        *((Column(title, "number"), measured(values)) for title, values in known.columns),
        (Column("input range"), _of_input(_range)),
        (Column("scale_d", "number"), _of_input(lambda params: f"{params.scale:.4g}")),
        (Column("offset_d", "number"), _of_input(lambda params: str(params.zero_point))),
        (Column("scale_w"), lambda layer, q: "" if q is None else _spread(q.record.weight_scales)),
    ]


def _is_depthwise(layer: Layer) -> bool:
    return layer.group > 1 and layer.group == layer.channels


def _of_input(said: Callable[[ActivationParams], str]) -> _Cell:
    def cell(layer: Layer, quantized: QuantizedLayer | None) -> str:
        params = None if quantized is None else quantized.record.activation
        return said(params) if params else ""

    return cell


def _range(params: ActivationParams) -> str:
    """Return the real values of the lowest and the highest code."""
    low, high = ((code - params.zero_point) * params.scale for code in (QMIN, QMAX))
    return f"{low:.4g} … {high:.4g}"


def _spread(scales: Sequence[float]) -> str:
    low, high = min(scales), max(scales)
    return f"{low:.3g}" if low == high else f"{low:.3g} … {high:.3g}"


def _reasons(left: Sequence[LeftAlone]) -> str:
    said = "; \n".join(f"{node.name} ({node.op_type}): {node.reason}" for node in left)
    return f"Not quantizable:\n{said}.\n"
