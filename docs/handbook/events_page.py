"""docs/reference/events.md: the lines of events.jsonl."""

from __future__ import annotations

import dataclasses
import re
import typing

from docs.handbook.docstring_markdown import as_markdown
from docs.handbook.markdown import code, page, table, words
from runner import events
from runner.app.schema.docstrings import parameters

_ABOUT = """A job writes a line of JSON for each event into `events.jsonl` in its folder, with `event`, the kind, and `time`,
seconds since 1970, beside what the kind has. A reader passes over kinds and fields that it does not know."""


def events_page() -> str:
    """Return the page."""
    stages = [code(name) for name in (events.DOWNLOAD, events.LOAD, events.CALIBRATE, events.FLOAT_EVAL, events.RANK)]
    stages += [code(name) for name in (events.SEARCH, events.FINAL_EVAL, events.WRITE, events.VERIFY)]
    parts = [_ABOUT, f"Stages, in their order: {', '.join(stages)}."]
    for kind in typing.get_args(events.Event):
        parts += [f"## {code(kind.__name__)}", as_markdown((kind.__doc__ or "").partition("Attributes:")[0])]
        said = parameters(kind)
        rows = [
            (code(field.name), code(_type(str(field.type))), words(said.get(field.name, "")))
            for field in dataclasses.fields(kind)
        ]
        parts.append(table(("field", "type", "meaning"), rows))
    return page("Events", "runner/events.py", *parts)


def _type(annotation: str) -> str:
    plain = re.sub(r"Mapping\[str, (\w+)\]", r"object of \1", annotation)
    return plain.replace("tuple[str, ...]", "list of str").replace("None", "null").replace("object of Any", "object")
