"""What classes are called on the page and in files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from runner.dataset.input_settings import beneath
from runner.dataset.item import Dataset
from runner.dataset.truth import ClassNames
from runner.wording import say


def class_names(dataset: Dataset) -> tuple[str, ...]:
    """Return the names that a dataset has for its classes, class 0 first; none where it knows none."""
    given = beneath(dataset)
    return tuple(given.class_names) if isinstance(given, ClassNames) else ()


def called(number: int, names: Sequence[str]) -> str:
    """Return a class's name in a sentence; ``class 7`` where it has none."""
    return names[number] if 0 <= number < len(names) else say("class {number}", number=number)


def keys(numbers: Sequence[int], names: Sequence[str]) -> dict[int, str]:
    """Return what classes are told apart by: their names, and their numbers where they have none or share one."""
    count = Counter(names)
    return {
        number: names[number] if 0 <= number < len(names) and count[names[number]] == 1 else str(number)
        for number in numbers
    }
