"""The command line made ready for Hydra: flags first, paths that it cannot read in quotes; slips told with what to type."""

from __future__ import annotations

import argparse
import difflib
import functools
import os
import re
import shlex
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from hydra._internal.utils import get_args_parser

from runner.app.known_options import known_options, nearest
from runner.app.places import shipped
from runner.app.quoting import is_path, parsed, readable, to_copy
from runner.errors import ConfigError

# What an input method or a word processor puts in the place of what is on the key; NFKC knows the wide forms.
_LIKE = {
    "，": ",",
    "、": ",",
    "。": ".",
    "“": '"',
    "”": '"',
    "‘": "'",
    "’": "'",
    "【": "[",
    "】": "]",
    "《": "<",
    "》": ">",
}
_LIKE |= {"–": "-", "—": "-", "−": "-", "‑": "-", "\u00a0": " ", "\u3000": " "}
_DASHES = ("-", "–", "—", "−")
_LOOK = re.compile(r"doctor|\+{0,2}doctor=true", re.IGNORECASE)
# Flags that say which job it is.
_ALONGSIDE = ("-m", "--multirun", "--config-dir", "-cd")
_KEY = re.compile(r"[A-Za-z_][\w.@/-]*")


def arranged(arguments: Sequence[str], program: str) -> list[str]:
    """Return arguments as Hydra reads them.

    Args:
        arguments: of the command line.
        program: what is typed before them, for messages.

    Raises:
        ConfigError: one means nothing; says what to type.
    """
    flags, overrides = arranged_apart(arguments, program)
    return [*flags, *overrides]


def arranged_apart(arguments: Sequence[str], program: str) -> tuple[list[str], list[str]]:
    """Return flags with their values, and the overrides; see ``arranged``.

    Raises:
        ConfigError: one means nothing; says what to type.
    """
    arguments = [_expanded(argument) for argument in arguments]
    flags, overrides = _told_apart(arguments, program)
    sweep = any(flag in ("-m", "--multirun") for flag in flags)
    for place, override in enumerate(overrides):
        _refuse_slip(override, overrides[place + 1 : place + 3])
    return flags, [spelled_out(readable(override, sweep=sweep)) for override in overrides]


def without_doctor(arguments: Sequence[str]) -> list[str] | None:
    """Return the other arguments of a command that is only to be looked at; None of one that is to run.

    ``doctor`` in any place is short for ``doctor=true``. What prints the configuration or help does that.
    """
    told = [argument.partition("=")[0] for argument in arguments if argument.startswith("-")]
    if any(flag not in _ALONGSIDE for flag in told):
        return None
    rest = [argument for argument in arguments if not _LOOK.fullmatch(argument)]
    return None if len(rest) == len(arguments) else rest


def spelled_out(argument: str) -> str:
    """Return an argument as the configuration has it: ``expect=87.6`` is short for ``expect.value=87.6``.

    As it stands Hydra would put the number in the place of the section, and ``expect.within`` beside it had none.
    """
    key, _, value = argument.partition("=")
    return f"expect.value={value}" if key == "expect" and not value.startswith("{") else argument


def _expanded(argument: str) -> str:
    """Return a flag's value with a home folder in the place of ``~``, which no shell sees behind an ``=``."""
    flag, equal, value = argument.partition("=")
    return f"{flag}={os.path.expanduser(value)}" if flag.startswith("-") and equal else argument


def _told_apart(arguments: Sequence[str], program: str) -> tuple[list[str], list[str]]:
    """Return flags with their values, and the other arguments, which Hydra takes in one run only."""
    flags: list[str] = []
    overrides: list[str] = []
    left = list(arguments)
    while left:
        argument = left.pop(0)
        if argument == "--":
            return flags, [*overrides, *left]
        if argument[:1] not in _DASHES or argument in _DASHES:
            overrides.append(argument)
            continue
        flag, equal, value = argument.partition("=")
        action = _flag(flag)
        if action is None:
            raise ConfigError(_flag_slip(argument, left, program))
        if "--experimental-rerun" in action.option_strings:
            raise ConfigError(
                f"{argument}: reads a pickle, and so runs whatever its maker put into it. Give the options of "
                ".hydra/overrides.yaml again in its place."
            )
        flags.append(argument)
        if equal or action.nargs == 0:
            continue
        if action.nargs == "?":
            flags += [left.pop(0)] if left and left[0] in (action.choices or ()) else []
            continue
        if not left or left[0].startswith("-"):
            raise ConfigError(f"{argument}: expected {_expected(action)} behind it.")
        value = left.pop(0)
        if action.choices and value not in action.choices:
            raise ConfigError(f"{argument} {value}: expected {_expected(action)}.")
        flags.append(value)
    return flags, overrides


@functools.cache
def _flags() -> dict[str, argparse.Action]:
    return {name: action for action in get_args_parser()._actions for name in action.option_strings}


def _flag(name: str) -> argparse.Action | None:
    """Return what Hydra has under a flag, or under the only one that begins so."""
    known = _flags()
    alike = [known[long] for long in known if name.startswith("--") and len(name) > 2 and long.startswith(name)]
    return known.get(name) or (alike[0] if len(alike) == 1 else None)


