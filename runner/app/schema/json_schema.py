"""The configuration as a JSON schema, by which an editor completes and checks an experiment while it is typed.

An experiment says a part of a job's options, so nothing is required; a value may be an interpolation of OmegaConf's wherever it
is no text anyway. What the schema takes in the whole a job may still refuse: values that depend on others, and ranges.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

import runner
from runner.app.checking import MISSING
from runner.app.options import JOBS
from runner.app.schema.files import choices, groups, is_choice
from runner.app.schema.keys import Key, job_keys, keys_of_choice
from runner.app.schema.signatures import fields_of, is_protocol, is_section, options_of

Schema = dict[str, Any]
_PLAIN: Mapping[Any, str] = {int: "integer", float: "number", bool: "boolean", str: "string", type(None): "null"}
_INTERPOLATION = r"^(\$\{|\?\?\?$)"
_HYDRA: Schema = {
    "defaults": {
        "type": "array",
        "description": "Options of groups that this file is laid over: - override /dataset: npz",
    },
    "hydra": {
        "type": "object",
        "description": "Hydra's own options, such as its launcher and the parameters of a sweep.",
    },
}


def schema() -> Schema:
    """Return the schema of a configuration file of either mode, JSON Schema draft 7."""
    described = {key.path: key for key in job_keys()}
    properties: Schema = {}
    for job in JOBS.values():
        for field in fields_of(job):
            if field.name != "mode":
                properties.setdefault(field.name, _described(field.hint, field.name, described))
    properties["mode"] = {"enum": list(JOBS), "description": "What is done."}
    properties["expect"] = {"anyOf": [properties["expect"], {"type": ["number", "null"]}]}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "quant-runner: the configuration of a job",
        "type": "object",
        "properties": {**_HYDRA, **dict(sorted(properties.items()))},
        "additionalProperties": False,
        "allOf": [_of_mode(mode) for mode in JOBS],
        "definitions": _parts(),
    }


def _of_mode(mode: str) -> Schema:
    own = {field.name for field in fields_of(JOBS[mode])}
    others = {field.name for job in JOBS.values() for field in fields_of(job)} - own
    return {
        "if": {"properties": {"mode": {"const": mode}}, "required": ["mode"]},
        "then": {"properties": dict.fromkeys(sorted(others), False)},
    }


def _described(hint: Any, path: str, described: Mapping[str, Key]) -> Schema:  # noqa: ANN401 - an annotation
    """Return what may stand at a path, with its meaning and default."""
    found = _of_hint(hint, path, described)
    key = described.get(path)
    if key is None or not key.meaning:
        return found
    # Beside a $ref draft 7 reads nothing else.
    found = {"allOf": [found]} if "$ref" in found else found
    shown = {"default": key.default} if _is_plain(key.default) else {}
    return {"description": key.meaning, **shown, **found}


def _of_hint(hint: Any, path: str, described: Mapping[str, Key]) -> Schema:  # noqa: ANN401
    if hint is Any:
        return {}
    options = options_of(hint)
    plain = [_PLAIN[option] for option in options if option in _PLAIN]
    parts = [option for option in options if is_protocol(option) or is_choice(option)]
    rest = [option for option in options if option not in parts and option not in _PLAIN]
    found = [_of_option(option, path, described) for option in rest]
    if parts:
        found.append({"$ref": f"#/definitions/{_part_of(parts)}"})
    if plain and "string" not in plain:
        found.append({"type": [*plain, "string"], "pattern": _INTERPOLATION})
    elif plain:
        found.append({"type": plain[0] if len(plain) == 1 else plain})
    elif any(get_origin(option) is Literal for option in options):
        found.append({"type": "string", "pattern": _INTERPOLATION})
    return found[0] if len(found) == 1 else {"anyOf": found}


def _of_option(option: Any, path: str, described: Mapping[str, Key]) -> Schema:  # noqa: ANN401
    origin, arguments = get_origin(option), get_args(option)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (list, tuple):
        return {"type": "array", "items": _described(arguments[0], f"{path}[]", described)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _of_hint(arguments[1], f"{path}.*", described)}
    if is_section(option):
        return _section(option, path, described)
    return {}


def _section(of: type, path: str, described: Mapping[str, Key]) -> Schema:
    inside = {field.name: _described(field.hint, f"{path}.{field.name}", described) for field in fields_of(of)}
    known = f"{path}."
    # Keys that stand beside a section's own.
    more = {key.path.removeprefix(known): key for key in described.values() if key.path.startswith(known)}
    for name, key in more.items():
        if "." not in name and name not in inside:
            inside[name] = _described(key.hint, key.path, described)
    chosen = {"_target_": {"type": "string"}} if _is_inside_a_part(path) else {}
    return {"type": "object", "properties": {**chosen, **inside}, "additionalProperties": False}


def _is_inside_a_part(path: str) -> bool:
    """Return whether a section's class may be named by ``_target_``, as a part's own parts are."""
    top = path.partition(".")[0].rstrip("[]")
    hints = [field.hint for job in JOBS.values() for field in fields_of(job) if field.name == top]
    return any(is_protocol(option) for hint in hints for option in options_of(hint))


def _parts() -> dict[str, Schema]:
    """Return a definition for each group whose options are classes."""
    found = {}
    for group in groups():
        made = {choice.made: choice for choice in choices(group) if choice.made is not None}
        if made and group != "calibration":
            classes = {}
            for of, choice in made.items():
                described = {key.path: key for key in keys_of_choice(choice)}
                classes[of] = _class_keys(of, group, described)
            found[group.replace("/", ".")] = _part(classes, _beside(group))
    return found


def _class_keys(of: type, group: str, described: Mapping[str, Key]) -> Schema:
    path = group.replace("/", ".")
    return {field.name: _described(field.hint, f"{path}.{field.name}", described) for field in fields_of(of)}


def _beside(group: str) -> Schema:
    described = {key.path: key for key in job_keys()}
    named = [key for key in described.values() if key.path.rpartition(".")[0] == group]
    return {key.path.rpartition(".")[2]: _described(key.hint, key.path, described) for key in named}


def _part(classes: Mapping[type, Schema], beside: Schema) -> Schema:
    """Return what a part may be: one of our classes with its keys, a class of the user's with any, or keys alone."""
    paths = {of: _paths(of) for of in classes}
    every: Schema = {"_target_": {"type": "string", "description": "Import path of a class, yours or ours."}}
    for name in dict.fromkeys(name for keys in [*classes.values(), beside] for name in keys):
        every[name] = _either([keys[name] for keys in [*classes.values(), beside] if name in keys])
    ours = [
        {"properties": {**keys, **beside, "_target_": {"enum": paths[of]}}, "additionalProperties": False}
        for of, keys in classes.items()
    ]
    named: Schema = {"required": ["_target_"]}
    known: Schema = {"properties": {"_target_": {"enum": [path for some in paths.values() for path in some]}}}
    alone = {"properties": every, "additionalProperties": False}
    return {
        "type": "object",
        "properties": {"_target_": every["_target_"]},
        "if": {**named, **known},
        "then": {"anyOf": ours},
        "else": {"if": named, "then": {}, "else": alone},
    }


def _either(schemas: Sequence[Schema]) -> Schema:
    different = [one for index, one in enumerate(schemas) if one not in schemas[:index]]
    return different[0] if len(different) == 1 else {"anyOf": different}


def _paths(of: type) -> list[str]:
    public = [f"runner.{of.__name__}"] if getattr(runner, of.__name__, None) is of else []
    return [f"{of.__module__}.{of.__name__}", *public]


def _part_of(parts: Iterable[Any]) -> str:
    """Return the group whose options may stand for protocols and classes."""
    for group in groups():
        made = {choice.made for choice in choices(group)}
        if any(part in made for part in parts):
            return group.replace("/", ".")
    for field in (field for job in JOBS.values() for field in fields_of(job)):
        if any(part in options_of(field.hint) for part in parts):
            return field.name
    raise LookupError(f"no group has options for {parts}")


def _is_plain(value: Any) -> bool:  # noqa: ANN401
    return value != MISSING and not (value is None or (isinstance(value, str) and value.startswith("${")))
