"""Whether so many items can tell what is asked for, and whether calibration has seen them."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import ROUND_CEILING, Decimal

from runner.evaluation.accuracy import PERCENTAGE_POINTS
from runner.evaluation.amct_evaluator import AmctEvaluator
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.cautions import counts_items, may_count_positions, resolution_caution
from runner.modes.doctor.examined import Examined
from runner.modes.doctor.finding import Finding, ok, warning

# Items whose files are read to see whether calibration looks at the same ones.
_MOST_READ = 4000
# Below, calibration's ranges depend on which items were taken.
_FEW = 16


def look_at_target_loss(case: Examined) -> Iterator[Finding]:
    """Hold the target against the smallest step of the metric."""
    options = case.options
    if not isinstance(options, AccAutoOptions):
        return
    metric, target, items = options.metric, options.target_loss, len(case.split.search)
    if isinstance(metric, AmctEvaluator):
        yield ok("your evaluator decides, whatever target_loss is")
        return
    if not counts_items(metric) or metric.unit != PERCENTAGE_POINTS:
        yield ok(f"{metric.name} may lose less than {target:g} {metric.unit}")
        return
    if may_count_positions(metric, case.source.graph):
        return
    cautions = resolution_caution(metric, target, items)
    for caution in cautions:
        yield warning(caution, key="target_loss", advice=_way_out(items, len(case.dataset)))
    if not cautions:
        most = int((Decimal(str(target)) * items / 100).to_integral_value(ROUND_CEILING)) - 1
        step = f"an item of {items} is {100 / items:.3g} {metric.unit}"
        yield ok(
            f"{target:g}: {step}, so a net loss of {most} item{'s' * (most != 1)} is let pass" if most >= 0 else step
        )


def _way_out(items: int, available: int) -> str:
    more = f", or take all {available} items with evaluation.count=null" if available > items else ""
    return f"A target_loss above {100 / items:.3g} forgives one item{more}."


def look_at_calibration(case: Examined) -> Iterator[Finding]:
    """Say whether calibration has items enough, and whether they are evaluated on, too."""
    parts = case.split
    if parts.calibration is None:
        return
    if len(parts.calibration) < _FEW:
        yield warning(
            f"calibration.count: {len(parts.calibration)} items settle the ranges of all layers",
            advice=f"Take {_FEW} or more; 100 are usual.",
        )
    calibration, search = parts.calibration, parts.search
    if calibration.dataset is search.dataset:
        both = len(set(calibration.indices) & set(search.indices))
    elif len(calibration) + len(search) <= _MOST_READ:
        contents = set(search.contents)
        both = sum(content in contents for content in calibration.contents)
    else:
        yield ok(f"whether the {len(calibration)} calibration items are among {len(search)} others, the job will tell")
        return
    if both:
        yield warning(
            f"{both} of {len(calibration)} calibration items are evaluated on too",
            key="split.disjoint",
            advice="split.disjoint=true keeps them apart, or name other data with calibration.dataset.",
        )
        return
    yield ok(f"none of {len(calibration)} calibration items is evaluated on")
