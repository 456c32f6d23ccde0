"""AMCT's JSON files: config, final config, ranking and search history.

Written with an indent of 4 and no space after the colon, layers in alphabetical order, as AMCT does. The history is one
valid JSON list; AMCT concatenates its objects, and the reader takes both.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from runner.calibration.observer import Observer
from runner.errors import RecordError
from runner.graph.layers import FoundLayers, Layer
from runner.search.plan import Plan, Ranking, Trial


def quant_config(
    found: FoundLayers,
    enabled: Iterable[str],
    observer: Observer,
    *,
    batch_num: int,
    observers: Mapping[str, Observer] | None = None,
) -> dict[str, Any]:
    """Return config.json: globals first, then the layers by name.

    Args:
        found: every quantizable layer.
        enabled: names of those to quantize.
        observer: its options go into every layer's entry.
        batch_num: number of calibration items.
        observers: layer name -> observer, of the layers that have one of their own.
    """
    on, own = set(enabled), observers or {}
    config: dict[str, Any] = {
        "version": 1,
        "batch_num": batch_num,
        "activation_offset": observer.asymmetric,
        "joint_quant": False,
        "do_fusion": True,
        "skip_fusion_layers": [],
    }
    for layer in sorted(found.layers, key=lambda layer: layer.name):
        config[layer.name] = {
            "quant_enable": layer.name in on,
            "activation_quant_params": _activation_params(own.get(layer.name, observer), layer),
            "weight_quant_params": {"num_bits": 8, "wts_algo": "arq_quantize", "channel_wise": layer.per_channel},
        }
    return config


def _activation_params(observer: Observer, layer: Layer) -> dict[str, Any]:
    params = observer.amct_params()
    # AMCT refuses a configuration that says otherwise of a convolution over three axes.
    return params | {"asymmetric": False} if layer.symmetric else params


def ranking_entries(ranking: Ranking) -> list[list[str | float]]:
    """Return the ranking file's content: ``[layer, value]``, most sensitive first."""
    return [[name, value] for name, value in ranking.entries]


def history_entries(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """Return the history file's content, an object a trial; true means quantized."""
    return [
        {"roll_back_config": roll_back_config(trial.plan), "metric_eval": [trial.accepted, trial.loss]}
        for trial in trials
    ]


def roll_back_config(plan: Plan) -> dict[str, bool]:
    """Return AMCT's form of a plan: layer -> stays quantized."""
    fallback = set(plan.fallback)
    return {name: name not in fallback for name, _ in plan.treatments}


def read_history(path: Path) -> list[Mapping[str, Any]]:
    """Return the objects of a history file, ours (one list) or AMCT's (objects one after the other).

    Raises:
        RecordError: the file is missing, or its text is neither; names the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RecordError(f"history: {path} cannot be read: {error.strerror}.") from error
    decoder, position, entries = json.JSONDecoder(), 0, []
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        try:
            value, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            raise RecordError(
                f"{path}:{error.lineno}: expected a JSON object of the search history, got: {error.msg}."
            ) from error
        entries += value if isinstance(value, list) else [value]
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict) or not {"roll_back_config", "metric_eval"} <= entry.keys():
            raise RecordError(
                f"{path}: record {number}: expected roll_back_config and metric_eval, got {str(entry)[:80]}."
            )
    return entries
