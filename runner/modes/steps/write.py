"""Write: the files of the result."""

from __future__ import annotations

from dataclasses import replace

from runner.events import WRITE
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.context import Context
from runner.modes.files.write_acc_auto import RECORD, BestModels, Outcome, write_outcome
from runner.modes.steps.measure import FinalFigures
from runner.modes.steps.quantize import Quantized
from runner.modes.steps.written import WrittenResult
from runner.search.pareto import Pareto, curve_of
from runner.targets.target import Measured, ModelFiles


def write(
    figures: FinalFigures, quantized: Quantized, options: AccAutoOptions, best: BestModels, job: Context
) -> WrittenResult:
    """Write the files, all of them whatever happens: it is a second's work.

    Args:
        figures: with the plan to write.
        quantized: the layers in int8.
        options: the job's.
        best: writes the models, or has written them.
        job: heeds an interruption afterwards.
    """
    result, models, searched = quantized.result, quantized.models, figures.searched
    config, best_trial = quantized.selection.config, searched.result.best
    outcome = Outcome(
        all_int8=result.form,
        final_form=result.form if best_trial is None else models.form(best_trial.plan),
        corrected=result.corrected or bool(models.repaired),
        rewriting=quantized.prepared.rewriting,
        config=None if config is None else config.with_balance(result.strengths),
        ranking=searched.ranking,
        search=searched.result,
        loss_contributions=searched.loss_contributions,
        curve=curve_of(searched.result, result.costs) if isinstance(options.strategy, Pareto) else (),
    )

    def written() -> ModelFiles:
        ended = replace(outcome, search=replace(outcome.search, stopped=job.meter.stopped))
        return write_outcome(best.folder, ended, best)

    with job.clock.stage(WRITE):
        files = job.meter.in_full(written)
    prepared, scorer = quantized.prepared, figures.scorer
    measured = Measured(
        folder=best.folder,
        record=RECORD,
        model=prepared.at_source_opset,
        form=outcome.final_form,
        dataset=scorer.items.dataset,
        scorer=scorer,
        quantized=figures.comparison.quantized,
        options=options.verify,
        float_graph=prepared.digest,
        graph=prepared.digest,
        engine=job.engine,
        store=job.store,
    )
    return WrittenResult(files, measured, outcome.curve)
