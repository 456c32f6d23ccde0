"""Which layers can be int8, and how many others stay float for which reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from runner.convert.qdq.read import read_qdq, refuse_foreign
from runner.graph.layers import LayeredModel
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.convert_qat_options import ConvertQatOptions
from runner.modes.doctor.examined import Examined, NotKnown
from runner.modes.doctor.finding import Finding, ok, warning
from runner.modes.files.given_files import GivenFiles, read_given
from runner.modes.layer_settings import select_layers
from runner.modes.prepared_model import prepared_model
from runner.modes.rewriting import recorded_model
from runner.modes.steps.load import Loaded
from runner.modes.steps.select import select
from runner.targets.target import KnowsUntaken

_MOST_REASONS = 4


def look_at_layers(case: Examined) -> Iterator[Finding]:
    """Find the layers, and which of them the options leave float."""
    if case.mode == "convert_qat":
        yield from _of_qat(case)
        return
    try:
        options = case.options
    except NotKnown:
        options = None
    asked = options if isinstance(options, AccAutoOptions) else None
    given = GivenFiles() if asked is None else read_given(asked.quant_config, asked.record)
    prepared = recorded_model(prepared_model(case.source, given.folds, case.target), given)
    case.layers = prepared.at_source_opset
    found = prepared.runnable
    yield ok(f"{len(found.layers)} can be int8: {_counted(layer.op_type for layer in found.layers)}")
    yield from _left_alone(found)
    if asked is not None and given.record is None:
        skipped = select_layers(asked.settings, found, prepared.node_types).skipped
        if skipped:
            yield ok(f"{len(skipped)} of them stay float as configured: {_named(skipped)}")
    case.given, case.prepared = given, prepared


def look_at_selection(case: Examined) -> Iterator[Finding]:
    """Put options, a configuration or a record of AMCT's and the model together, as the job does."""
    options = case.options
    if not isinstance(options, AccAutoOptions):
        return
    split = case.split
    selection = select(Loaded(case.given, case.prepared, split, (), {}, 0, split.report), options)
    for caution in selection.warnings:
        yield warning(caution)
    if case.given.name:
        yield ok(f"{len(selection.layers)} layers are to be int8, as {case.given.name} and the options say")


def _of_qat(case: Examined) -> Iterator[Finding]:
    refuse_foreign(case.source.graph)
    options = case.options
    assert isinstance(options, ConvertQatOptions)  # of this mode
    qat = read_qdq(case.source.graph, case.target.limits, on_asymmetric_weight=options.on_asymmetric_weight)
    case.layers = qat.found
    held = qat.form.layers
    yield ok(
        f"{len(held)} of {len(qat.found.layers)} are quantized in the source: "
        f"{_counted(layer.op_type for layer in qat.found.layers if layer.name in held)}"
    )
    yield from _left_alone(qat.found)


def look_at_deploy(case: Examined) -> Iterator[Finding]:
    """Ask the target what it does not take of the model's other operators."""
    target = case.target
    if not isinstance(target, KnowsUntaken):
        return
    findings = target.untaken(case.layers)
    for text in findings:
        yield warning(f"for {target.name}, {text}", key="model.path")
    if not findings:
        yield ok(f"{target.name} has every operator of the model")


def _left_alone(found: LayeredModel) -> Iterator[Finding]:
    reasons = Counter((left.op_type, left.reason) for left in (*found.left_alone, *found.better_float))
    for (op_type, reason), count in reasons.most_common(_MOST_REASONS):
        yield ok(f"{count} {op_type} stay{'' if count > 1 else 's'} float: {reason}")
    rest = len(reasons) - _MOST_REASONS
    if rest > 0:
        yield ok(f"others stay float for {rest} more reasons, which the job's log lists")


def _counted(names: Iterable[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in Counter(names).most_common()) or "none"


def _named(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
