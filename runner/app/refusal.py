"""Hydra's refusals, each as one message: what, where, what there is instead, what to type."""

from __future__ import annotations

import difflib
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from runner.app.arguments import file_meant
from runner.app.belonging import belongs
from runner.app.known_options import known_options, nearest
from runner.app.places import shipped
from runner.app.quoting import parsed, to_copy
from runner.app.sweep.launchers import EXTRAS


def refusal(error: BaseException) -> str:
    """Return Hydra's refusal of a configuration as one message: what, where, what there is instead."""
    text = str(error)
    ours = re.search(r"ValueError raised while resolving interpolation: (.*)", text)
    if ours is not None:
        return ours[1]
    for told in _KINDS:
        message = told(text)
        if message is not None:
            return message
    missing = r"Could not (?:override|delete) '([^']+)'|Key '([^']+)' is not in struct|Key '([^']+)' not in"
    key = re.search(missing, text)
    if key is not None:
        name = next(group for group in key.groups() if group)
        # Inside a section that is given as a whole only the cause knows the key.
        full = re.search(r"full_key: (\S+)", f"{text} {error.__cause__ or ''}")
        return _unknown(full[1] if full and name in full[1] else name)
    return _in_one_line(text)


def _unreadable(text: str) -> str | None:
    """Tell of an override that Hydra's grammar does not take."""
    if "override_grammar" not in text:
        return None
    argument = next((one for one in _given() if parsed(one) is None), None)
    if argument is None:
        return None
    name, _, value = argument.partition("=")
    value = value.strip()
    if parsed(f"{name}=x") is None:
        return _unknown(name)
    if value.endswith(",") and parsed(f"{name}={value.rstrip(', ')}") is not None:
        return f"{name}: {value} ends with a comma, behind which a value is missing. Type {name}={value.rstrip(', ')}."
    if value[:1] in ("[", "{"):
        return f"{name}: the value {value} cannot be read; expected [a,b] or {{key:value}}, keys without quotes."
    if value[:1] in ("'", '"'):
        plain = value.strip(value[0])
        return f"{name}: the value {value} begins with a quote that does not end it. Type {to_copy(name, plain)}."
    if re.match(r"\w+\(", value):
        return f"{name}: the value {value} cannot be read; expected {value.partition('(')[0]}(a,b)."
    return (
        f"{name}: the value {value} holds characters that mean something to the command line, or are not ASCII. "
        f"Quote it for the shell and for the runner: {to_copy(name, value)}."
    )


def _ambiguous(text: str) -> str | None:
    several = re.match(r"Ambiguous value for argument '(.*)'\n", text)
    if several is None:
        return None
    name, _, value = several[1].partition("=")
    return (
        f"{name}: {value} are several values. -m in front of the options runs a job for each; one value with commas is "
        f"quoted, {to_copy(name, value)}; a list has brackets, {shlex.quote(f'{name}=[{value}]')}."
    )


def _no_option(text: str) -> str | None:
    """Tell of an option that a group does not have."""
    found = re.search(r"Could not find '(.+)'", text)
    if found is None:
        return None
    group, _, name = found[1].rpartition("/")
    # A path given as an option has slashes of its own.
    group = max((key for key, _ in _pairs() if found[1].startswith(f"{key}/")), key=len, default=group)
    name = found[1].removeprefix(f"{group}/") if group else name
    if group == "hydra/launcher" and name in EXTRAS:
        extra = f"pip install 'onnx-quant-runner[{EXTRAS[name]}]'"
        return f"hydra/launcher={name}: this launcher is not installed. Install the extra that brings it: {extra}."
    meant = file_meant(group, name)
    if meant is not None:
        return f"{group}={name}: no such option; {group} chooses a kind. For a file or folder of your own type {meant}."
    available = re.findall(r"^\t(\S+)$", text, flags=re.MULTILINE)
    near = difflib.get_close_matches(name, available, n=1)
    hint = f" Did you mean {group}={near[0]}?" if near else ""
    return f"{group}={name}: no such option.{hint} Available: {', '.join(available) or 'none'}."


def _no_name(text: str) -> str | None:
    """Tell of a group whose option is given as something other than a name."""
    if "Config group override must be a string or a list" not in text:
        return None
    for key, value in _pairs():
        folder = Path(shipped("conf"), key)
        if (folder.is_dir() and not re.fullmatch(r"[A-Za-z_][\w-]*", value)) or value == "null":
            available = sorted(path.stem for path in folder.glob("*.yaml"))
            return f"{key}: expected the name of an option, got {value}. Available: {', '.join(available) or 'none'}."
    return None


