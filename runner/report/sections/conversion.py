"""What became of a quantization-aware-trained model, layer by layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from runner.figure import Column, Grid, Line, Row, Section, Table
from runner.report.sections.node_account import account
from runner.wording import Said, listed, recalled, say

_MOST_UNUSED = 20
_COLUMNS = (
    say("layer"),
    say("operator"),
    say("input"),
    say("weight"),
    say("bias"),
    say("legalised"),
    say("error added"),
)
_STATUS = {"exact": say("exact"), "requantized": say("rounded again"), "float": say("float")}
_BIAS = {"taken": say("taken"), "rounded": say("rounded"), "none": say("none"), "-": "-"}
_PARTS = {"activation": say("input"), "weight": say("weight"), "bias": say("bias")}
_ALL = "conversion_report.json lists all"


def conversion(report: Mapping[str, Any]) -> Section:
    """Return a row a layer; below it, why layers stay float and why QuantizeLinear or DequantizeLinear were not used.

    Args:
        report: as ``conversion_report.json`` holds it.
    """
    shared = _shared_nodes(report["nodes"])
    rows = [_cells(layer, shared.get(layer["name"], [])) for layer in report["layers"]]
    return Section(
        name="conversion",
        grid=Grid("conversion", _COLUMNS, rows, _notes(report)),
        heading=say("What became of the trained quantization"),
        place="nodes",
        blocks=(_layers(report, rows), *account(report["nodes"])),
        brief=(Line("integers", _brief(report)),),
    )


def _layers(report: Mapping[str, Any], rows: Sequence[tuple[str, ...]]) -> Table:
    statuses = [layer["status"] for layer in report["layers"]]
    first, *middle, legalised, error = _COLUMNS
    columns = (Column(first, "name"), *map(Column, middle), Column(legalised, "text"), Column(error))
    choices = [(status, said) for status, said in _STATUS.items() if status in statuses]
    return Table(columns, [Row(cells, status) for cells, status in zip(rows, statuses, strict=True)], choices)


def _brief(report: Mapping[str, Any]) -> str:
    """Return how much of what was trained is in the result number for number."""
    weights = [layer["weight"] for layer in report["layers"] if layer["status"] != "float" and layer.get("weight")]
    exact = sum(weight["channels_exact"] == weight["channels"] for weight in weights)
    said = [f"weights of {exact} of {len(weights)} layers as in the source"]
    rounded = sum(layer.get("bias", {}).get("how") == "rounded" for layer in report["layers"])
    said += [f"{rounded} biases rounded"] if rounded else []
    unused = sum(node["use"] == "dropped" for node in report["nodes"])
    said += [f"{unused} Q/DQ nodes not used"] if unused else []
    return ", ".join(said)


def _cells(layer: Mapping[str, Any], shared: list[str]) -> tuple[str, ...]:
    bias = layer.get("bias", {})
    return (
        layer["name"],
        layer["op_type"],
        _input(layer.get("activation")),
        _weight(layer.get("weight")),
        _BIAS[bias.get("how", "-")],
        listed(_legalised(layer, shared), "; "),
        _error(layer),
    )


def _input(activation: Mapping[str, Any] | None) -> str:
    if activation is None:
        return "-"
    return f"{activation['dtype']} {activation['scale']:.6g} zp {activation['zero_point']}"


def _weight(weight: Mapping[str, Any] | None) -> str:
    if weight is None:
        return "-"
    return say(
        "{type} {granularity}, {exact} of {count} exact",
        type=weight["dtype"],
        granularity=recalled(weight["granularity"]),
        exact=weight["channels_exact"],
        count=weight["channels"],
    )


def _legalised(layer: Mapping[str, Any], shared: list[str]) -> list[Said]:
    """Return what was done to fit the layer into the record's terms; ``as it is`` where nothing was needed."""
    if layer["status"] == "float":
        return [say("stays float")]
    activation, weight, steps = layer["activation"], layer.get("weight"), list[Said]()
    if activation["dtype"] == "uint8":
        steps.append(say("input uint8 -> int8, zp {zero_point}", zero_point=activation["zero_point"] - 128))
    steps += [] if weight is None else _legalised_weight(weight)
    if layer["looked_through"]:
        steps.append(say("looked through {nodes}", nodes=listed(layer["looked_through"])))
    if shared:
        steps.append(say("DequantizeLinear shared: {parts}", parts=listed(shared)))
    batchnorm = layer.get("batchnorm")
    if batchnorm is not None:
        told = {"node": batchnorm["node"]} | {key: batchnorm[f"{key}_channels"] for key in ("negative", "zero")}
        folded = say("BatchNormalization {node} folded ({negative} negative, {zero} zero)", **told)
        if batchnorm["saturated"]:
            told |= {"saturated": batchnorm["saturated"]}
            folded = say(
                "BatchNormalization {node} folded ({negative} negative, {zero} zero, {saturated} saturated)", **told
            )
        steps.append(folded)
    return steps or [say("as it is")]


def _legalised_weight(weight: Mapping[str, Any]) -> list[Said]:
    steps = []
    zero_points = (weight["zero_point_min"], weight["zero_point_max"])
    if zero_points != (0, 0):
        said = "..".join(str(zero_point) for zero_point in dict.fromkeys(zero_points))
        steps.append(say("weight {type} zp {zero_point} -> int8 zp 0", type=weight["dtype"], zero_point=said))
    if weight.get("axis", weight["channel_axis"]) != weight["channel_axis"]:
        steps.append(say("channel axis {axis} -> {wanted}", axis=weight["axis"], wanted=weight["channel_axis"]))
    changed = weight["channels"] - weight["channels_exact"]
    if changed:
        steps.append(say("{count} of {total} channels rounded again", count=changed, total=weight["channels"]))
    return steps


def _error(layer: Mapping[str, Any]) -> str:
    """Return the largest errors of weight and bias in real units; 0 where both are the source's."""
    if layer["status"] == "float":
        return "-"
    errors = [(part, layer.get(part, {}).get("max_error", 0.0)) for part in ("weight", "bias")]
    told = [say("{part} {error:.3g}", part=_PARTS[part], error=error) for part, error in errors if error > 0]
    return listed(told) if told else "0"


def _shared_nodes(nodes: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return for each layer what it shares the DequantizeLinear of its input, weight or bias with."""
    shared: dict[str, list[str]] = {}
    for node in nodes:
        role, users = node.get("role"), node["users"]
        if role is None or node["op_type"] != "DequantizeLinear" or len(users) < 2:
            continue
        for user in users:
            others = listed([other for other in users if other != user], " and ")
            shared.setdefault(user, []).append(say("{part} with {others}", part=_PARTS[role], others=others))
    return shared


def _notes(report: Mapping[str, Any]) -> list[str]:
    floats = [f"  {layer['name']}: {layer['reason']}" for layer in report["layers"] if layer["status"] == "float"]
    unused = [
        f"  {node['name']} ({node['op_type']}): {node['reason']}"
        for node in report["nodes"]
        if node["use"] == "dropped"
    ]
    return [
        *_listed("Layers that stay float:", floats),
        *_listed("QuantizeLinear and DequantizeLinear that were not used:", unused),
    ]


def _listed(title: str, lines: list[str]) -> list[str]:
    if not lines:
        return []
    shown, more = lines[:_MOST_UNUSED], len(lines) - _MOST_UNUSED
    return [title, *shown, *([f"  and {more} more; {_ALL}"] if more > 0 else [])]
