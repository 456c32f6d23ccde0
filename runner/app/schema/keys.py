"""Every key of a job: where it stands, what it takes, its default, and what it means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from runner.app.checking import MISSING
from runner.app.options import JOBS
from runner.app.places import register_resolvers, shipped
from runner.app.schema.beside import beside
from runner.app.schema.docstrings import parameters, summary
from runner.app.schema.files import Choice, is_choice, meanings_of_choices, meanings_of_jobs
from runner.app.schema.signatures import Field, fields_of, is_section, options_of, plain


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the configuration.

    Attributes:
        path: dotted.
        hint: annotation of what it takes.
        default: as a job has it that says nothing of it; ``MISSING`` where a value is required.
        meaning: in words; empty where nothing says.
        modes: that take it.
    """

    path: str
    hint: Any
    default: Any
    meaning: str
    modes: tuple[str, ...]


@cache
def composed(mode: str, *overrides: str) -> dict[str, Any]:
    """Return the configuration of a job that is given a mode alone, interpolations as they are written."""
    register_resolvers()
    with initialize_config_dir(config_dir=shipped("conf"), version_base="1.3"):
        config = OmegaConf.to_container(compose("config", [f"mode={mode}", *overrides]), resolve=False)
    return {str(key): value for key, value in config.items()} if isinstance(config, dict) else {}


def job_keys() -> list[Key]:
    """Return the keys of both modes, in the order of the signatures; what parts take is told by their groups."""
    found: dict[str, list[Key]] = {}
    for mode, job in JOBS.items():
        said, config = meanings_of_jobs(mode), composed(mode)
        for field in fields_of(job):
            default = config.get(field.name, field.default)
            for key in _keys(field, field.name, default, said, (mode,)):
                found.setdefault(key.path, []).append(key)
    return [
        Key(path, same[0].hint, same[0].default, same[0].meaning, tuple(key.modes[0] for key in same))
        for path, same in found.items()
    ]


def keys_of_choice(choice: Choice) -> list[Key]:
    """Return what the class takes that an option of a group names; nothing where it names none."""
    path = choice.group.replace("/", ".")
    modes = tuple(mode for mode, job in JOBS.items() if path.partition(".")[0] in {one.name for one in fields_of(job)})
    if choice.made is None:
        return []
    inside = meanings_of_choices(choice.group) | parameters(choice.made) | dict(choice.said)
    said = {f"{path}.{name}": text for name, text in inside.items()}
    return [
        key
        for field in fields_of(choice.made)
        for key in _keys(field, f"{path}.{field.name}", _default(choice, field), said, modes)
    ]


def _default(choice: Choice, field: Field) -> Any:  # noqa: ANN401
    """Return what a file sets, itself or by the option of a group that it begins with."""
    named = {
        name: option
        for entry in choice.values.get("defaults", [])
        if isinstance(entry, dict)
        for name, option in entry.items()
    }
    return choice.values.get(field.name, named.get(field.name, field.default))


def _keys(field: Field, path: str, default: Any, said: Mapping[str, str], modes: tuple[str, ...]) -> Iterator[Key]:  # noqa: ANN401
    options = options_of(field.hint)
    sections = [option for option in options if is_section(option) and not is_choice(option)]
    meaning = said.get(path, "")
    if not sections:
        yield Key(path, field.hint, _shown(default, options), meaning, modes)
    for section in sections:
        inner = parameters(section) | meanings_of_choices(path.replace(".", "/"))
        known = {f"{path}.{name}": text for name, text in inner.items() if text} | dict(said)
        yield Key(path, field.hint, None, meaning or summary(section), modes)
        values = default if isinstance(default, Mapping) else {}
        for one in fields_of(section):
            yield from _keys(one, f"{path}.{one.name}", values.get(one.name, one.default), known, modes)
    yield from _beside(path, default, said, modes)


def _beside(path: str, default: Any, said: Mapping[str, str], modes: tuple[str, ...]) -> Iterator[Key]:  # noqa: ANN401
    group = path.rpartition(".")[2]
    inside = meanings_of_choices(group)
    for name, hint in beside(path).items():
        there = default.get(name) if isinstance(default, Mapping) else None
        yield Key(f"{path}.{name}", hint, there, said.get(f"{group}.{name}", "") or inside.get(name, ""), modes)


def _shown(default: Any, options: tuple[Any, ...]) -> Any:  # noqa: ANN401
    if isinstance(default, Mapping) and "_target_" in default:
        return default["_target_"]
    return default if default is MISSING else plain(default)


@cache
def chosen(mode: str) -> dict[str, str]:
    """Return group -> the option of it that a job has which is given a mode alone; ``null`` where it has none."""
    register_resolvers()
    with initialize_config_dir(config_dir=shipped("conf"), version_base="1.3"):
        config = compose("config", [f"mode={mode}"], return_hydra_config=True)
    return {group: str(option) for group, option in config.hydra.runtime.choices.items() if "/" not in group}
