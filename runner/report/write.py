"""The files of a report: summary.json, the page, what changed answers, pictures."""

from __future__ import annotations

from dataclasses import replace

from runner.figure import Report
from runner.modes.result import AccAutoResult, JobResult
from runner.report.changed_items import changed_items, changed_items_csv
from runner.report.charts.style import standing_alone
from runner.report.contact_sheet import SHEET, contact_sheet
from runner.report.flips import FLIPS, flips, flips_csv
from runner.report.language import language_of
from runner.report.page import PAGE, page
from runner.report.shown.draw import gallery
from runner.report.shown.sheet import sheet
from runner.report.summary import SUMMARY, summary
from runner.report.told import JobFacts, told
from runner.report.tried_plans import curve_picture
from runner.wording import speaking

CURVE = "pareto.svg"


def write_report(result: JobResult, job: JobFacts) -> Report:
    """Write all files that tell of a result, and with them the manifest; return what they tell."""
    job = _write_changes(result, job)
    _write_chart(result)
    report = told(result, job)
    folder = result.files.folder
    with speaking(language_of(job.language)):
        folder.write_text(PAGE, page(report))
    folder.write_json(SUMMARY, summary(report), indent=2)
    folder.finish()
    return report


def _write_changes(result: JobResult, job: JobFacts) -> JobFacts:
    """Write what changed, in the deciding metric's words, or else a classifier's answers; return it with the job's facts."""
    folder, comparison = result.files.folder, result.comparison
    items = changed_items(comparison)
    if items is not None:
        folder.write_text(FLIPS, changed_items_csv(items))
        shown = gallery(items, comparison)
        picture = sheet(shown.drawn, shown.legend) if shown is not None and shown.as_file else None
        job = replace(job, changed=items, gallery=shown)
    else:
        found = flips(comparison)
        if found is None:
            return job
        folder.write_text(FLIPS, flips_csv(found))
        picture = contact_sheet(found, comparison.part.dataset)
        job = replace(job, flips=found, sheet=picture)
    if picture is not None:
        folder.write_bytes(SHEET, picture)
    return job


def _write_chart(result: JobResult) -> None:
    """Draw the curve of the plans tried, where one was asked for."""
    if not result.curve or not isinstance(result, AccAutoResult):
        return
    title = f"{result.source.model} on {result.source.dataset}"
    result.files.folder.write_text(CURVE, standing_alone(curve_picture(result, title=title)))
