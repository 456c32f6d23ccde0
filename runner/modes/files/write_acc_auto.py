"""The files of an ``acc_auto`` job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from runner.amct_config.json_file import format_config
from runner.amct_config.model import QuantConfig
from runner.graph.layers import LayeredModel
from runner.graph.rewriting import Rewriting
from runner.job_folder import JobFolder
from runner.modes.files.amct_files import history_entries, ranking_entries
from runner.modes.files.integers_file import integers_bytes, integers_path
from runner.modes.files.record_file import write_record
from runner.modes.files.rewriting_file import rewriting_path, rewriting_text
from runner.modes.files.search_files import contribution_entries, curve_entries
from runner.record import QuantizedLayers
from runner.search.end_to_end import LossContributions
from runner.search.pareto import Point
from runner.search.plan import Plan, Ranking, SearchResult, Trial, best_of
from runner.targets.target import ModelFiles, Target

RECORD = "tmp/scale_offset_record.txt"
_PREFIX = "accuracy_based_auto_calibration"
DAMAGE, CURVE = "results/damage.json", "results/pareto.json"


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What there is to write.

    Attributes:
        all_int8: the form with every layer in int8.
        config: what the search started from; None where the scales were read from a record.
        ranking: of the layers; None where there was no search.
        corrected: whether the record's scales alone do not say the integers.
        final_form: the chosen plan's form; the all-int8 form where no plan was accepted.
        loss_contributions: of each layer group, where they were measured.
        curve: of the plans tried, where one was asked for.
        rewriting: of the model that the form is of.
    """

    all_int8: QuantizedLayers
    final_form: QuantizedLayers
    config: QuantConfig | None
    ranking: Ranking | None
    search: SearchResult
    corrected: bool = False
    loss_contributions: LossContributions | None = None
    curve: tuple[Point, ...] = ()
    rewriting: Rewriting = field(default_factory=Rewriting)


class BestModels:
    """The models of the best plan so far, on disk with a manifest whenever the job goes on to something that takes time.

    Args:
        folder: the job's.
        prefix: sub-folder and model name of the files.
        model: the prepared float model at the source's opset.
        form: gives a plan's quantized form.
        target: what they are written for.
    """

    def __init__(
        self,
        folder: JobFolder,
        prefix: str,
        model: LayeredModel,
        form: Callable[[Plan], QuantizedLayers],
        target: Target,
    ) -> None:
        self.folder, self._prefix = folder, prefix
        self._model, self._form, self._target = model, form, target
        self._best: Trial | None = None
        self._written: tuple[Plan, ModelFiles] | None = None

    def offer(self, trial: Trial) -> None:
        """Take note of a trial."""
        self._best = best_of([trial] if self._best is None else [self._best, trial])

    def publish(self) -> None:
        """Write the models of the best trial offered so far, if any plan was accepted."""
        if self._best is not None:
            self.write(self._best.plan)

    def remove(self) -> None:
        """Remove the models, if there are any: they did not hold on items that the search never saw."""
        if self._written is not None:
            self.folder.remove(*self._written[1])
            self._written = None

    def write(self, plan: Plan) -> ModelFiles:
        """Return the models of a plan, written unless they are those that are there."""
        if self._written is None or self._written[0] != plan:
            self._written = None
            with self.folder.published():
                files = self._target.write(self.folder, self._prefix, self._model, self._form(plan))
            self._written = plan, files
        return self._written[1]


def write_outcome(folder: JobFolder, outcome: Outcome, models: BestModels) -> ModelFiles:
    """Write config, record, ranking, history and, where a plan was accepted, final config and both models.

    Args:
        folder: the job's.
        outcome: what there is to write.
        models: writes the models, or has written them.

    Returns:
        The models' file names, or none: a rejected model must not look like a result.
    """
    config, best = outcome.config, outcome.search.best
    if config is not None:
        folder.write_text("tmp/config.json", format_config(config.with_enabled(outcome.all_int8.record)))
    write_record(folder, RECORD, outcome.final_form, check=outcome.search.stopped != "interrupted")
    record = folder.path(RECORD)
    if outcome.rewriting:
        text = rewriting_text(outcome.rewriting, record.read_bytes())
        folder.write_text(f"tmp/{rewriting_path(record).name}", text)
    if outcome.corrected:
        folder.write_bytes(f"tmp/{integers_path(record).name}", integers_bytes(outcome.final_form, record.read_bytes()))
    if outcome.ranking is not None:
        folder.write_json(f"results/{_PREFIX}_ranking_info.json", ranking_entries(outcome.ranking), compact_keys=True)
    folder.write_json(f"amct_log/{_PREFIX}_record.json", history_entries(outcome.search.trials), compact_keys=True)
    if outcome.loss_contributions is not None:
        folder.write_json(DAMAGE, contribution_entries(outcome.loss_contributions), indent=2)
    if outcome.curve:
        folder.write_json(CURVE, curve_entries(outcome.curve), indent=2)
    if best is None:
        models.remove()
        return ()
    if config is not None:
        final = config.with_enabled(outcome.final_form.record)
        folder.write_text(f"results/{_PREFIX}_final_config.json", format_config(final))
    return models.write(best.plan)
