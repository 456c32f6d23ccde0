"""The written Q/DQ file, opened again: it holds the layers, loads anywhere, and gives what was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from runner.dataset.item import evenly_spaced
from runner.dataset.subset import Subset
from runner.errors import VerificationError
from runner.evaluation import item_scorer as evaluation
from runner.evaluation.metric import Metric
from runner.evaluation.outputs import ClassScores
from runner.evaluation.same_answers import differing_answers
from runner.graph.model_file import file_sha256
from runner.lint.finding import Finding
from runner.record import QuantizedLayers
from runner.record_text import read_record
from runner.session import plain
from runner.store.stage import Codec, Stage
from runner.store.store import Entry
from runner.targets.qdq import check, write
from runner.targets.qdq.check import check_against_layers, check_loads
from runner.targets.qdq.kernels import kernels_of, rewritten_weights
from runner.targets.qdq.saturation import saturating_kernels
from runner.targets.target import Measured, VerifyOptions

# One batch: enough to see onnxruntime's levels part, cheap beside an evaluation.
_GAP_ITEMS = 32
_LISTED = 5


@dataclass(frozen=True, slots=True, eq=False)
class Checked:
    """What the written file showed.

    Attributes:
        file: its name, relative to the job's folder.
        items: on how many the file, loaded again, gives every score that was measured, bit for bit; 0 where none was.
        integer_kernels: layers, and averages, that a default session runs in integers.
        float_layers: layers that it runs in float, be they quantized or not.
        kernels: operator of the optimized graph -> how often it is there.
        rewritten: weights that onnxruntime quantizes by a rule of its own.
        saturating: kinds of layer whose sums this machine's kernels cannot hold at 8 bits.
        ort_level_gap: share of answers, on one batch, that differ between the default level and none.
        record_matches: the record read back has the scales that the file holds; None where it has none.
    """

    file: str
    items: int
    integer_kernels: int
    float_layers: tuple[str, ...]
    kernels: Mapping[str, int]
    rewritten: tuple[str, ...]
    saturating: tuple[str, ...]
    ort_level_gap: float | None
    record_matches: bool | None


@dataclass(frozen=True, slots=True)
class CheckedInputs:
    """What checking a file depends on.

    Attributes:
        name: of the file, which is part of what is kept.
        file: digest of it.
        record: digest of the record file.
        float_graph: digest of the model that the scores refer to.
        quantized_layers: what the file shall hold.
        verified_items: digest of contents and labels of those that are held against what was measured.
        level_items: digest of the contents of those that onnxruntime's levels are compared on.
        metrics: that it was measured with.
        class_scores: how they are read.
        verify: the options.
    """

    name: str
    file: str
    record: str
    float_graph: str
    quantized_layers: QuantizedLayers
    verified_items: str
    level_items: str
    metrics: tuple[Metric, ...]
    class_scores: ClassScores | None
    verify: VerifyOptions


def _decode(entry: Entry) -> Checked:
    tuples = {key: tuple(value) for key, value in entry.values.items() if isinstance(value, list)}
    return Checked(**{**entry.values, **tuples})


CHECKED: Stage[CheckedInputs, Checked] = Stage(
    "check of the written Q/DQ file",
    CheckedInputs,
    Codec(lambda checked: Entry(asdict(checked)), _decode),
    through=(check, write, evaluation),
    profile=plain("all"),
)


def verify(file: str, measured: Measured, progress: Callable[[int], None]) -> Checked:
    """Return what the written file showed.

    Raises:
        VerificationError: it does not hold the layers, does not load at a level, or gives other scores than were measured.
    """
    path, record = measured.folder.path(file), measured.folder.path(measured.record)
    scorer = measured.scorer
    verified = Subset(measured.dataset, measured.options.items(scorer.items.indices))
    inputs = CheckedInputs(
        file,
        file_sha256(path),
        file_sha256(record),
        measured.float_graph,
        measured.form,
        verified.fingerprint,
        _level_items(measured).content,
        tuple(scorer.metrics),
        scorer.classes,
        measured.options,
    )
    return CHECKED.cached(measured.store, inputs, lambda: _verified(file, path, record, measured, progress))


def _verified(file: str, path: Path, record: Path, measured: Measured, progress: Callable[[int], None]) -> Checked:
    faults = [*check_against_layers(path, measured.form, measured.model), *check_loads(path)]
    if measured.form.layers and dict(read_record(record)) != dict(measured.form.record):
        faults.append(Finding(record.name, "the scales that the file holds", "others"))
    if faults:
        listed = "; ".join(str(fault) for fault in faults[:_LISTED])
        raise VerificationError(f"{path}: {len(faults)} fault(s): {listed}. Please report this.")
    positions = measured.options.positions(len(measured.scorer.items))
    kernels = kernels_of(path)
    return Checked(
        file=file,
        items=_as_measured(path, measured, positions, progress),
        integer_kernels=kernels.integer,
        float_layers=kernels.float_layers,
        kernels=dict(sorted(kernels.counts.items())),
        rewritten=rewritten_weights(path),
        saturating=saturating_kernels(),
        ort_level_gap=_level_gap(path, measured),
        record_matches=True if measured.form.layers else None,
    )


def _as_measured(path: Path, measured: Measured, positions: Sequence[int], progress: Callable[[int], None]) -> int:
    """Return on how many items the file, loaded again, gives the scores that were measured; 0 where none were.

    Raises:
        VerificationError: on one it does not; names the first.
    """
    scorer = measured.scorer
    if not scorer.metrics:
        return 0
    session = measured.engine.session(path, plain("all"))
    for done, (position, scores) in enumerate(zip(positions, scorer.scores(session, positions), strict=True), start=1):
        for metric in scorer.metrics:
            expected = measured.quantized.scores[metric.name][position]
            if not np.array_equal(np.asarray(scores[metric.name], np.float64), expected, equal_nan=True):
                item = scorer.items.dataset.name(scorer.items.indices[position])
                raise VerificationError(
                    f"{path}: item {item} has the {metric.name} scores {scores[metric.name]} when the file is loaded again, "
                    f"and had {tuple(expected)} when it was measured. Please report this."
                )
        progress(done)
    return len(positions)


def _level_items(measured: Measured) -> Subset:
    items = measured.scorer.items
    return items.at(evenly_spaced(min(_GAP_ITEMS, len(items)), len(items)))


def _level_gap(path: Path, measured: Measured) -> float | None:
    """Return the share of answers that differ between onnxruntime's default level and none; None where there are no numbers."""
    items = _level_items(measured)
    usual, exact = (measured.engine.session(path, plain(level)) for level in ("all", "none"))
    gaps = differing_answers(exact, [usual], items, measured.engine, measured.scorer.classes)
    return None if gaps is None else gaps[0]
