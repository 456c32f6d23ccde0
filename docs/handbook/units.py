"""The unit of every number of the configuration. ``1`` is a number without one: a share, a ratio, a seed."""

from __future__ import annotations

from fnmatch import fnmatchcase

NO_UNIT = "1"
_UNITS = {
    "*.batch_axis": "axis",
    "*.preprocess.scale": "1",
    "*.preprocess.mean": "scaled pixel",
    "*.preprocess.std": "scaled pixel",
    "*.preprocess.resize": "pixels",
    "*.preprocess.crop": "pixels",
    "*.letterbox.size": "pixels",
    "*.letterbox.value": "pixel value",
    "*_seconds": "s",
    "tracking.timeout": "s",
    "budget.minutes": "min",
    "budget.evaluations": "evaluations",
    "cache.max_gb": "GB",
    "*.count": "items",
    "dataset.batch_num": "batches",
    "dataset.ignore": "class",
    "engine.callers": "threads",
    "engine.workers": "processes",
    "engine.shard": "items",
    "expect.value": "the metric's",
    "expect.within": "the metric's",
    "target_loss": "the metric's",
    "image": "item",
    "correction.balance": "1",
    "split.report": "1",
    "search.confidence": "1",
    "seed": "1",
    "tune.seed": "1",
    "tune.trial": "1",
    "tune.trials": "trials",
    "tune.jobs": "processes",
    "tune.population": "trials",
    "metric.sqnr_min": "dB",
    "metric.ceiling_db": "dB",
    "metric.threshold": "1",
    "metric.k": "1",
    "metric.blank": "class",
    "metric.class_axis": "axis",
    "observer.num_of_bins": "bins",
    "observer.*_percentile": "1",
    "observer.search_*": "1",
    "postprocess.score": "1",
    "postprocess.iou": "1",
    "postprocess.most": "boxes",
    "postprocess.*class*": "class",
    "postprocess.background": "class",
    "postprocess.strides": "pixels",
    "sensitivity.items*": "items",
    "strategy.give_back": "layers",
    "strategy.points": "plans",
    "target.opset": "1",
    "layers.balance": "1",
    "tensor_quantize.input": "input",
}


def unit(path: str) -> str | None:
    """Return the unit of a key; None where none is known."""
    return next((said for pattern, said in _UNITS.items() if fnmatchcase(path, pattern)), None)
