"""The measure of text recognisers: the share of characters that are read wrongly, or of lines that are read without a fault."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from runner.dataset.alphabet import read_alphabet
from runner.dataset.item import Truth
from runner.errors import ConfigError
from runner.evaluation.accuracy import PERCENTAGE_POINTS
from runner.evaluation.metric import Scores, below_target, hits_below_target
from runner.evaluation.outputs import ClassScores, Outputs
from runner.tasks.text.ctc import Blank, Ctc
from runner.tasks.text.lines_read import LineRead, counts


@dataclass(frozen=True, slots=True)
class CharacterErrors:
    """Errors of the text that is read greedily out of a CTC output (see ``Ctc``), held against the true text.

    By characters it is the character error rate in percent, edits over characters of the truth, summed over items, and less is
    better; by lines the share of exact ones in percent. Either loss, in percentage points, is below 0 where the quantized model
    does better. An item's row: see ``LineRead``.

    Attributes:
        by: ``characters`` or ``lines``: which decides.
        alphabet: a text file with a character a line, or the characters, as the classes are numbered, without the blank;
            None where the dataset knows it.
        blank: class of the blank: ``first``, ``last``, or a number.
        after: characters whose classes follow the alphabet's; None: a space where the output has one class more.
        ignore_case: capitals and small letters are the same.
        class_axis: axis of the classes in the output, where two could be; None for what fits.
        output: name of the output; the only one that fits by default.
        characters: the alphabet itself.
    """

    by: Literal["characters", "lines"] = "characters"
    alphabet: str | list[str] | None = None
    blank: Blank = "first"
    after: str | None = None
    ignore_case: bool = False
    class_axis: int | None = None
    output: str | None = None
    characters: tuple[str, ...] = field(init=False, repr=False)
    name = "text"
    unit = PERCENTAGE_POINTS
    needs_labels = True
    needs_classes = False
    needs_reference = False

    def __post_init__(self) -> None:
        if self.by not in ("characters", "lines"):
            raise ConfigError(f"metric.by: expected characters or lines, got {self.by}.")
        if isinstance(self.alphabet, str):
            characters = read_alphabet(self.alphabet, key="metric.alphabet")
        else:
            characters = tuple(self.alphabet or ())
        object.__setattr__(self, "characters", characters)
        most = len(characters) + len(" " if self.after is None else self.after)
        wrong = isinstance(self.blank, str) or not 0 <= self.blank <= (most if characters else self.blank)
        if self.blank not in ("first", "last") and wrong:
            raise ConfigError(f"metric.blank: expected first, last or 0 to {most}, got {self.blank}.")

    @property
    def counts_items(self) -> bool:
        """Whether the loss is one of whole lines."""
        return self.by == "lines"

    def with_alphabet(self, alphabet: Sequence[str]) -> CharacterErrors:
        """Return the metric with a dataset's alphabet; itself where it has one, or the dataset knows none."""
        return self if self.characters or not alphabet else replace(self, alphabet=list(alphabet))

    def why_not(self, truth: Truth) -> str | None:
        """Return what was expected of a truth that is no text."""
        return None if isinstance(truth, str) else "texts (dataset=text_lines)"

    def check_outputs(self, outputs: Outputs, truth: Truth) -> None:
        """Refuse outputs that the alphabet does not fit.

        Raises:
            ConfigError: there is no alphabet, or no output has its classes; says what to set.
        """
        self._reads.found(outputs)

    def score(
        self, outputs: Outputs, reference: Outputs, label: Truth, classes: ClassScores | None
    ) -> tuple[float, ...]:
        """Return an item's row, see ``LineRead``."""
        return LineRead.of(label, self._reads.text(outputs), ignore_case=self.ignore_case).row()

    def aggregate(self, scores: Scores) -> float:
        """Return the character error rate, or the share of exact lines, in percent."""
        return _share(counts(scores), self.by)

    def loss(self, float_scores: Scores, scores: Scores) -> float:
        """Return how many percentage points more characters are wrong, or fewer lines exact."""
        before, after = _share(counts(float_scores), self.by), _share(counts(scores), self.by)
        lost = after - before if self.by == "characters" else before - after
        return 0.0 if math.isnan(lost) else lost

    def accepts(self, float_scores: Scores, scores: Scores, target: float) -> bool:
        """Return whether the loss is below the target, decided on whole edits or lines."""
        before, after = counts(float_scores).sum(axis=0), counts(scores).sum(axis=0)
        if self.by == "lines":
            return hits_below_target(before[2], after[2], len(scores), target)
        if before[1] != after[1]:
            return below_target(self.loss(float_scores, scores), target)
        return hits_below_target(after[0], before[0], max(before[1], 1.0), target)

    def figures(self, scores: Scores) -> Mapping[str, float]:
        """Return the character error rate in percent, how many lines are exact, and their share in percent."""
        each = counts(scores)
        return {
            "character_error_rate": _share(each, "characters"),
            "exact_lines": float(each[:, 2].sum()),
            "exact_lines_share": _share(each, "lines"),
        }

    def resampled_losses(self, float_scores: Scores, scores: Scores, draws: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the loss over each draw of items; see ``Resampled``."""
        before, after = (counts(each)[draws].sum(axis=1) for each in (float_scores, scores))
        if self.by == "lines":
            return np.asarray(100.0 * (before[:, 2] - after[:, 2]) / draws.shape[1], np.float64)
        rates = [100.0 * each[:, 0] / np.maximum(each[:, 1], 1.0) for each in (before, after)]
        return np.asarray(rates[1] - rates[0], np.float64)

    def cost(self, before: NDArray[np.float64], after: NDArray[np.float64]) -> float | None:
        """Return how many edits more the text takes; None where it is the same text."""
        was, now = LineRead.from_row(before), LineRead.from_row(after)
        return None if was == now else float(now.edits - was.edits)

    def words(self, row: NDArray[np.float64]) -> Mapping[str, str]:
        """Return the text that was read, and by how many edits it differs from the truth."""
        line = LineRead.from_row(row)
        return {"text": line.text, "edits": str(line.edits)}

    @property
    def _reads(self) -> Ctc:
        if not self.characters:
            raise ConfigError(
                "metric.alphabet: metric=text needs the characters that the model's classes stand for; expected a text file "
                "with one a line, got none. Set dataset.alphabet=FILE or metric.alphabet=FILE."
            )
        return Ctc(self.characters, self.blank, self.after, self.class_axis, self.output)


def _share(each: NDArray[np.float64], by: str) -> float:
    """Return edits over characters, or the share of exact lines, in percent, of (edits, characters, exact) an item.

    Where no text has a character, the rate is NaN.
    """
    edits, length, exact = each.sum(axis=0)
    if by == "lines":
        return 100.0 * float(exact) / len(each)
    return 100.0 * float(edits) / float(length) if length else math.nan
