"""Files of one model side by side: ``python -m benchmarks.qdq_score RESULT LABEL=FILE… -- OPTIONS…``.

All run in the sessions that onnxruntime makes by default, with its int8 kernels, of one thread each. Latency is of one item,
every model in turn, and given as the median of the ratios to the float model's, which ran beside it; in CPU time of the
thread, which other work on the machine disturbs least.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.job import Material, load
from benchmarks.score import compare, outputs_of
from runner.session import Session, plain
from runner.targets.qdq.kernels import kernels_of

_SECONDS, _LEAST_ROUNDS, _MOST_ROUNDS = 8.0, 11, 300
_DEFAULT = plain("all")


def figures(files: Mapping[str, str], material: Material) -> dict[str, Any]:
    """Return what each file is worth, by label; for one that does not load, why."""
    path = str(material.job.model.path)
    sessions = {"float": Session(path, _DEFAULT)}
    reference = list(outputs_of(sessions["float"], material))
    found: dict[str, Any] = {}
    for label, file in files.items():
        try:
            session = Session(file, _DEFAULT, given=True)
            scored = compare(reference, list(outputs_of(session, material)), material)
        except Exception as error:  # whatever a peer's file runs into
            found[label] = {"error": str(error)[:200]}
            continue
        sessions[label] = session
        kernels = kernels_of(Path(file))
        found[label] = {
            **dataclasses.asdict(scored),
            "kib": Path(file).stat().st_size / 1024,
            "integer": kernels.integer,
            "float": kernels.float_layers,
            "kinds": dict(kernels.counts),
        }
    for label, (ratio, milliseconds) in _latency(sessions, material.feeds).items():
        found.setdefault(label, {}).update(ratio=ratio, milliseconds=milliseconds)
    found["float"]["kib"] = Path(path).stat().st_size / 1024
    return found


def _latency(sessions: Mapping[str, Session], feeds: Sequence[Mapping[str, Any]]) -> dict[str, tuple[float, float]]:
    """Return each session's time for one item as a multiple of the first one's, and in milliseconds: medians."""
    seconds: dict[str, list[float]] = {label: [] for label in sessions}
    start, rounds = time.perf_counter(), 0
    while rounds < _LEAST_ROUNDS or (rounds < _MOST_ROUNDS and time.perf_counter() - start < _SECONDS):
        feed = feeds[rounds % len(feeds)]
        for label, session in sessions.items():
            before = time.thread_time()
            session.run(feed)
            seconds[label].append(time.thread_time() - before)
        rounds += 1
    base = next(iter(seconds.values()))
    return {
        label: (
            statistics.median(own / beside for own, beside in zip(of, base, strict=True)),
            statistics.median(of) * 1e3,
        )
        for label, of in seconds.items()
    }


if __name__ == "__main__":
    split = sys.argv.index("--")
    given = dict(argument.split("=", 1) for argument in sys.argv[2:split])
    Path(sys.argv[1]).write_text(json.dumps(figures(given, load(sys.argv[split + 1 :]))))
