"""A sweep as one HTML page: no script, no network; with the jobs' folders beside it its links lead to their reports."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from runner.report.page import in_a_page
from runner.report.sweep.drawing import kind_of
from runner.report.sweep.parallel import parallel
from runner.report.sweep.scatter import scatter
from runner.report.sweep.swept import RULE, Sweep, SweptJob

_TEMPLATE = "page.html.j2"


def sweep_page(sweep: Sweep) -> str:
    """Return the page."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=in_a_page,
    )
    counts = [
        (status, sum(job.status == status for job in sweep.jobs))
        for status in dict.fromkeys(j.status for j in sweep.jobs)
    ]
    return environment.get_template(_TEMPLATE).render(
        sweep=sweep,
        rule=RULE,
        counts=counts,
        rows=[(job, _cells(job), kind_of(job, sweep), quote(job.report)) for job in sweep.jobs],
        pictures=[Markup(svg) for svg in (scatter(sweep), parallel(sweep)) if svg],
    )


def _cells(job: SweptJob) -> list[str]:
    """Return a job's figures as they are read."""
    summary = job.summary
    float_metric, quantized = summary.get("float_metric"), summary.get("quantized_metric")
    return [
        "" if job.loss is None else f"{job.loss:.4g}",
        f"{summary['target_loss']:g}" if "target_loss" in summary else "",
        job.layers,
        "" if job.int8_share is None else f"{job.int8_share:.1%}",
        "" if float_metric is None or quantized is None else f"{float_metric:.4g} → {quantized:.4g}",
        "" if job.seconds is None else f"{job.seconds:.1f}",
    ]
