"""What became of a quantization-aware-trained model, layer by layer, as a table for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from runner.figure import Grid, Section

_MOST_UNUSED = 20
_COLUMNS = ("layer", "operator", "input", "weight", "bias", "legalised", "error added")
_ALL = "conversion_report.json lists all"


def conversion(report: Mapping[str, Any]) -> Section:
    """Return a row a layer; below it, why layers stay float and why QuantizeLinear or DequantizeLinear were not used.

    Args:
        report: as ``conversion_report.json`` holds it.
    """
    shared = _shared_nodes(report["nodes"])
    rows = [_cells(layer, shared.get(layer["name"], [])) for layer in report["layers"]]
    return Section(name="conversion", grid=Grid("conversion", _COLUMNS, rows, _notes(report)))


def _cells(layer: Mapping[str, Any], shared: list[str]) -> tuple[str, ...]:
    bias = layer.get("bias", {})
    return (
        layer["name"],
        layer["op_type"],
        _input(layer.get("activation")),
        _weight(layer.get("weight")),
        bias.get("how", "-"),
        "; ".join(_legalised(layer, shared)),
        _error(layer),
    )


def _input(activation: Mapping[str, Any] | None) -> str:
    if activation is None:
        return "-"
    return f"{activation['dtype']} {activation['scale']:.6g} zp {activation['zero_point']}"


def _weight(weight: Mapping[str, Any] | None) -> str:
    if weight is None:
        return "-"
    return f"{weight['dtype']} {weight['granularity']}, {weight['channels_exact']} of {weight['channels']} exact"


def _legalised(layer: Mapping[str, Any], shared: list[str]) -> list[str]:
    """Return what was done to fit the layer into the record's terms; ``as it is`` where nothing was needed."""
    if layer["status"] == "float":
        return ["stays float"]
    activation, weight, steps = layer["activation"], layer.get("weight"), []
    if activation["dtype"] == "uint8":
        steps.append(f"input uint8 -> int8, zp {activation['zero_point'] - 128}")
    steps += [] if weight is None else _legalised_weight(weight)
    if layer["looked_through"]:
        steps.append(f"looked through {', '.join(layer['looked_through'])}")
    if shared:
        steps.append(f"DequantizeLinear shared: {', '.join(shared)}")
    batchnorm = layer.get("batchnorm")
    if batchnorm is not None:
        counts = [f"{batchnorm[f'{key}_channels']} {key}" for key in ("negative", "zero")]
        saturated = [f"{batchnorm['saturated']} saturated"] if batchnorm["saturated"] else []
        steps.append(f"BatchNormalization {batchnorm['node']} folded ({', '.join(counts + saturated)})")
    return steps or ["as it is"]


def _legalised_weight(weight: Mapping[str, Any]) -> list[str]:
    steps = []
    zero_points = (weight["zero_point_min"], weight["zero_point_max"])
    if zero_points != (0, 0):
        said = "..".join(str(zero_point) for zero_point in dict.fromkeys(zero_points))
        steps.append(f"weight {weight['dtype']} zp {said} -> int8 zp 0")
    if weight.get("axis", weight["channel_axis"]) != weight["channel_axis"]:
        steps.append(f"channel axis {weight['axis']} -> {weight['channel_axis']}")
    changed = weight["channels"] - weight["channels_exact"]
    if changed:
        steps.append(f"{changed} of {weight['channels']} channels rounded again")
    return steps


def _error(layer: Mapping[str, Any]) -> str:
    """Return the largest errors of weight and bias in real units; 0 where both are the source's."""
    if layer["status"] == "float":
        return "-"
    errors = [(part, layer.get(part, {}).get("max_error", 0.0)) for part in ("weight", "bias")]
    return ", ".join(f"{part} {error:.3g}" for part, error in errors if error > 0) or "0"


def _shared_nodes(nodes: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return for each layer what it shares the DequantizeLinear of its input, weight or bias with."""
    shared: dict[str, list[str]] = {}
    for node in nodes:
        role, users = node.get("role"), node["users"]
        for user in users if role is not None and node["op_type"] == "DequantizeLinear" and len(users) > 1 else ():
            others = " and ".join(other for other in users if other != user)
            part = "input" if role == "activation" else role
            shared.setdefault(user, []).append(f"{part} with {others}")
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
