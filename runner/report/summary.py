"""A result as ``summary.json``: plain numbers; a key that does not apply is absent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from runner.evaluation.uncertainty import LEVEL
from runner.modes.result import AccAutoResult, Comparison, ConvertResult
from runner.report.environment import peak_rss_mb, versions
from runner.report.proof import verification
from runner.store.key import cpu_name

Result = AccAutoResult | ConvertResult


def summarize(
    result: Result, *, mode: str, seed: int, config_sha256: str, track_seconds: float = 0.0
) -> dict[str, Any]:
    """Return the summary of a job.

    Args:
        result: of either mode.
        mode: its name.
        seed: of the job.
        config_sha256: digest of the job's configuration.
        track_seconds: what logging to MLflow took, where it is done already.
    """
    source, comparison = result.source, result.comparison
    summary: dict[str, Any] = {
        "mode": mode,
        "model": source.model,
        "model_sha256": source.model_sha256,
        "dataset": source.dataset,
        "dataset_fingerprint": source.dataset_fingerprint,
        "status": result.status,
        "complete": result.complete,
        **_headline(result),
        "metrics": _metrics(comparison),
        "samples": comparison.items,
        **_inputs(result),
        **_companions(comparison),
        **_layers(result),
        **_evaluations(result),
        "seconds": _seconds(result, track_seconds),
        "peak_rss_mb": peak_rss_mb(),
    }
    if result.written is not None:
        if result.written.ort_level_gap is not None:
            summary["ort_level_gap"] = result.written.ort_level_gap
        if result.written.cpu_int8_gap is not None:
            summary["cpu_int8_gap"] = result.written.cpu_int8_gap
    if result.proof is not None:
        summary |= verification(result.proof)
    if isinstance(result, ConvertResult):
        summary |= _coarse(result)
    if isinstance(result, AccAutoResult):
        if result.repaired:
            summary["repaired"] = list(result.repaired)
        summary["overlap"] = result.source.overlap
        summary["split"] = {
            "calibration": result.source.calibration_items,
            "search": result.source.search_items,
            "report": result.source.evaluation_items,
            "held_out": result.source.held_out,
            "left_out": result.source.left_out,
        }
        rewriting = result.rewriting
        summary["rewriting_gap"] = result.rewriting_gap
        summary["rewritten"] = {"pixels": list(rewriting.pixels), "equalized": list(rewriting.exponents)}
        summary["balanced"] = [name for name, layer in result.form.layers.items() if layer.record.balance_factors]
    return {**summary, "versions": versions(), "cpu": cpu_name(), "seed": seed, "config_sha256": config_sha256}


def headline_metrics(result: Result) -> dict[str, float]:
    """Return a job's numbers for a tracker, the headline first; names are ``group/name``."""
    comparison = result.comparison
    headline = comparison.headline
    numbers: dict[str, float] = {"loss": headline.loss}
    numbers[f"quantized/{headline.name}"] = headline.after
    numbers[f"float/{headline.name}"] = headline.before
    layers = _layers(result)
    numbers["layers/int8"] = layers["layers_int8"]
    numbers["layers/fallback"] = len(layers["fallback"])
    numbers["layers/total"] = layers["layers_total"]
    numbers["layers/macs_int8_share"] = layers["macs_int8_share"]
    if comparison.interval is not None:
        numbers["interval/low"], numbers["interval/high"] = comparison.interval.low, comparison.interval.high
    numbers.update({f"compare/{name}": value for name, value in _companions(comparison).items()})
    for name, values in _inputs(result).get("inputs", {}).items():
        # MLflow takes few signs in a name.
        place = f"input/{re.sub(r'[^A-Za-z0-9_.-]', '_', name)}"
        numbers |= {f"{place}/{key}": values[key] for key in ("min", "max", "mean")}
    for kind in ("full", "partial"):
        numbers[f"search/{kind}_evaluations"] = _evaluations(result)["evaluations"][kind]
    numbers.update({f"seconds/{name}": value for name, value in result.seconds.items()})
    numbers["memory/peak_rss_mb"] = peak_rss_mb()
    return {name: float(value) for name, value in numbers.items()}


