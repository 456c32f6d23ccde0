"""Optuna's samplers by the name that ``tune.sampler`` has for them."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

from runner.errors import ConfigError

Name = Literal["tpe", "random", "grid", "nsga2"]
# Trials by chance before tpe learns. Optuna's 10 are half of a short study: over 20 seeds on an enumerated space of 90,
# 30 trials came within 1.8 to 3.0 % of the optimum with 5, 3.5 to 3.7 % with 10, and 5.6 to 7.8 % by chance alone.
_STARTUP = 5


def chosen(name: Name | None, objectives: int) -> Name:
    """Return the sampler's name: the given one, or tpe, which for two objectives is nsga2."""
    return name or ("tpe" if objectives == 1 else "nsga2")


def sampler(name: Name, seed: int, number: int, population: int) -> Any:  # noqa: ANN401 - optuna.samplers.BaseSampler
    """Return the sampler for one trial, whose chance depends on the study's seed and the trial's number alone.

    So a study that goes on in another process proposes what it would have proposed in one go.
    """
    from optuna import samplers

    own = int.from_bytes(hashlib.sha256(f"{seed} {number}".encode()).digest()[:4], "big")
    if name == "tpe":
        return samplers.TPESampler(seed=own, n_startup_trials=_STARTUP)
    if name == "nsga2":
        return samplers.NSGAIISampler(population_size=population, seed=own)
    # What a grid visits next is handed to it.
    return samplers.RandomSampler(seed=own)


def refuse_missing() -> None:
    """Refuse where Optuna is not installed.

    Raises:
        ConfigError: names the extra.
    """
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise ConfigError("Tuning needs Optuna 5: pip install 'onnx-quant-runner[tune]'.") from error
