"""First look: what a job is run on, the values that reach the model, and how many callers run it fastest."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from runner.events import ModelUsed
from runner.graph.model_file import SourceModel
from runner.modes.callers import choose_callers
from runner.modes.context import Context
from runner.modes.data import DataSplit, describe_source
from runner.modes.input_values import InputsSeen, cached_inputs_seen
from runner.modes.result import Source


@dataclass(frozen=True, slots=True, eq=False)
class FirstLook:
    """What the first look at the data shows.

    Attributes:
        source: what is run on what.
        seen: the values that reach the model.
    """

    source: Source
    seen: InputsSeen


def first_look(
    name: str, source: SourceModel, split: DataSplit, job: Context, *, runs: ir.Model, digest: str
) -> FirstLook:
    """Return what the first look at the data shows.

    Args:
        name: what the result's files are called.
        source: the model as it was read.
        split: the items, by use.
        job: gets its number of callers.
        runs: the float model that is evaluated.
        digest: of that.

    Raises:
        DatasetError: an item does not fit the model's inputs.
    """
    described = describe_source(name, source, split)
    job.emit(ModelUsed(name, described.model_sha256))
    seen = cached_inputs_seen(source.graph, split.search, job.store)
    choose_callers(job.engine, runs, digest, split.search, job.store)
    for part, use in ((split.search, "evaluation"), (split.report, "report"), (split.calibration, "calibration")):
        if part is not None and (use != "report" or split.held_out):
            part.announce(use, job.emit)
    return FirstLook(described, seen)
