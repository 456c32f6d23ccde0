"""What the job took: models evaluated, wall seconds, memory."""

from __future__ import annotations

from runner.figure import Figure, Section
from runner.modes.result import Work
from runner.report.environment import peak_rss_mb


def work(done: Work) -> Section:
    """Return the section; ``track`` is what logging to MLflow adds later."""
    full, partial, seconds, memory = done.evaluations, done.partial_evaluations, done.seconds, peak_rss_mb()
    parts = f" and {partial} partial" if partial else ""
    time = (
        f"{seconds['total']:.1f} s, of which model work {seconds['model_work']:.1f} s in {full} full{parts} evaluations"
    )
    figures = (
        Figure(key=("evaluations", "full"), value=full, tracked="search/full_evaluations"),
        Figure(key=("evaluations", "partial"), value=partial, tracked="search/partial_evaluations"),
        Figure(key=("evaluations", "items"), value=done.items_scored),
        *(Figure(key=("seconds", name), value=took, tracked=f"seconds/{name}") for name, took in seconds.items()),
        Figure(key=("seconds", "track"), value=0.0, title="time", phrase=time),
    )
    if memory is not None:
        phrase = f"{memory:.0f} MiB at most"
        figures += (
            Figure(key="peak_rss_mb", value=memory, tracked="memory/peak_rss_mb", title="memory", phrase=phrase),
        )
    return Section(name="work", figures=figures)
