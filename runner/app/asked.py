"""What was asked of a job, for its page: the command and the configuration, without what makes no difference to the result."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from runner.app.sweep.label import NO_RESULT
from runner.credentials import without_credentials
from runner.report.sections.again import Asked

# A page is the same wherever and however the job ran.
_LEFT_OUT = (*NO_RESULT, "report", "doctor", "verbose", "quiet", "json", "hydra", "hparams_search")
_TAKES_VALUE = ("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp")


def asked(
    config: DictConfig, choices: Mapping[str, str], overrides: Sequence[str], arguments: Sequence[str] = ()
) -> Asked:
    """Return what was asked for, without passwords.

    Args:
        config: as it was composed.
        choices: the option chosen in each configuration group.
        overrides: the job's, as typed.
        arguments: of the command: where the configuration is looked for counts.
    """
    kept = [override for override in overrides if _name(override) not in _LEFT_OUT]
    line = shlex.join(["python", "-m", "runner", *_where(arguments), *map(without_credentials, kept)])
    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)  # the root of a configuration is a mapping
    told = {key: value for key, value in plain.items() if key not in _LEFT_OUT}
    dataset = told.get("dataset")
    steps = dataset.get("preprocess") if isinstance(dataset, Mapping) else None
    return Asked(choices, line, _yaml(told), _yaml(steps) if isinstance(steps, Mapping) else "")


def _name(override: str) -> str:
    """Return the group, or the first part of the key, that an override sets."""
    return override.lstrip("+~").partition("=")[0].partition("@")[0].partition(".")[0].partition("/")[0]


def _where(arguments: Sequence[str]) -> Iterator[str]:
    for place, argument in enumerate(arguments):
        if argument.partition("=")[0] in _TAKES_VALUE:
            yield argument
            if "=" not in argument:
                yield from arguments[place + 1 : place + 2]


def _yaml(value: Any) -> str:  # noqa: ANN401 - of a configuration
    return without_credentials(OmegaConf.to_yaml(OmegaConf.create(value))).rstrip()
