"""docs/reference/configuration.md: every key of a job."""

from __future__ import annotations

from itertools import groupby

from docs.handbook.key_rows import entries_of, key_table
from docs.handbook.markdown import code, page, words
from runner.app.schema.files import choices
from runner.app.schema.keys import Key, job_keys

_ABOUT = """Every key of a job, as the code takes it: change one with `KEY=VALUE` on the command line, or in a file of your
own ([experiments](../howto/sweeps.md)). `python -m runner --cfg job` prints them with the values of a job, and
[groups](groups.md) lists what a *part* can be, which is chosen by name, `dataset=coco`, and has keys of its own.

A key belongs to both modes unless one is named behind its meaning. The unit of a number stands behind its type. The
default is that of a job which says nothing; `null` means that nothing is chosen. An unknown key, or a value of another type, is
refused before anything runs. [`conf/schema.json`](../../conf/schema.json) says the same to editors."""


def configuration_page() -> str:
    """Return the page."""
    keys = job_keys()
    single = [key for key in keys if not _is_of_a_section(key, keys)]
    parts = [_ABOUT, "## Keys without a section", key_table(single)]
    for key in single:
        entries = entries_of(key)
        if entries:
            parts += [f"### An entry of {code(key.path)}", key_table(entries)]
    for section, inside in groupby(sorted(keys, key=_section), key=_section):
        listed = [key for key in inside if key not in single]
        if listed:
            head = next(key for key in listed if key.path == section)
            parts += [f"## {code(section)}", words(_sentence(head.meaning)), _link(section)]
            parts.append(key_table(key for key in listed if key is not head))
    return page("Configuration", "signatures, docstrings and the comments of conf/", *filter(None, parts))


def _section(key: Key) -> str:
    return key.path.partition(".")[0]


def _is_of_a_section(key: Key, keys: list[Key]) -> bool:
    name = _section(key)
    return any(other.path.startswith(f"{name}.") for other in keys)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _link(section: str) -> str:
    return f"Options of the group: [{code(section)}](groups.md#{section})." if choices(section) else ""
