"""docs/reference/groups.md: the options of every group, and what each takes."""

from __future__ import annotations

from docs.handbook.key_rows import key_table
from docs.handbook.markdown import code, page, table, words
from runner.app.schema.files import Choice, choices, groups
from runner.app.schema.keys import chosen, job_keys, keys_of_choice

_ABOUT = """What can be chosen by name: `GROUP=OPTION` on the command line, `- override /GROUP: OPTION` in a file of your own.
Where an option is a class, its keys are the arguments of its constructor, and a class of your own stands in for it by its
import path ([how](../howto/extend.md)). Keys that are the same whatever is chosen stand in the
[configuration](configuration.md).

Groups with a `+` are left out unless they are asked for: `+sweep=presets`."""
# Groups that a job does without.
_ADDED = ("experiment", "hparams_search", "sweep")
_WITH_DATA = "calibration"


def groups_page() -> str:
    """Return the page."""
    parts = [_ABOUT]
    for group in groups():
        parts += _of_group(group)
    return page("Groups and their options", "the files of conf/ and the constructors that they name", *parts)


def _of_group(group: str) -> list[str]:
    usual = chosen("acc_auto").get(group)
    rows = [(code(one.name), words(one.meaning), "default" if one.name == usual else "") for one in choices(group)]
    parts = [f"## {code(_title(group))}"]
    if group == _WITH_DATA:
        parts.append("Not chosen by name: an option is taken along with the `dataset` of the same name.")
        rows = [(name, meaning, "") for name, meaning, _ in rows]
    elif any(key.path.startswith(f"{group}.") for key in job_keys()):
        parts.append(f"Keys that any option has: [configuration](configuration.md#{group}).")
    parts.append(table(("option", "what it is", ""), rows))
    shown: set[type] = set()
    for choice in choices(group):
        if choice.made is not None and choice.made not in shown:
            shown.add(choice.made)
            parts += _keys(choice)
    return parts


def _keys(choice: Choice) -> list[str]:
    keys = keys_of_choice(choice)
    same = [code(one.name) for one in choices(choice.group) if one.made is choice.made]
    return [f"### {choice.group}: {', '.join(same)}", key_table(keys)] if keys else []


def _title(group: str) -> str:
    return f"+{group}" if group in _ADDED else group
