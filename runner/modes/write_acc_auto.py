"""The files of an ``acc_auto`` job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import onnx_ir as ir

from runner.calibration.observer import Observer
from runner.graph.layers import FoundLayers
from runner.job_folder import JobFolder
from runner.modes.amct_files import history_entries, quant_config, ranking_entries
from runner.modes.write_models import ModelPair, write_pair, write_record
from runner.record import QuantizedForm
from runner.search.plan import Ranking, SearchResult

_PREFIX = "accuracy_based_auto_calibration"


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What there is to write.

    Attributes:
        name: of the model, first part of the pair's file names.
        model: the prepared float model at the source's opset.
        all_int8: the form with every layer in int8.
        calibration_items: their number, AMCT's batch_num.
        observers: layer name -> observer, of the layers that have one of their own.
    """

    name: str
    model: ir.Model
    found: FoundLayers
    all_int8: QuantizedForm
    observer: Observer
    calibration_items: int
    ranking: Ranking
    search: SearchResult
    observers: Mapping[str, Observer] = field(default_factory=dict)

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
    folder.write_json("tmp/config.json", _config(outcome, outcome.all_int8), compact_keys=True)
    write_record(folder, "tmp/scale_offset_record.txt", outcome.final_form)
    folder.write_json(f"results/{_PREFIX}_ranking_info.json", ranking_entries(outcome.ranking), compact_keys=True)
    folder.write_json(f"amct_log/{_PREFIX}_record.json", history_entries(outcome.search.trials), compact_keys=True)
    if outcome.search.best is None:
        return None
    final = _config(outcome, outcome.final_form)
    folder.write_json(f"results/{_PREFIX}_final_config.json", final, compact_keys=True)
    return write_pair(folder, f"results/{outcome.name}", outcome.model, outcome.found, outcome.final_form)


def _config(outcome: Outcome, form: QuantizedForm) -> dict[str, object]:
    return quant_config(
        outcome.found,
        form.layers,
        outcome.observer,
        batch_num=outcome.calibration_items,
        observers=outcome.observers,
    )
