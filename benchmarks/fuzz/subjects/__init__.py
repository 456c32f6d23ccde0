"""Every kind of file that the program reads."""

from __future__ import annotations

from benchmarks.fuzz.spot import Subject
from benchmarks.fuzz.subjects.arrays import arrays
from benchmarks.fuzz.subjects.folders import cache, dump, events, sweep
from benchmarks.fuzz.subjects.models import deploy, model
from benchmarks.fuzz.subjects.photos import labelled_job, labels, photo
from benchmarks.fuzz.subjects.records import record
from benchmarks.fuzz.subjects.settings import archive, settings

SUBJECTS: dict[str, Subject] = {
    "model": model,
    "deploy": deploy,
    "arrays": arrays,
    "record": record,
    "photo": photo,
    "labels": labels,
    "labelled_job": labelled_job,
    "events": events,
    "cache": cache,
    "sweep": sweep,
    "dump": dump,
    "settings": settings,
    "archive": archive,
}
