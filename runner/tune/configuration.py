"""The configuration of a study as plain values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from runner.app.places import at_home, make_importable, names_own_class


def plain_values(config: DictConfig) -> dict[str, Any]:
    """Return a configuration as plain values; classes of the user's own that it names can be imported from then on."""
    plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=False)
    assert isinstance(plain, dict)  # the root of a configuration is a mapping
    # They lie where the command is given or beside the configuration.
    if names_own_class(plain):
        make_importable([str(Path.cwd()), *given_folders()])
    return {str(key): at_home(value) for key, value in plain.items()}


def given_folders() -> list[str]:
    """Return the folders of configuration that the command line names."""
    sources = HydraConfig.get().runtime.config_sources
    return [source.path for source in sources if source.provider == "command-line"]
