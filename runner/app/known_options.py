"""The keys of the configuration that the running command gives, for messages: which there are, which is near."""

from __future__ import annotations

import difflib
import functools
import sys
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runner.app.places import shipped


def nearest(name: str, known: list[str]) -> str | None:
    """Return the key that was probably meant: a like name in the same section, or a like name in all."""
    section, _, last = name.rpartition(".")
    siblings = {key.rpartition(".")[2]: key for key in known if key.rpartition(".")[0] == section}
    near = difflib.get_close_matches(last, siblings, n=1)
    if near:
        return siblings[near[0]]
    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.85)), None)


def known_options(mode: str | None) -> list[str]:
    """Return the dotted keys of the configuration that the chosen groups give in a mode, and the groups that it has."""
    folders = {path.name for path in Path(shipped("conf")).iterdir() if path.is_dir()}
    return _composed(mode, tuple(a for a in sys.argv[1:] if a.partition("=")[0] in folders - {"mode"} and "," not in a))


@functools.cache
def _composed(mode: str | None, chosen: tuple[str, ...]) -> list[str]:
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    GlobalHydra.instance().clear()
    chosen_mode = [] if mode is None else [f"mode={mode}"]
    try:
        with initialize_config_dir(shipped("conf"), version_base="1.3"):
            composed = compose("config", chosen_mode, return_hydra_config=True)
            groups = sorted(str(name) for name in composed.hydra.runtime.choices if "hydra" not in str(name))
            own = [argument for argument in chosen if argument.partition("=")[0] in groups]
            try:
                keys = compose("config", [*own, *chosen_mode])
            except (HydraException, OmegaConfBaseException):
                keys = compose("config", chosen_mode)  # one of them is what is wrong
            return [*_dotted(OmegaConf.to_container(keys, resolve=False), ""), *groups]
    except (HydraException, OmegaConfBaseException):
        return sorted(path.name for path in Path(shipped("conf")).iterdir() if path.is_dir())


def _dotted(value: Any, prefix: str) -> list[str]:  # noqa: ANN401
    if not isinstance(value, dict):
        return []
    keys = []
    for name, inner in value.items():
        key = f"{prefix}{name}"
        keys += [key, *_dotted(inner, f"{key}.")]
    return keys
