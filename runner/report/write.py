"""The files of a report: summary.json, the page, what changed answers, pictures."""

from __future__ import annotations

from dataclasses import replace

from runner.figure import Report
from runner.modes.result import JobResult
from runner.report.contact_sheet import SHEET, contact_sheet
from runner.report.curve_chart import CHART, curve_chart
from runner.report.flips import FLIPS, flips, flips_csv
from runner.report.page import PAGE, page
from runner.report.summary import SUMMARY, summary
from runner.report.told import JobFacts, told


def write_report(result: JobResult, job: JobFacts) -> Report:
    """Write all files that tell of a result, and with them the manifest; return what they tell."""
    folder, comparison = result.files.folder, result.comparison
    found, sheet = flips(comparison), None
    if found is not None:
        folder.write_text(FLIPS, flips_csv(found))
        sheet = contact_sheet(found, comparison.part.dataset)
    if sheet is not None:
        folder.write_bytes(SHEET, sheet)
    _write_chart(result)
    report = told(result, replace(job, flips=found, sheet=sheet))
    folder.write_text(PAGE, page(report))
    folder.write_json(SUMMARY, summary(report), indent=2)
    folder.finish()
    return report


def _write_chart(result: JobResult) -> None:
    """Draw the curve of the plans tried, where one was asked for."""
    if not result.curve:
        return
    unit = result.comparison.headline.unit
    title = f"{result.source.model} on {result.source.dataset}"
    chart = curve_chart(result.curve, title=title, unit=unit, target=result.target_loss)
    result.files.folder.write_text(CHART, chart)
