"""Every stage whose result is kept, in the order of a job; and the table of the documentation."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from runner.evaluation.item_work import ITEMS_SCORED, ITEMS_SEEN
from runner.evaluation.score_stages import FLOAT_OUTPUTS, FLOAT_SCORES, SCORES, SOME_SCORES
from runner.modes.calibrated_layers import ALL_INT8_CORRECTION, CALIBRATION, PLAN_CORRECTION
from runner.modes.callers import CALLERS
from runner.modes.input_values import INPUTS_SEEN
from runner.modes.layer_costs import COSTS
from runner.modes.prediction import PREDICTION
from runner.modes.rewriting import EQUALIZATION, LEVELS
from runner.modes.rewriting_gap import GAP
from runner.modes.scoring.noise_stage import NOISE
from runner.modes.scoring.ranking_stages import LOSS_CONTRIBUTIONS, RANKING
from runner.modes.scoring.shown_answers import SHOWN_ANSWERS
from runner.store.stage import Stage
from runner.targets.ascend.check import PROOF, WRITTEN
from runner.targets.qdq.verify import CHECKED

STAGES: tuple[Stage[Any, Any], ...] = (
    GAP,
    INPUTS_SEEN,
    CALLERS,
    LEVELS,
    EQUALIZATION,
    FLOAT_OUTPUTS,
    FLOAT_SCORES,
    CALIBRATION,
    ALL_INT8_CORRECTION,
    PLAN_CORRECTION,
    COSTS,
    SCORES,
    SOME_SCORES,
    ITEMS_SEEN,
    ITEMS_SCORED,
    RANKING,
    LOSS_CONTRIBUTIONS,
    PREDICTION,
    SHOWN_ANSWERS,
    WRITTEN,
    PROOF,
    CHECKED,
    NOISE,
)


def stage_table() -> str:
    """Return the stages as a Markdown table: what is kept, what it depends on, and whose versions count."""
    rows = ["| kept | depends on | versions |", "| --- | --- | --- |"]
    for stage in STAGES:
        inputs = ", ".join(field.name.replace("_", " ") for field in fields(stage.inputs))
        modules = (module.__name__.removeprefix("runner.") for module in stage.through)
        rows.append(f"| {stage.name} | {inputs} | {', '.join(['its own', *modules])} |")
    return "\n".join(rows)