def _group_added(text: str) -> str | None:
    """Tell of a group that has an option and is given one more, or in a way that values are given."""
    forced = re.search(r"force-add of config groups is not supported: '\+\+(.*)'", text)
    if forced is not None:
        return f"++{forced[1]}: an option of a group is chosen without ++. Type {forced[1]}."
    if "appears more than once in the final defaults list" not in text:
        return None
    added = next((one for one in sys.argv[1:] if re.match(r"\+[a-z]\w*=", one)), None)
    return None if added is None else f"{added.partition('=')[0]}: the option exists; leave out the +."


def _item_present(text: str) -> str | None:
    append = re.search(r"An item is already at '([^']+)'", text)
    return None if append is None else f"+{append[1]}: the option exists; leave out the +."


def _cannot_merge(text: str) -> str | None:
    override = re.search(r"Error merging override (.*)", text)
    if override is None:
        return None
    name, _, value = override[1].partition("=")
    return f"{name}: {value} cannot stand in the place of what is there. `python -m runner --cfg job` shows what is."


def _no_folder(text: str) -> str | None:
    folder = re.search(r"Additional config directory '(.*)' not found", text)
    if folder is not None:
        return f"--config-dir: {folder[1]} is no folder; expected one with YAML files of options."
    primary = re.search(r"Cannot find primary config '(.*)'\.", text)
    if primary is not None:
        return f"--config-name: there is no {primary[1]}.yaml in the folders of configuration. Leave the flag out."
    return None


def _unresolved(text: str) -> str | None:
    """Tell of a reference that leads nowhere."""
    where = re.search(r"full_key: (\S+)", text)
    key = "" if where is None else f"{where[1]}: "
    variable = re.search(r"Environment variable '([^']+)' not found", text)
    if variable is not None:
        return f"{key}the environment variable {variable[1]} is not set."
    reference = re.search(r"Interpolation key '([^']+)' not found", text)
    if reference is not None:
        return f"{key}${{{reference[1]}}} names no option that is there."
    resolver = re.search(r"Unsupported interpolation type (\S+)", text)
    if resolver is not None:
        return f"{key}${{{resolver[1]}:...}} is no reference that is known; ${{oc.env:NAME}} gives an environment variable."
    raised = re.search(r"raised while resolving interpolation: (.*)", text)
    return None if raised is None else f"{key}the reference cannot be followed: {raised[1]}."


_KINDS: tuple[Callable[[str], str | None], ...] = (
    _unreadable,
    _ambiguous,
    _no_option,
    _no_name,
    _group_added,
    _item_present,
    _cannot_merge,
    _no_folder,
    _unresolved,
)


def _in_one_line(text: str) -> str:
    """Return what Hydra says, without what it says of itself."""
    key = re.search(r"full_key: (\S+)", text)
    lines = [re.sub(r"\s*See https?://\S*hydra\.cc\S*.*", "", line.strip()) for line in text.splitlines()]
    told = " ".join(line for line in lines if line and "HYDRA_FULL_ERROR" not in line and not _OF_HYDRA.match(line))
    return f"{key[1]}: {told}" if key is not None and key[1] else told


_OF_HYDRA = re.compile(r"(full_key|object_type|reference_type): ?|Config search path:|provider=|In '.*': *$")


def _given() -> list[str]:
    return [argument for argument in sys.argv[1:] if not argument.startswith("-") and "=" in argument]


def _pairs() -> Iterator[tuple[str, str]]:
    """Yield key and value of each override, as given."""
    for argument in _given():
        key, _, value = argument.partition("=")
        yield key.lstrip("+"), value


def _unknown(name: str) -> str:
    if name == "dataset/preprocess":
        return (
            "dataset/preprocess: the chosen dataset takes no preset; presets are for images: dataset=image_folder, class_tree "
            "or parquet. Set dataset.preprocess.scale, mean and std; docs/howto/preprocess.md lists each preset's."
        )
    modes = next((re.split(",", v) for argument in sys.argv for v in re.findall(r"^mode=([\w,]+)$", argument)), None)
    known = {mode: known_options(mode) for mode in modes or [None]}
    # Of several modes that a sweep goes through, the one that does not know it.
    mode = next((mode for mode, names in known.items() if name not in names), next(iter(known)))
    message = f"{name}: no such option{'' if mode is None else f' of mode={mode}'}."
    for other in sorted(p.stem for p in Path(shipped("conf"), "mode").glob("*.yaml")):
        if other == mode:
            continue
        theirs, section = known_options(other), name.partition(".")[0]
        if name in theirs:
            return f"{message} {belongs(other)}"
        if section in theirs and section not in known[mode]:
            return f"{message} {belongs(other, section)}"
    near = nearest(name, known[mode])
    hint = f" Did you mean {near}?" if near is not None else ""
    return f"{message}{hint} `python -m runner --cfg job` lists them all."
