"""Score models item by item against the float model's outputs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.dataset.finite import not_finite_in
from runner.dataset.item import Dataset
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.errors import ConfigError, DatasetError, ModelError
from runner.evaluation.accuracy import Counted
from runner.evaluation.likeness import is_unlike
from runner.evaluation.metric import Metric, Scores
from runner.evaluation.outputs import ClassScores, OutputKind, Outputs, class_scores
from runner.session import Session
from runner.store.remembered import Codec
from runner.store.store import Entry

# The version of this stage's meaning: raise it when the same outputs would give other scores, under any metric.
VERSION = 2

Progress = Callable[[int], None]

# Beside the metrics' names in an item's scores; no metric is called so.
_ANSWER = "(answer)"
_LEAD = "(lead)"

# An item's numbers under each metric.
ItemScores = Mapping[str, tuple[float, ...]]


def _is_finite(array: NDArray[Any]) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _has_nan(array: NDArray[Any]) -> bool:
    return array.dtype.kind == "f" and bool(np.isnan(array).any())


def _silent(done: int) -> None:
    """Report nothing."""


def named_outputs(session: Session, arrays: Sequence[NDArray[Any]]) -> Outputs:
    """Return one item's outputs by name.

    Args:
        session: that gave them.
        arrays: one for each of ``session.number_names``: what is no tensor of numbers is not measured.
    """
    return dict(zip(session.number_names, arrays, strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """A model's scores under every metric, each of shape (items, k).

    Attributes:
        answers: of a classifier (class, margin), shape (items, 2): how much likelier the class is than the next; else None.
        leads: under the headline metric, where that counts hits, shape (items,); else None.
    """

    scores: Mapping[str, Scores]
    answers: NDArray[np.float64] | None = None
    leads: NDArray[np.float64] | None = None


def _encode(evaluation: Evaluation) -> Entry:
    beside = {_ANSWER: evaluation.answers, _LEAD: evaluation.leads}
    known = {name: array for name, array in beside.items() if array is not None}
    return Entry(list(evaluation.scores), {**evaluation.scores, **known})


def _decode(entry: Entry) -> Evaluation:
    scores = {name: entry.arrays[name] for name in entry.values}
    return Evaluation(scores, entry.arrays.get(_ANSWER), entry.arrays.get(_LEAD))


EVALUATION: Codec[Evaluation] = Codec(_encode, _decode)


def _encode_items(items: Mapping[int, ItemScores]) -> Entry:
    names = list(next(iter(items.values()), {}))
    columns = {name: np.array([scores[name] for scores in items.values()], np.float64) for name in names}
    return Entry({"names": names, "positions": list(items)}, columns)


def _decode_items(entry: Entry) -> dict[int, ItemScores]:
    columns = {name: entry.arrays[name].tolist() for name in entry.values["names"]}
    return {
        int(position): {name: tuple(rows[row]) for name, rows in columns.items()}
        for row, position in enumerate(entry.values["positions"])
    }


ITEM_SCORES: Codec[Mapping[int, ItemScores]] = Codec(_encode_items, _decode_items)


class Evaluator:
    """Scores models over fixed items, against the float model.

    Args:
        engine: runs models.
        dataset: evaluation data.
        indices: which items of it.
        metrics: the headline metric first; none where nothing of the model can be measured.
        output_kind: what class scores are (``model.output``).
        decides: whether the headline metric decides; otherwise a figure that cannot be had is left out, and is no error.

    Attributes:
        cautions: what the user should know of the float model's outputs; known after it was run.
        items_scored: how often a model was run.
        evaluations: how many models were run over all items.
        partial_evaluations: how many over some items only.
    """

    def __init__(
        self,
        engine: Engine,
        dataset: Dataset,
        indices: Sequence[int],
        metrics: Sequence[Metric],
        *,
        output_kind: OutputKind = "auto",
        decides: bool = True,
    ) -> None:
        self._engine = engine
        self._dataset = dataset
        self.indices = list(indices)
        self._metrics = list(metrics)
        self._kind, self._decides = output_kind, decides
        self._reference: list[Outputs] = []
        self.classes: ClassScores | None = None
        self.cautions: list[str] = []
        self.items_scored = 0
        self.evaluations = 0
        self.partial_evaluations = 0

    @property
    def metrics(self) -> list[Metric]:
        """The metrics that apply to this model and data, the headline one first; known after the float model was run."""
        return self._metrics

    def label(self, index: int) -> int | None:
        """Return the label of an item of the dataset."""
        return self._dataset.label(index)

    def outputs(self, model: ir.Model | Session, progress: Progress = _silent) -> list[Outputs]:
        """Return a model's outputs for all items.

        Raises:
            DatasetError: an output holds NaN because an item is not finite itself; names the item.
        """
        session = model if isinstance(model, Session) else Session(model)
        found = []
        with contextlib.closing(self._outputs(session, self.indices)) as each:
            for index, outputs in zip(self.indices, each, strict=True):
                for name in (name for name, array in outputs.items() if _has_nan(array)):
                    self._blame_data(index, name)
                found.append(outputs)
                progress(len(found))
        self.evaluations += 1
        return found

    def refer_to(self, reference: list[Outputs]) -> Evaluation:
        """Keep the float model's outputs for all items as the reference, and return its scores.

        Raises:
            DatasetError: a label is outside the model's classes.
            ConfigError: the headline metric does not apply (no labels, or no classes), or its output does not exist.
            ModelError: it needs class scores, and those of an item hold NaN.
        """
        self._reference = reference
        self.cautions = self._nan_cautions()
        if not self._metrics:
            return self.gathered([{} for _ in self.indices])
        labels = [self._dataset.label(index) for index in self.indices]
        headline = self._metrics[0]
        self.classes = self._class_scores(headline, labels)
        self._check_labels(labels)
        self._check_headline(headline, labels)
        self._metrics = [headline, *(m for m in self._metrics[1:] if self._applies(m, labels))]
        scores = [self._score(position, outputs) for position, outputs in enumerate(self._reference)]
        return self.gathered(scores)

    def evaluate_float(self, model: ir.Model | Session, progress: Progress = _silent) -> Evaluation:
        """Run the float model and refer to it; see ``outputs`` and ``refer_to``."""
        return self.refer_to(self.outputs(model, progress))

    def evaluate(
        self,
        model: ir.Model | Session,
        progress: Progress = _silent,
        known: Mapping[int, ItemScores] = MappingProxyType({}),
    ) -> Evaluation:
        """Return a model's scores over all items.

        Args:
            model: any with the float model's inputs and outputs.
            progress: told how many items are scored.
            known: its scores at some positions, which are not scored again.
        """
        session = model if isinstance(model, Session) else Session(model)
        scores = dict(known)
        rest = [position for position in range(len(self.indices)) if position not in known]
        for position, score in zip(rest, self.scores(session, rest), strict=True):
            scores[position] = score
            progress(len(scores) - len(known))
        self.evaluations += 1
        return self.gathered([scores[position] for position in range(len(self.indices))])

    def evaluate_some(self, model: ir.Model, positions: Sequence[int], progress: Progress = _silent) -> Evaluation:
        """Return a model's scores at the given positions, in their order."""
        found = list[ItemScores]()
        with contextlib.closing(self.scores(Session(model), positions)) as scores:
            for score in scores:
                found.append(score)
                progress(len(found))
        self.partial_evaluations += 1
        return self.gathered(found)

    def scores(
        self, session: Session, positions: Sequence[int], *, only_numbers: bool = False
    ) -> Generator[ItemScores, None, None]:
        """Yield the scores of the items at the given positions, in order; stop iterating to stop early.

        Args:
            session: of the model.
            positions: of the items.
            only_numbers: whether NaN that the float model does not have is an error; otherwise the item is wrong.

        Raises:
            ModelError: an output holds such NaN; names the item.
        """
        indices = [self.indices[position] for position in positions]
        for position, outputs in zip(positions, self._outputs(session, indices), strict=True):
            for name in (name for name, array in outputs.items() if only_numbers and _has_nan(array)):
                if not _has_nan(self._reference[position][name]):
                    item = self._dataset.name(self.indices[position])
                    raise ModelError(f"model: the output '{name}' holds NaN for the item {item}; expected numbers.")
            yield self._score(position, outputs)

    def reference(self, position: int) -> Outputs:
        """Return the float model's outputs of the item at a position."""
        return self._reference[position]

    def _outputs(self, session: Session, indices: Sequence[int]) -> Generator[Outputs, None, None]:
        def named(_: int, arrays: list[NDArray[Any]]) -> Outputs:
            return named_outputs(session, arrays)

        names = session.number_names
        for outputs in self._engine.map(session, Subset(self._dataset, indices), named, outputs=names, first_row=True):
            self.items_scored += 1
            yield outputs

    def _score(self, position: int, outputs: Outputs) -> ItemScores:
        if not self._metrics:
            return {}
        index, reference = self.indices[position], self._reference[position]
        for name, output in outputs.items():
            both = output, reference[name]
            if output.shape == reference[name].shape and not all(map(_is_finite, both)) and is_unlike(*both):
                self._blame_data(index, name)
        label = self._dataset.label(index)
        scores = {metric.name: metric.score(outputs, reference, label, self.classes) for metric in self._metrics}
        if self.classes is not None:
            scores[_ANSWER] = self.classes.answer_and_margin(outputs)
        headline = self._metrics[0]
        if isinstance(headline, Counted):
            scores[_LEAD] = (headline.lead(outputs, reference, label, self.classes),)
        return scores

    def _blame_data(self, index: int, name: str) -> None:
        """Raise a DatasetError where an item is not finite, and the figures of its output ``name`` are to decide."""
        bad = not_finite_in(self._dataset, index) if self._decides else None
        if bad is not None:
            raise DatasetError(
                f"dataset: item {self._dataset.name(index)} holds {bad} that are NaN or infinite, and the model's output "
                f"'{name}' for it says nothing; expected finite numbers. Mend the item or leave it out."
            )

    def _nan_cautions(self) -> list[str]:
        """Return a warning of each output that holds NaN for an item which is finite itself."""
        found = []
        for name in next(iter(self._reference), {}):
            items = [i for i, outputs in zip(self.indices, self._reference, strict=True) if _has_nan(outputs[name])]
            if items:
                bad = not_finite_in(self._dataset, items[0])
                why = "A Log, Sqrt or Div of values that it is not made for gives it."
                found.append(
                    f"the float model's output '{name}' holds NaN for {len(items)} of {len(self.indices)} items, first "
                    f"{self._dataset.name(items[0])}; NaN in the same places counts as equal. "
                    + (why if bad is None else f"That item itself holds {bad} that are NaN or infinite.")
                )
        return found

    def gathered(self, scores: Sequence[ItemScores]) -> Evaluation:
        """Return the scores of items as one evaluation, in the order given."""

        def column(name: str) -> Scores:
            return np.array([score[name] for score in scores], np.float64)

        answers = None if self.classes is None else column(_ANSWER)
        leads = column(_LEAD)[:, 0] if self._metrics and isinstance(self._metrics[0], Counted) else None
        return Evaluation({metric.name: column(metric.name) for metric in self._metrics}, answers, leads)

    def of_items(self, evaluation: Evaluation) -> dict[int, ItemScores]:
        """Return an evaluation over all items as the scores of each, by position; ``gathered`` the other way round."""
        beside = {
            _ANSWER: evaluation.answers,
            _LEAD: None if evaluation.leads is None else evaluation.leads[:, np.newaxis],
        }
        columns = {name: array.tolist() for name, array in {**evaluation.scores, **beside}.items() if array is not None}
        return {
            position: {name: tuple(rows[position]) for name, rows in columns.items()}
            for position in range(len(self.indices))
        }

    def _class_scores(self, headline: Metric, labels: Sequence[int | None]) -> ClassScores | None:
        """Return how to read class scores; None where the model is no classifier, or its scores hold NaN and decide nothing."""
        classes = class_scores(self._reference, labels, kind=self._kind, output=headline.output)
        if classes is None:
            return None
        for index, outputs in zip(self.indices, self._reference, strict=True):
            if classes.has_answer(outputs):
                continue
            if headline.needs_classes:
                raise ModelError(
                    f"model.path: the class scores '{classes.output}' hold NaN for the item {self._dataset.name(index)}; "
                    f"expected numbers, which metric={headline.name} compares. Mend the model, or choose metric=sqnr or mse."
                )
            return None
        beyond = any(label is not None and label >= classes.classes for label in labels)
        return None if beyond and not self._decides else classes

    def _applies(self, metric: Metric, labels: Sequence[int | None]) -> bool:
        unlabelled = any(label is None for label in labels)
        return not (metric.needs_labels and unlabelled) and not (metric.needs_classes and self.classes is None)

    def _check_labels(self, labels: Sequence[int | None]) -> None:
        if self.classes is None:
            return
        for index, label in zip(self.indices, labels, strict=True):
            if label is not None and label >= self.classes.classes:
                raise DatasetError(
                    f"dataset.labels: {self._dataset.name(index)} has class {label}, but the model gives "
                    f"{self.classes.classes} scores (classes 0 to {self.classes.classes - 1})."
                )

    def _check_headline(self, metric: Metric, labels: Sequence[int | None]) -> None:
        if metric.needs_labels and any(label is None for label in labels):
            raise ConfigError(
                f"metric: {metric.name} needs a label for every item, but the dataset has none. "
                "Set dataset.labels=FILE, or choose metric=agreement, kl, sqnr or mse."
            )
        if metric.needs_classes and self.classes is None:
            raise ConfigError(
                f"metric: {metric.name} needs an output of class scores, one row an item. "
                "Name it with metric.output, say model.output=logits, or choose metric=sqnr or mse."
            )
