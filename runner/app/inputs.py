"""``batch_axis`` and ``constants`` beside any dataset's options: what its user says of the model's inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runner.app.checking import build
from runner.app.downloads import own_options
from runner.dataset.input_settings import InputSettings
from runner.dataset.item import Dataset
from runner.errors import ConfigError

_BATCH_AXIS, _CONSTANTS = "batch_axis", "constants"
# What may stand beside any dataset's own options.
BESIDE: Mapping[str, Any] = {_BATCH_AXIS: dict[str, int | None], _CONSTANTS: dict[str, Any]}


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is said of the model's inputs.

    Attributes:
        batch_axis: of evaluation items, by input.
        calibration_axis: of calibration items, the same unless said, or unless their dataset has an option of its own for it.
        constants: fixed inputs.
    """

    batch_axis: Mapping[str, int | None]
    calibration_axis: Mapping[str, int | None]
    constants: Mapping[str, Any]

    def of_evaluation(self, dataset: Dataset) -> Dataset:
        """Return evaluation data with it."""
        if not self.batch_axis and not self.constants:
            return dataset
        return InputSettings(dataset, self.batch_axis, self.constants)

    def of_calibration(self, dataset: Dataset | None) -> Dataset | None:
        """Return calibration data with it, if there is any."""
        return (
            InputSettings(dataset, self.calibration_axis) if dataset is not None and self.calibration_axis else dataset
        )


def lifted(config: Mapping[str, Any]) -> tuple[dict[str, Any], Inputs]:
    """Return the configuration without what is said of inputs, and that.

    A dataset whose constructor takes an option of that name is given it.

    Raises:
        ConfigError: an axis is no number, or calibration data fixes inputs.
    """
    plain = dict(config)
    dataset, said = _taken(plain.get("dataset"), "dataset")
    plain["dataset"] = dataset
    calibration, said_of_calibration = plain.get("calibration"), dict[str, Any]()
    if isinstance(calibration, Mapping):
        inner, said_of_calibration = _taken(calibration.get("dataset"), "calibration.dataset")
        plain["calibration"] = {**calibration, "dataset": inner} if "dataset" in calibration else calibration
    if said_of_calibration.get(_CONSTANTS):
        raise ConfigError(
            "calibration.dataset.constants: inputs are fixed for the whole job; give it as dataset.constants."
        )
    axes = said.get(_BATCH_AXIS, {})
    return plain, Inputs(axes, said_of_calibration.get(_BATCH_AXIS, axes), said.get(_CONSTANTS, {}))


def _taken(node: Any, section: str) -> tuple[Any, dict[str, Any]]:  # noqa: ANN401 - configuration is any value
    if not isinstance(node, Mapping):
        return node, {}
    own = own_options(node, section)
    found: dict[str, Any] = {}
    for key, hint in BESIDE.items():
        if key in own:
            found[key] = {}  # said to the dataset itself
        elif node.get(key) is not None:
            found[key] = build(node[key], hint, f"{section}.{key}")
    return {key: value for key, value in node.items() if key in own or key not in (_BATCH_AXIS, _CONSTANTS)}, found