def _expected(action: argparse.Action) -> str:
    return " or ".join(map(str, action.choices)) if action.choices else "a value"


def _flag_slip(argument: str, behind: Sequence[str], program: str) -> str:
    name, equal, value = argument.lstrip("".join(_DASHES)).partition("=")
    if argument[0] != "-":
        dashes = "-" if len(name) == 1 else "--"
        return f"{argument}: begins with a long dash, as word processors write it. Type {dashes}{name}{equal}{value}."
    key = name.replace("-", "_")
    known = known_options(None)
    if key.partition(".")[0] not in {one.partition(".")[0] for one in known}:
        near = difflib.get_close_matches(argument.partition("=")[0], _flags(), n=1)
        option = nearest(key, known)
        meant = near[0] if near else f"{option}={value or 'VALUE'}" if option else ""
        hint = f" Did you mean {meant}?" if meant else ""
        return f"{argument}: no such flag.{hint} `{program} --help` lists flags and options."
    if not equal:
        value = behind[0] if behind and "=" not in behind[0] else "VALUE"
    return f"{argument}: options are given as KEY=VALUE, without dashes. Type {_typed(key, value)}."


def _refuse_slip(argument: str, behind: Sequence[str]) -> None:
    """Refuse an argument that is no override, and one with look-alikes of the characters that mean something.

    Raises:
        ConfigError: says what to type.
    """
    key, equal, value = argument.partition("=")
    plain = _with_keys_characters(argument)
    if plain != argument and parsed(readable(plain)) is not None:
        wide = " ".join(dict.fromkeys(char for char in argument if _on_key(char) != char and char not in plain))
        raise ConfigError(
            f"{argument}: holds {wide}, where another character means something. Type {shlex.quote(plain)}."
        )
    if not equal:
        if argument.startswith("~") and parsed(argument) is not None:
            return  # takes an option away
        raise ConfigError(_word_slip(argument, behind))
    if not key:
        raise ConfigError(f"{argument}: has no key before the =; an option is KEY=VALUE in one word, without spaces.")
    if not value and behind and "=" not in behind[0]:
        raise ConfigError(_spaced(f"{argument} {behind[0]}", key, behind[0]))


def _with_keys_characters(argument: str) -> str:
    """Return an argument with what is on the keys in the place of look-alikes, but for those of a path or of a name."""
    equal = re.search(r"[=\uff1d\ufe66]", argument)
    if equal is None:
        return "".join(map(_on_key, argument))
    key, value = "".join(map(_on_key, argument[: equal.start()])), argument[equal.end() :]
    swapped = "".join(map(_on_key, value))
    # Where there are letters of another script, the rest may well belong to a name.
    if value.isascii() or not swapped.isascii() or os.path.lexists(value) or is_path(key, value):
        swapped = value
    return f"{key}={swapped}"


def _on_key(char: str) -> str:
    return _LIKE.get(char, unicodedata.normalize("NFKC", char))


def _word_slip(word: str, behind: Sequence[str]) -> str:
    following = behind[0] if behind else ""
    if _KEY.fullmatch(word) and following.startswith("="):
        value = following[1:] or (behind[1] if len(behind) > 1 else "VALUE")
        return _spaced(f"{word} {following}" + ("" if following[1:] else f" {value}"), word, value)
    meant = file_meant("model", word)
    if meant:
        return f"{word}: options are given as KEY=VALUE. For a model of your own type {meant}."
    known = word in known_options(None)
    groups = (
        [] if known else sorted(path.parent.name for path in Path(shipped("conf")).glob(f"*/{glob_escaped(word)}.yaml"))
    )
    if len(groups) == 1:
        return f"{word}: options are given as KEY=VALUE. Type {groups[0]}={word}."
    if known and following and "=" not in following:
        return _spaced(f"{word} {following}", word, following)
    shown = word if _KEY.fullmatch(word) else "KEY"
    return f"{word or repr(word)}: options are given as KEY=VALUE, in one word. Type {shown}=VALUE."


def glob_escaped(word: str) -> str:
    """Return a word as a pattern that finds it alone; one that is no file's name finds nothing."""
    return word if re.fullmatch(r"\w[\w-]*", word) else "\0"


def file_meant(group: str, value: str) -> str | None:
    """Return how a file or folder is given where it was named as a group's option; None where it is none."""
    is_place = os.path.exists(os.path.expanduser(value)) or "/" in value or "\\" in value
    if group == "model" and (is_place or value.endswith(".onnx")):
        return f"model=file {_typed('model.path', value)}"
    ending = os.path.splitext(value)[1].lower()
    if group == "dataset" and ending in (".npz", ".npy", ".parquet"):
        return f"dataset={ending[1:]} {_typed('dataset.path', value)}"
    if group == "dataset" and is_place:
        return f"dataset=image_folder {_typed('dataset.images', value)}"
    return None


def _spaced(shown: str, key: str, value: str) -> str:
    return f"{shown}: an option is KEY=VALUE in one word, without spaces. Type {_typed(key, value)}."


def _typed(key: str, value: str) -> str:
    """Return an option as it is typed, quoted for the shell and, where it has to be, for the command line."""
    plain = f"{key}={value}"
    return shlex.quote(plain) if parsed(readable(plain)) is not None else to_copy(key, value)
