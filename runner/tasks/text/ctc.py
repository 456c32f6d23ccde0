"""Connectionist temporal classification, read greedily: the best class of each place, repeats joined, blanks left out.

A. Graves et al., "Connectionist Temporal Classification", 2006.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from runner.errors import ConfigError
from runner.evaluation.outputs import NO_ANSWER, Outputs

Blank = Literal["first", "last"] | int


@dataclass(frozen=True, slots=True)
class Ctc:
    """Reads the characters out of one output.

    The output's axis of classes is the last one that has as many entries as there are classes; of the others all but one are 1.
    An output of whole numbers holds the classes themselves, a space among them unless ``after`` is given. A place
    without an answer (all NaN) is a blank.

    Attributes:
        alphabet: the characters, in the order of their classes, without the blank.
        blank: its class: ``first``, ``last``, or a number.
        after: characters whose classes follow the alphabet's; None: a space where there is one class more.
        class_axis: of the output, where two axes have as many entries; None for what fits.
        output: its name; None for the only one that fits.
    """

    alphabet: tuple[str, ...]
    blank: Blank = "first"
    after: str | None = None
    class_axis: int | None = None
    output: str | None = None

    def text(self, outputs: Outputs) -> str:
        """Return what one item's output says.

        Args:
            outputs: of the model, by name, with their batch axis of 1.

        Raises:
            ConfigError: no output fits, or several do; says what is expected and what they are.
        """
        array = outputs[self.found(outputs)]
        if array.dtype.kind in "iu":
            count, best = len(self.alphabet) + 1 + len(self._after(None)), array.reshape(-1)
        else:
            axis = self._axis(array)
            assert axis is not None  # found
            count = array.shape[axis]
            best = _best(np.moveaxis(array, axis, -1).reshape(-1, count))
        return self._joined(best, count)

    def found(self, outputs: Outputs) -> str:
        """Return the name of the output that is read.

        Raises:
            ConfigError: none fits, or several do.
        """
        if self.output is not None:
            if self.output not in outputs:
                raise ConfigError(f"metric.output: the model has no output '{self.output}'; it has {_told(outputs)}.")
            if not self._fits(outputs[self.output]):
                raise self._unfit({self.output: outputs[self.output]})
            return self.output
        fitting = [name for name, array in outputs.items() if self._fits(array)]
        if not fitting:
            raise self._unfit(outputs)
        if len(fitting) > 1:
            raise ConfigError(
                f"metric=text: several outputs may be the text: {_told({name: outputs[name] for name in fitting})}. Name it "
                "with metric.output=NAME."
            )
        return fitting[0]

    def _joined(self, best: NDArray[Any], count: int) -> str:
        blank = {"first": 0, "last": count - 1}.get(str(self.blank), self.blank)
        assert isinstance(blank, int)
        characters = [*self.alphabet, *self._after(count)]
        characters.insert(blank, "")
        best = np.where((best < 0) | (best >= count), blank, best)
        changes = np.flatnonzero(np.append(True, best[1:] != best[:-1])[: best.size])
        return "".join(characters[number] for number in best[changes].tolist())

    def _after(self, count: int | None) -> str:
        """Return the characters behind the alphabet, of an output of so many classes."""
        if self.after is not None:
            return self.after
        return " " if count is None or count == len(self.alphabet) + 2 else ""

    @property
    def _counts(self) -> tuple[int, ...]:
        """How many classes an output may tell."""
        known = len(self.alphabet) + 1
        return (known, known + 1) if self.after is None else (known + len(self.after),)

    def _fits(self, array: NDArray[Any]) -> bool:
        if array.dtype.kind in "iu":
            return array.ndim > 0 and array.size == max(array.shape)
        return array.dtype.kind == "f" and self._axis(array) is not None

    def _axis(self, array: NDArray[Any]) -> int | None:
        """Return the axis of classes; None where there is none."""
        axes = [axis for axis in range(array.ndim) if array.shape[axis] in self._counts]
        if self.class_axis is not None:
            axes = [axis for axis in axes if axis in (self.class_axis, self.class_axis + array.ndim)]
        axes = [axis for axis in axes if sum(side != 1 for side in np.delete(array.shape, axis)) <= 1]
        return axes[-1] if axes else None

    def _unfit(self, outputs: Outputs) -> ConfigError:
        characters = f"{len(self.alphabet)} characters" + (f" and {len(self.after)} after it" if self.after else "")
        return ConfigError(
            f"metric=text: an alphabet of {characters} and the blank make {' (or with a space '.join(map(str, self._counts))}"
            f"{')' * (len(self._counts) - 1)} classes a place; expected an output [1, places, classes], its axes in any order, "
            f"or whole numbers [1, places]; got {_told(outputs)}. Give this model's own alphabet (dataset.alphabet or "
            "metric.alphabet), say with metric.after which characters follow it, or name the output with metric.output=NAME."
        )


def _best(scores: NDArray[Any]) -> NDArray[np.int64]:
    """Return the class of the highest score of each row, the first among equals; NO_ANSWER where all are NaN."""
    unknown = np.isnan(scores)
    if not unknown.any():
        return np.asarray(scores.argmax(axis=1), np.int64)
    # Not minus infinity, which is a score of its own.
    highest: NDArray[Any] = np.fmax.reduce(scores, axis=1)
    return np.where(np.isnan(highest), NO_ANSWER, (scores == highest[:, np.newaxis]).argmax(axis=1))


def _told(outputs: Outputs) -> str:
    return ", ".join(f"'{name}' {list(np.shape(array))}" for name, array in outputs.items())
