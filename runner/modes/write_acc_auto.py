"""The files of an ``acc_auto`` job."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from runner.amct_config.json_file import format_config
from runner.amct_config.model import QuantConfig
from runner.graph.layers import FoundLayers
from runner.job_folder import JobFolder
from runner.modes.amct_files import history_entries, ranking_entries
from runner.modes.write_models import ModelPair, write_pair, write_record
from runner.record import QuantizedForm
from runner.search.plan import Ranking, SearchResult

RECORD = "tmp/scale_offset_record.txt"
_PREFIX = "accuracy_based_auto_calibration"


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What there is to write.

    Attributes:
        name: of the model, first part of the pair's file names.
        model: the prepared float model at the source's opset.
        all_int8: the form with every layer in int8.
        config: what the search started from; None where the scales were read from a record.
        ranking: of the layers; None where there was no search.
    """

    name: str
    model: ir.Model
    found: FoundLayers
    all_int8: QuantizedForm
    config: QuantConfig | None
    ranking: Ranking | None
    search: SearchResult

    @property
    def final_form(self) -> QuantizedForm:
        """The chosen plan's form; the all-int8 form where no plan was accepted."""
        best = self.search.best
        return self.all_int8 if best is None else self.all_int8.without(best.plan.fallback)


def write_outcome(folder: JobFolder, outcome: Outcome) -> ModelPair | None:
    """Write config, record, ranking, history and, where a plan was accepted, final config and both models.

    Returns:
        The pair's file names, or None: a rejected model must not look like a result.
    """
    config, best = outcome.config, outcome.search.best
    if config is not None:
        folder.write_text("tmp/config.json", format_config(config.with_enabled(outcome.all_int8.layers.keys())))
    write_record(folder, RECORD, outcome.final_form)
    if outcome.ranking is not None:
        folder.write_json(f"results/{_PREFIX}_ranking_info.json", ranking_entries(outcome.ranking), compact_keys=True)
    folder.write_json(f"amct_log/{_PREFIX}_record.json", history_entries(outcome.search.trials), compact_keys=True)
    if best is None:
        return None
    if config is not None:
        final = config.with_enabled(outcome.final_form.layers.keys())
        folder.write_text(f"results/{_PREFIX}_final_config.json", format_config(final))
    return write_pair(folder, f"results/{outcome.name}", outcome.model, outcome.found, outcome.final_form)
