"""A study in the terminal: a line a trial while it goes on, a table at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from runner.tune.findings import Findings
from runner.tune.study import Plan
from runner.tune.trial import Trial, best_first

_ROWS = 12


def trial_line(trial: Trial, trials: Sequence[Trial], plan: Plan) -> str:
    """Return what is said of a trial that has just ended."""
    ran = sum(one.state in ("done", "failed") for one in trials)
    outcome = trial.outcome
    seconds = "" if outcome is None else f" in {outcome.seconds:.1f} s"
    head = f"trial {trial.number} ({ran} of {plan.trials}){seconds}"
    setting = shown(trial.setting)
    if outcome is None or outcome.reason:
        return f"{head}: {setting}: failed: {'' if outcome is None else outcome.reason}"
    values = ", ".join(f"{name} {value:.4g}" for name, value in zip(plan.objectives, trial.values, strict=True))
    missed = "" if outcome.met else ", target missed"
    best = best_first(list(trials))[:1]
    lead = f"; best so far: trial {best[0].number}" if best and len(plan.objectives) == 1 else ""
    return f"{head}: {setting}: {values}{missed}{lead}"


def shown(setting: Mapping[str, str]) -> str:
    """Return a setting in words: of a key its last part, where that tells it from the others."""
    ends = Counter(key.rpartition(".")[2] for key in setting)
    parts = [(key.rpartition(".")[2] if ends[key.rpartition(".")[2]] == 1 else key, v) for key, v in setting.items()]
    return ", ".join(f"{key}={value}" for key, value in parts)


def study_table(findings: Findings) -> Table:
    """Return a row a trial, the best first."""
    plan = findings.plan
    table = Table(title=f"study {plan.name}", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("trial", justify="right", no_wrap=True)
    for name in plan.objectives:
        table.add_column(name, justify="right", no_wrap=True)
    beside = [name for name in ("loss", "int8 MACs") if name not in plan.objectives]
    for name in beside:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("target", no_wrap=True)
    table.add_column("s", justify="right", no_wrap=True)
    table.add_column("setting", overflow="fold")
    for trial in findings.ranked()[:_ROWS]:
        table.add_row(*map(Text, _cells(trial, beside, best=trial in findings.best())))
    return table


def _cells(trial: Trial, beside: Sequence[str], *, best: bool) -> list[str]:
    figures = {} if trial.outcome is None else trial.outcome.figures
    share = figures.get("macs_int8_share")
    told = {
        "loss": "" if figures.get("loss") is None else f"{figures['loss']:.4g}",
        "int8 MACs": "" if share is None else f"{share:.1%}",
    }
    met = (
        "" if trial.outcome is None or figures.get("target_loss") is None else "met" if trial.outcome.met else "missed"
    )
    seconds = "" if trial.outcome is None else f"{trial.outcome.seconds:.1f}"
    values = [f"{value:.4g}" for value in trial.values]
    number = f"*{trial.number}" if best else str(trial.number)
    return [number, *values, *(told[name] for name in beside), met, seconds, shown(trial.setting)]


def below_table(findings: Findings) -> list[str]:
    """Return what stands below the table: the failed trials with their reasons, and what to do with the best."""
    more = len(findings.ranked()) - _ROWS
    lines = [f"{more} more in tune.csv"] if more > 0 else []
    lines += [
        f"trial {t.number} failed: {shown(t.setting)}: {t.outcome.reason}" for t in findings.failed() if t.outcome
    ]
    lines += [sentence for sentence in (findings.counted(), findings.still_running()) if sentence]
    best = findings.best()
    if best:
        lines += ["", "To run the best again:" if len(best) == 1 else "To run again what no other beats:"]
        if len(best) == 1:
            lines.append(f"  {findings.command.shown(best[0].setting)}")
        lines += [f"  {findings.experiment_command(trial)}" for trial in best]
    return [*lines, "", f"Pictures and all trials: {findings.command.folder / 'tune.html'}"]
