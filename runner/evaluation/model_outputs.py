"""What a model gives for each item, by name, and whose fault it is where that says nothing."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from runner.dataset.binding import first_rows
from runner.dataset.finite import not_finite_in
from runner.dataset.item import Dataset
from runner.dataset.subset import Subset
from runner.engine import BoundItem, Engine, Runnable
from runner.errors import DatasetError
from runner.evaluation.ledger import Ledger
from runner.evaluation.outputs import Outputs
from runner.session import Feeds


class NamedRunnable(Runnable, Protocol):
    """What gives outputs that have names; a Session, or one behind another face."""

    @property
    def number_names(self) -> Sequence[str]:
        """Return the names of the outputs that are tensors of numbers, in order."""
        ...


def named_outputs(session: NamedRunnable, arrays: Sequence[NDArray[Any]]) -> Outputs:
    """Return one item's outputs by name.

    Args:
        session: that gave them.
        arrays: one for each of ``session.number_names``: what is no tensor of numbers is not measured.
    """
    return dict(zip(session.number_names, arrays, strict=True))


class Runs:
    """Runs of a model on items as the engine binds them, as outputs by name; may be called from several threads.

    Args:
        session: of the model.
    """

    def __init__(self, session: NamedRunnable) -> None:
        self.session = session

    def of(self, item: BoundItem) -> Outputs:
        """Return the outputs for one item; of one that is repeated to fill a fixed batch those of its first row."""
        return self.of_feeds(item.feeds, item.repeats)

    def of_feeds(self, feeds: Feeds, repeats: int) -> Outputs:
        """Return the outputs for one item's feeds, see ``BoundItem``."""
        arrays = self.session.run(feeds, self.session.number_names)
        return named_outputs(self.session, first_rows(arrays, repeats))


def model_outputs(
    session: NamedRunnable, items: Subset, engine: Engine, ledger: Ledger
) -> Generator[Outputs, None, None]:
    """Yield a model's outputs for each item, in order; stop iterating to stop early."""
    yield from ledger.counted(engine.each(session, items, Runs(session).of))


def has_nan(array: NDArray[Any]) -> bool:
    """Return whether an output holds NaN."""
    return array.dtype.kind == "f" and bool(np.isnan(array).any())


def is_finite(array: NDArray[Any]) -> bool:
    """Return whether every value of an output is finite."""
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def refuse_item_at_fault(dataset: Dataset, index: int, output: str) -> None:
    """Raise a DatasetError where an item is not finite itself, so that an output for it says nothing."""
    bad = not_finite_in(dataset, index)
    if bad is not None:
        raise DatasetError(
            f"dataset: item {dataset.name(index)} holds {bad} that are NaN or infinite, and the model's output "
            f"'{output}' for it says nothing; expected finite numbers. Mend the item or leave it out."
        )
