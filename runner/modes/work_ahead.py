"""How many items a job will look at, at most, so that progress can tell when it ends."""

from __future__ import annotations

from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.data import DataSplit
from runner.search.end_to_end import EndToEnd
from runner.search.needs import StrategyNeeds
from runner.search.plan import Trial


def items_ahead(options: AccAutoOptions, parts: DataSplit, layers: int, passes: int) -> int:
    """Return how many items the job looks at once the model is loaded, at most.

    Args:
        options: the job's.
        parts: its items.
        layers: how many can fall back.
        passes: of calibration.
    """
    models = 2  # float and all-int8
    evaluated = models * len(parts.search.indices)
    if parts.calibration is None:
        return evaluated + _items_reported(parts)
    # Each rewriting is one more pass.
    passes += options.correction.pixels + options.correction.equalize
    calibrated = passes * len(parts.calibration.indices)
    return evaluated + calibrated + items_of_search(options, parts, layers, layers)


def items_of_search(
    options: AccAutoOptions, parts: DataSplit, layers: int, groups: int, start: Trial | None = None
) -> int:
    """Return how many items ranking, search and report look at, at most.

    Args:
        options: the job's.
        parts: its items, some of them for calibration.
        layers: how many can fall back.
        groups: how many layer groups they form.
        start: the trial of the plan to fall back from, once it is known.
    """
    assert parts.calibration is not None
    items = len(parts.search.indices)
    at_end = start is not None and start.accepted and not StrategyNeeds.of(options.strategy).always
    plans = 0 if at_end else options.strategy.most_trials(layers)
    ranked = 0
    if not isinstance(options.sensitivity, EndToEnd):
        ranked += len(parts.calibration.indices)
    elif at_end:
        ranked += groups * options.sensitivity.only_shown(groups, items).items
    at_outputs = options.sensitivity if isinstance(options.sensitivity, EndToEnd) else EndToEnd()
    if not at_end and (options.sensitivity == at_outputs or StrategyNeeds.of(options.strategy).loss_contributions):
        ranked += groups * min(at_outputs.to_search_by(groups, items).items, items)
    return ranked + plans * items + _items_reported(parts)


def _items_reported(parts: DataSplit) -> int:
    return 2 * len(parts.report.indices) if parts.held_out else 0
