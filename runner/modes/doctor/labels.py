"""Class numbers against the classes that the model knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from runner.dataset.item import Truth, class_of
from runner.evaluation.amct_evaluator import AmctEvaluator
from runner.evaluation.label_range import beyond
from runner.evaluation.metric import KnowsTruth
from runner.evaluation.output_facts import class_scores, facts_of
from runner.evaluation.what_applies import KINDS
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.doctor.examined import Examined
from runner.modes.doctor.finding import Finding, fault, ok, warning

_MOST_NAMED = 5


def look_at_labels(case: Examined) -> Iterator[Finding]:
    """Hold the labels of all items against the number of classes."""
    items, metric = case.split.search, case.metric
    truths: Sequence[Truth] = [items.dataset.label(index) for index in items.indices]
    labels = [class_of(truth) for truth in truths]
    known = [label for label in labels if label is not None]
    if not known:
        if all(truth is None for truth in truths):
            yield from _unlabelled(case)
        else:
            case.labels = "of another kind"
            yield ok(
                f"{len(truths)} items with {KINDS.get(type(truths[0]), 'values of a class of yours')} as what is true of each"
            )
        return
    classes = None
    if not isinstance(metric, AmctEvaluator | KnowsTruth):
        facts = [facts_of(case.outputs)]
        found = class_scores(facts, labels[:1], kind=case.options.output_kind, output=metric.output)
        classes = None if found is None else found.classes
    if classes is None:
        case.labels = "classes"
        yield ok(f"{len(known)} of {len(labels)} items have a class, {min(known)} to {max(known)}")
        return
    error = beyond(labels, classes, items)
    if error is not None:
        raise error
    case.labels = "classes"
    yield from _spread(known, len(labels), classes)


def _unlabelled(case: Examined) -> Iterator[Finding]:
    metric = case.metric
    needs = not isinstance(metric, AmctEvaluator) and metric.needs_labels
    if needs and isinstance(case.options, AccAutoOptions):
        yield fault(
            f"dataset.labels: no item has a label, and {metric.name} needs one for each",
            advice="Set dataset.labels=FILE, or metric=agreement (classes) or sqnr (numbers), which need none.",
        )
        return
    case.labels = "none"
    yield ok("no item has a label; figures hold the models against each other")


def _spread(known: Sequence[int], items: int, classes: int) -> Iterator[Finding]:
    counts = Counter(known)
    if len(known) < items:
        yield warning(
            f"{items - len(known)} of {items} items have no label",
            key="dataset.labels",
            advice="Figures on labels need one for every item.",
        )
    missing = [number for number in range(classes) if number not in counts]
    least, most = min(counts.values()), max(counts.values())
    each = f"{least}" if least == most else f"{least} to {most}"
    yield ok(
        f"{len(known)} labels, {min(known)} to {max(known)}, of {classes} classes; {each} items a class that occurs"
    )
    if classes == max(known) + 2 and not missing[:-1] and min(known) == 0:
        yield warning(
            f"the model has {classes} classes and the labels one less; a model from TensorFlow counts a background class as 0",
            key="dataset.labels",
            advice="Then each label has to be one larger.",
        )
    elif missing and len(known) >= 5 * classes:
        named = ", ".join(map(str, missing[:_MOST_NAMED])) + (" …" if len(missing) > _MOST_NAMED else "")
        have = "has" if len(missing) == 1 else "have"
        yield warning(f"{len(missing)} of {classes} classes {have} no item: {named}", key="dataset.labels")
