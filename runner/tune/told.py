"""What a study leaves: a table, tune.json, tune.csv, tune.html and the best setting as an experiment."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from rich.console import Console
from rich.text import Text

from runner.credentials import without_credentials
from runner.printable import escaped_json, printable
from runner.report.page import in_a_page
from runner.spreadsheet import harmless
from runner.tune.experiment_file import experiment_file
from runner.tune.findings import Findings
from runner.tune.pictures import front_chart, history, importance_bars
from runner.tune.table import below_table, shown, study_table
from runner.tune.trial import Trial
from runner.whole_file import write_atomically

JSON, CSV, PAGE, HISTORY, FRONT = "tune.json", "tune.csv", "tune.html", "history.svg", "front.svg"
# A group of its own: a study may itself choose an experiment, and a group is chosen once.
EXPERIMENTS = "tuned"
_FIGURES = ("loss", "target_met", "macs_int8_share", "float_metric", "quantized_metric", "agreement", "kl", "sqnr_db")


def tell(findings: Findings) -> None:
    """Write a study's files and print its table."""
    folder = findings.command.folder
    _write(folder / JSON, escaped_json(json.dumps(as_json(findings), indent=2, ensure_ascii=False)))
    _write(folder / CSV, as_csv(findings))
    if findings.ranked():
        charts = pictures(findings)
        for name, chart in charts.items():
            _write(folder / name, chart)
        _write_experiments(findings)
        _write(folder / PAGE, page(findings, charts))
    console = Console()
    if findings.ranked():
        console.print(study_table(findings))
    for line in below_table(findings):
        # Not broken at the terminal's edge: commands are copied.
        console.print(Text(printable(line)), soft_wrap=True)


def _write_experiments(findings: Findings) -> None:
    folder = findings.command.folder / EXPERIMENTS
    folder.mkdir(exist_ok=True)
    names = {f"{findings.experiment(trial)}.yaml": trial for trial in findings.best()}
    for path in folder.glob("*.yaml"):
        # Of what was best before.
        if path.name not in names:
            path.unlink(missing_ok=True)
    for name, trial in names.items():
        head = [_title(findings, trial), findings.experiment_command(trial)]
        text, left = experiment_file([*findings.command.overrides, *trial.overrides], findings.choices, head)
        _write(folder / name, without_credentials(text.replace(head[1], " ".join([head[1], *left]), 1)))


def pictures(findings: Findings) -> dict[str, str]:
    """Return file name -> SVG; of a study with a trial that is done."""
    charts = {HISTORY: history(findings.trials, findings.objectives[0])}
    if len(findings.objectives) == 2:
        charts[FRONT] = front_chart(findings.trials, findings.objectives)
    return charts


def as_json(findings: Findings) -> dict[str, Any]:
    """Return what tune.json tells."""
    plan = findings.plan
    best = [_entry(trial, findings) for trial in findings.best()]
    return {
        "study": plan.name,
        "objectives": {one.name: one.meaning for one in findings.objectives},
        "sampler": plan.sampler,
        "seed": plan.seed,
        "trials": {
            "wanted": plan.trials,
            **{
                state: sum(t.state == state for t in findings.trials)
                for state in ("done", "failed", "repeated", "running")
            },
        },
        "settings": plan.space.size(),
        "best": best,
        "importances": dict(findings.importances),
        "all": [_entry(trial, findings) for trial in findings.trials],
    }


def _entry(trial: Trial, findings: Findings) -> dict[str, Any]:
    names = findings.plan.objectives
    entry: dict[str, Any] = {"trial": trial.number, "state": trial.state, "setting": dict(trial.setting)}
    entry["values"] = dict(zip(names, trial.values, strict=True)) if trial.values else {}
    if trial.same_as is not None:
        entry["same_as"] = trial.same_as
    if trial.outcome is not None:
        entry |= {"exit_status": trial.outcome.exit_status, "seconds": trial.outcome.seconds}
        if trial.outcome.reason:
            entry["reason"] = trial.outcome.reason
        else:
            entry |= {"figures": dict(trial.outcome.figures), "command": findings.command.shown(trial.setting)}
            entry["folder"] = str(findings.command.trial_folder(trial.number))
    return entry


def as_csv(findings: Findings) -> str:
    """Return a row a trial: its number, state and values, figures, what it tried, and why it failed."""
    names, keys = findings.plan.objectives, [parameter.key for parameter in findings.plan.space.parameters]
    figures = [name for name in _FIGURES if name not in names]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(map(harmless, ("trial", "state", *names, *figures, "seconds", *keys, "same_as", "reason")))
    for trial in findings.trials:
        outcome = trial.outcome
        told = {} if outcome is None else outcome.figures
        values: list[object] = [*trial.values] or [""] * len(names)
        cells: list[object] = [
            *(trial.number, trial.state, *values, *(told.get(name, "") for name in figures)),
            "" if outcome is None else outcome.seconds,
            *(trial.setting.get(key, "") for key in keys),
            "" if trial.same_as is None else trial.same_as,
            "" if outcome is None else outcome.reason,
        ]
        writer.writerow(map(harmless, cells))
    return stream.getvalue()


def page(findings: Findings, charts: dict[str, str]) -> str:
    """Return the study as one page: no script, no network."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=in_a_page,
    )
    environment.filters["shown"] = shown
    return environment.get_template("page.html.j2").render(
        findings=findings,
        plan=findings.plan,
        best=findings.best(),
        title=_title(findings, findings.best()[0]),
        history=Markup(charts[HISTORY]),
        front=Markup(charts.get(FRONT, "")),
        importances=Markup(importance_bars(findings.importances)) if findings.importances else "",
        reports={t.number: f"trials/{t.number:04d}/report.html" for t in findings.ranked()},
    )


def _title(findings: Findings, best: Trial) -> str:
    values = ", ".join(f"{n} {v:.6g}" for n, v in zip(findings.plan.objectives, best.values, strict=True))
    missed = "" if best.outcome is None or best.outcome.met else ", target missed"
    return f"trial {best.number} of the study {findings.plan.name}: {values}{missed}"


def _write(path: Path, text: str) -> None:
    write_atomically(path, lambda aside: aside.write_text(text, encoding="utf-8"))
