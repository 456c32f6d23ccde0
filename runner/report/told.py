"""What is told of each kind of result: a line a section, in the order in which people read them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import singledispatch

from runner.figure import NamedFile, Report, Section
from runner.modes.result import AccAutoResult, ConvertResult, JobResult
from runner.report.changed_items import ChangedItem
from runner.report.flips import Flip
from runner.report.language import LanguageName
from runner.report.page import PAGE
from runner.report.sections.advice import advice
from runner.report.sections.again import Asked, again
from runner.report.sections.by_class import by_class
from runner.report.sections.changed_answers import changed_answers
from runner.report.sections.changed_results import changed_results
from runner.report.sections.closest_plan import closest_plan
from runner.report.sections.coarse_outputs import coarse_outputs
from runner.report.sections.conversion import conversion
from runner.report.sections.data_split import data_split
from runner.report.sections.environment import environment
from runner.report.sections.headline import headline, outcome
from runner.report.sections.inputs import inputs
from runner.report.sections.layer_table import judged, layer_table
from runner.report.sections.layers import layers
from runner.report.sections.likeness import likeness
from runner.report.sections.loss_contributions import loss_contributions
from runner.report.sections.metrics import metrics
from runner.report.sections.next_try import next_try
from runner.report.sections.noise import noise
from runner.report.sections.outputs import outputs
from runner.report.sections.plans_tried import plans_tried
from runner.report.sections.prediction import prediction
from runner.report.sections.repaired import repaired
from runner.report.sections.rewriting import rewriting
from runner.report.sections.run import run
from runner.report.sections.sensitivity import sensitivity
from runner.report.sections.sizes import sizes
from runner.report.sections.target_loss import allowed, target_loss
from runner.report.sections.uncertainty import uncertainty
from runner.report.sections.work import work
from runner.report.sections.worst_layers import worst_layers
from runner.report.shown.draw import Gallery
from runner.report.summary import SUMMARY
from runner.wording import say

# Status -> what it means, and the colour to say it in.
_VERDICT = {
    "met": (say("target met"), "green"),
    "not_met": (say("target not met"), "red"),
    "undecided": (say("target met on the search's items, undecided on those kept for the report"), "yellow"),
    "converted": (say("converted"), "green"),
    "interrupted": (say("interrupted; the best plan so far"), "yellow"),
    "budget": (say("the budget is spent; the best plan so far"), "yellow"),
}


@dataclass(frozen=True, slots=True)
class JobFacts:
    """What a result does not know of its job.

    Attributes:
        seed: the job's.
        config_sha256: digest of its configuration.
        language: of the page.
        asked: what the configuration was composed of.
        flips: the answers that changed, worst first; None where the model is no classifier.
        sheet: a PNG of the worst, or None.
        changed: the items that changed under the measure of a task, worst first; None where that does not tell.
        gallery: what is drawn of them.
    """

    seed: int = 0
    config_sha256: str = ""
    language: LanguageName = "en"
    asked: Asked = field(default_factory=Asked)
    flips: Sequence[Flip] | None = None
    sheet: bytes | None = None
    changed: Sequence[ChangedItem] | None = None
    gallery: Gallery | None = None


def told(result: JobResult, job: JobFacts) -> Report:
    """Return all that is told of a result."""
    source = result.source
    verdict, warnings = _VERDICT[result.status], result.warnings
    decides = allowed(None) if isinstance(result, AccAutoResult) else ""
    said = outcome(result.comparison, result.target_loss, decides=decides)
    return Report(result.mode, source.model, source.dataset, verdict, warnings, _sections(result, job), said)


@singledispatch
def _sections(result: JobResult, job: JobFacts) -> tuple[Section, ...]:
    raise TypeError(f"nothing is told of a {type(result).__name__}")


@_sections.register
def _(result: AccAutoResult, job: JobFacts) -> tuple[Section, ...]:
    comparison, source, target = result.comparison, result.source, result.target_loss
    return (
        run(result),
        advice(result, job.asked.choices),
        headline(comparison, source, allowed(target)),
        target_loss(result),
        uncertainty(comparison.interval, comparison.items, target),
        metrics(comparison),
        by_class(comparison),
        changed_results(job.changed, job.gallery, comparison.items),
        inputs(result.inputs),
        layers(result.layers, result.fallback),
        rewriting(result.rewriting, result.rewriting_gap, result.form),
        sensitivity(result),
        noise(result),
        worst_layers(result),
        plans_tried(result),
        layer_table(result, judged(result)),
        likeness(comparison),
        outputs(comparison),
        data_split(source, from_record=result.from_record),
        repaired(result.repaired),
        loss_contributions(result.loss_contributions),
        closest_plan(result.search),
        next_try(result, job.asked.choices.get("quant", "")),
        *_end(result, job),
    )


@_sections.register
def _(result: ConvertResult, job: JobFacts) -> tuple[Section, ...]:
    comparison = result.comparison
    return (
        run(result),
        advice(result, job.asked.choices),
        prediction(result.prediction),
        conversion(result.report),
        headline(comparison, result.source),
        uncertainty(comparison.interval, comparison.items),
        metrics(comparison),
        by_class(comparison),
        changed_results(job.changed, job.gallery, comparison.items),
        inputs(result.inputs),
        layers(result.layers, result.fallback),
        noise(result),
        worst_layers(result),
        layer_table(result),
        likeness(comparison),
        outputs(comparison),
        coarse_outputs(result),
        *_end(result, job),
    )


def _end(result: JobResult, job: JobFacts) -> tuple[Section, ...]:
    """Return what stands at the end of every report."""
    root = result.files.folder.root
    files = {path.relative_to(root).as_posix() for path in result.files.folder.files} | {SUMMARY}
    made = result.files
    return (
        changed_answers(job.flips, job.sheet, result.comparison.items),
        made.target.deployed(made.checked),
        work(result.work),
        *made.target.next_steps(made.models, made.checked, made.folder, made.intermediates),
        Section(name="beside_the_models", files=tuple(_beside_the_models(result))),
        again(result.source, job.asked, seed=job.seed),
        sizes(result),
        environment(seed=job.seed, config_sha256=job.config_sha256, files=tuple(sorted(files))),
    )


def _beside_the_models(result: JobResult) -> Iterator[NamedFile]:
    made = result.files
    if made.models and made.record:
        yield NamedFile("record", made.folder.path(made.record))
    yield NamedFile("report", made.folder.path(PAGE))