def _headline(result: Result) -> dict[str, Any]:
    headline = result.comparison.headline
    values: dict[str, Any] = {
        "float_metric": headline.before,
        "quantized_metric": headline.after,
        "loss": headline.loss,
    }
    interval = result.comparison.interval
    if isinstance(result, AccAutoResult):
        if result.target_loss is not None:
            values["target_loss"] = result.target_loss
        values["target_met"] = result.status == "met" or (not result.complete and result.search.best is not None)
        if interval is not None and result.target_loss is not None:
            values["target_verdict"] = interval.verdict(result.target_loss)
    if interval is not None:
        values["loss_interval"] = {
            "low": interval.low,
            "high": interval.high,
            "level": LEVEL,
            "method": interval.method,
        }
        if interval.items_to_settle is not None:
            values["loss_interval"]["items_to_settle"] = interval.items_to_settle
    return values


def _metrics(comparison: Comparison) -> dict[str, dict[str, float]]:
    headline = comparison.headline
    figures = {headline.name: {"float": headline.before, "quantized": headline.after}}
    for metric in comparison.metrics:
        figures[metric.name] = {
            "float": comparison.value(metric, comparison.float_),
            "quantized": comparison.value(metric, comparison.quantized),
        }
    return figures


def _companions(comparison: Comparison) -> dict[str, float]:
    """Agreement as a share, KL in nats, SQNR in dB, as far as they apply."""
    values = {}
    for name, key, factor in (("agreement", "agreement", 0.01), ("kl", "kl", 1.0), ("sqnr", "sqnr_db", 1.0)):
        metric = comparison.named(name)
        if metric is not None:
            values[key] = comparison.value(metric, comparison.quantized) * factor
    return values


def _inputs(result: Result) -> dict[str, Any]:
    """Least, greatest and mean value of each input, and the inputs that are fixed."""
    values: dict[str, Any] = {}
    if result.inputs is not None and result.inputs.values:
        items = result.inputs.items
        values["inputs"] = {
            name: {"min": seen.low, "max": seen.high, "mean": seen.mean, "items": items}
            for name, seen in result.inputs.values.items()
        }
    if result.chosen:
        values["chosen"] = list(result.chosen)
    if result.constants:
        values["constants"] = dict(result.constants)
    return values


def _coarse(result: ConvertResult) -> dict[str, Any]:
    """Return which outputs have 8 bits, and how many answers changed, all and by a tie of the source alone."""
    values: dict[str, Any] = {"outputs_8bit": list(result.coarse_outputs)} if result.coarse_outputs else {}
    before, after = result.comparison.float_.answers, result.comparison.quantized.answers
    if result.tied_answers is not None and before is not None and after is not None:
        values["answers_changed"] = int((before[:, 0] != after[:, 0]).sum())
        values["tied_answers"] = result.tied_answers
    return values


def _layers(result: Result) -> dict[str, Any]:
    fallback = list(result.fallback)
    costs: Mapping[str, Any] = result.costs
    total = sum(cost.macs for cost in costs.values())
    int8 = sum(cost.macs for name, cost in costs.items() if name not in set(fallback))
    return {
        "layers_total": len(result.found.layers),
        "layers_int8": len(result.found.layers) - len(fallback),
        "tensors_quantized": len(result.form.tensors),
        "macs_int8_share": int8 / total if total else 0.0,
        "fallback": fallback,
    }


def _evaluations(result: Result) -> dict[str, Any]:
    partial = result.partial_evaluations if isinstance(result, AccAutoResult) else 0
    return {"evaluations": {"full": result.evaluations, "partial": partial, "items": result.items_scored}}


def _seconds(result: Result, track_seconds: float) -> dict[str, float]:
    seconds = dict(result.seconds)
    seconds["track"] = round(track_seconds, 3)
    seconds["total"] = round(seconds["total"] + track_seconds, 3)
    return seconds
