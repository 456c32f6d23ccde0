"""The data against the model's inputs: some items read, bound and run, and the parts of the job that they fall into."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from runner.dataset.binding import bind, first_rows, repeats
from runner.dataset.fitting import fit
from runner.dataset.item import evenly_spaced
from runner.dataset.subset import Subset
from runner.errors import RunnerError
from runner.evaluation.model_outputs import named_outputs
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.convert_qat_options import ConvertQatOptions
from runner.modes.data import Split, calibration_subset, evaluation_subset, split_data
from runner.modes.doctor.examined import Examined, NotKnown
from runner.modes.doctor.finding import Finding, fault, ok, warning
from runner.modes.expectation import batch_caution
from runner.modes.files.given_files import read_given
from runner.modes.files.kept_values import kept_items
from runner.modes.input_values import cached_inputs_seen
from runner.modes.steps.load_qat import item_index
from runner.session import input_specs

# Read, bound and run; enough to meet what is wrong with every item, and with one in ten.
_ITEMS = 48


def look_at_parts(case: Examined) -> Iterator[Finding]:
    """Divide the items as the job does."""
    options, dataset = case.options, case.dataset
    with contextlib.suppress(NotKnown):  # what the items leave open stays open then
        for said in fit(input_specs(case.source.graph), dataset, case.calibration):
            yield ok(said)
    evaluated = evaluation_subset(dataset, options.evaluation_count)
    calibration, split = None, Split()
    if isinstance(options, AccAutoOptions):
        given, split = read_given(options.quant_config, options.record), options.split
        if given.record is None:
            items = case.calibration or dataset
            count, key = given.calibration_count(options.calibration_count, len(items))
            calibration = calibration_subset(items, count, key)
    parts = split_data(evaluated, calibration, split)
    case.split = parts
    options.target.check_steps(options.verify, parts.report.indices)
    kept_items(parts.report, options.keep_intermediates, options.intermediates_count)
    if isinstance(options, ConvertQatOptions):
        item_index(dataset, options.image)
    used = [f"{len(parts.search)} of {len(dataset)} items of {dataset.describe()} to evaluate on"]
    used += [f"{len(parts.report)} for the report"] if parts.held_out else []
    used += [] if calibration is None else [f"{len(calibration)} to calibrate"]
    yield ok(", ".join(used))


def look_at_items(case: Examined) -> Iterator[Finding]:
    """Read some items and run one."""
    sample = sampled(case.split.search, _ITEMS)
    faults = _faults(case, sample)
    if faults:
        many = (
            f"{len(faults)} of the {len(sample)} items looked at cannot be used, the first: " if len(sample) > 1 else ""
        )
        yield fault(f"{many}{faults[0]}", key=_key(faults[0]))
        return
    specs, index = input_specs(case.source.graph), sample.indices[0]
    item, name = case.dataset.item(index), case.dataset.name(index)
    feeds = bind(item, specs, name=name)
    session = case.session
    session.run(feeds, session.number_names)  # the first run is slower
    start = time.perf_counter()
    arrays = session.run(feeds, session.number_names)
    case.seconds = time.perf_counter() - start
    case.outputs = named_outputs(session, first_rows(arrays, repeats(item, specs)))
    shapes = ", ".join(f"{name} {'x'.join(map(str, array.shape))}" for name, array in case.outputs.items())
    yield ok(f"{len(sample)} items looked at fit the model, and one was run: {shapes}")


def _faults(case: Examined, sample: Subset) -> list[str]:
    """Return what is wrong with items, a message an item: read, and bound where the model is known."""
    try:
        specs = input_specs(case.source.graph)
    except NotKnown:
        specs = None
    faults = []
    for index in sample.indices:
        try:
            item = case.dataset.item(index)
            if specs is not None:
                bind(item, specs, name=case.dataset.name(index))
        except RunnerError as error:
            faults.append(str(error))
    return faults


def look_at_values(case: Examined) -> Iterator[Finding]:
    """Tell what values reach the model."""
    case.outputs  # noqa: B018 - raises where no item fits
    case.seen = cached_inputs_seen(case.source.graph, case.split.search, None)
    for name, values in case.seen.values.items():
        yield ok(f"'{name}' holds {values.low:.4g} to {values.high:.4g}, mean {values.mean:.4g}")
    for caution in batch_caution(case.seen):
        yield warning(caution, key="model.path")


def sampled(part: Subset, count: int) -> Subset:
    """Return so many items of a part, or all, evenly spaced."""
    return part.at(evenly_spaced(min(count, len(part)), len(part)))


def _key(message: str) -> str:
    """Return the option that a message about an item names, the preprocessing where it names none."""
    words = message.replace("=", " ").replace(":", " ").split()
    return next((word.strip("(.,") for word in words if word.startswith("dataset.")), "dataset")
