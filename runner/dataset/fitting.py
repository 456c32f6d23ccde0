"""Images meet a model: what their preprocessing leaves open is settled by the input that they go to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from runner.dataset.item import Dataset
from runner.dataset.preprocess import ImagePreprocess
from runner.errors import ConfigError
from runner.session import InputSpec


@runtime_checkable
class FitsInputs(Protocol):
    """A dataset whose items depend on what the model takes."""

    def fit_to(self, inputs: Sequence[InputSpec]) -> list[str]:
        """Settle what is left open, before an item or a fingerprint is asked for; return what was chosen, in sentences."""
        ...


def fit(inputs: Sequence[InputSpec], *datasets: Dataset | None) -> tuple[str, ...]:
    """Have datasets settle what they leave open, those that do; return what was chosen.

    Raises:
        ConfigError: what is said does not fit the model.
    """
    chosen: list[str] = []
    for dataset in datasets:
        if isinstance(dataset, FitsInputs):
            chosen += dataset.fit_to(inputs)
    return tuple(dict.fromkeys(chosen))


def fitted(asked: ImagePreprocess, specs: Sequence[InputSpec]) -> tuple[ImagePreprocess, list[str]]:
    """Return preprocessing for the inputs that images go to, and what was chosen.

    Raises:
        ConfigError: an input takes other images than are said, or two take different ones.
    """
    found = [(spec, *asked.fitted(spec)) for spec in specs]
    if not found:
        return asked, []
    first, preprocess, _ = found[0]
    for spec, other, _ in found[1:]:
        if other != preprocess:
            raise ConfigError(
                f"dataset.preprocess: the model inputs '{first.name}' and '{spec.name}' take different images, which one "
                "preprocessing cannot give. Give arrays instead: dataset=npz or dataset=npy."
            )
    return preprocess, [said for _, _, chosen in found for said in chosen]
