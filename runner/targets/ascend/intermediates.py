"""``keep_intermediates``: what flows through the model, in float and as the deploy file has it, as files to compare with.

    amct_log/temp<timestamp>/
        index.json  index.csv                               what is in each file, and where a chip's dump has the same
        item<n>/deploy/<op_name>.<output>.<zeros>.npy       of the deploy file: real values, int8 codes, int32 sums
        item<n>/float/<op_name>.<output>.<zeros>.npy        of the float model
        <name>_all_int8_fake_quant_model.onnx               the trial with every layer in int8
        <name>_all_int8_deploy_model.onnx                   only where no plan was accepted: the values are of this file then

The values are those of the deploy file executed alone, with its integers as written, as in the verification; the float model
runs with the same kernels. A tensor that several layers read is written once. Values are written as they come: a session is
made for as many tensors as lie side by side in memory without harm, and sees item after item.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.convert.fake_quant import fake_quant_model
from runner.dataset.binding import bind
from runner.dumps.difference import Difference, difference
from runner.dumps.index import INDEX, TABLE, DumpIndex, IndexedItem, IndexedTensor, index_text, table_text
from runner.dumps.names import file_name
from runner.errors import OutputError
from runner.graph.model_file import file_sha256, weights_size
from runner.graph.opset import raise_opset
from runner.graph.output_kind import other_outputs
from runner.graph.probe import only_outputs, only_shapes
from runner.job_folder import JobFolder
from runner.session import REFERENCE, Session
from runner.targets.ascend.deploy import deploy_model
from runner.targets.ascend.deploy_values import Row, deploy_rows, nodes_of
from runner.targets.target import Kept
from runner.verify.deploy_file import read_deploy
from runner.verify.execute import executable

logger = logging.getLogger(__name__)

# AMCT names its folder temp<YYYYmmddHHMMSSffffff> by this clock, wherever it runs.
_AMCT_CLOCK = timezone(timedelta(hours=8))
# Of the tensors that one session gives.
_SIDE_BY_SIDE = 256 * 2**20


def write_intermediates(kept: Kept, folder: JobFolder, progress: Callable[[int], None] = lambda done: None) -> Path:
    """Write the intermediate values of items and return the folder that they are in.

    Args:
        kept: the model, its quantized form and files, and the items.
        folder: the job's.
        progress: told how many of the items are done, each counting twice: float, and as deployed.

    Raises:
        OutputError: they cannot be written, or do not fit on the disk.
    """
    name = f"amct_log/temp{datetime.now(_AMCT_CLOCK).strftime('%Y%m%d%H%M%S%f')}"
    with folder.whole_folder(name, told=(INDEX, TABLE)) as temp:
        index = _Writer(folder, temp, kept).write(progress)
        temp.write_text(INDEX, index_text(index))
        temp.write_text(TABLE, table_text(index))
    logger.info("intermediate values of %d item(s) are in %s", len(kept.items), folder.path(name))
    return folder.path(name)


@dataclass(frozen=True, slots=True)
class _Tap:
    """A tensor to be written.

    Attributes:
        tensor: its name in the graph that runs.
        file: without the item's folder.
        size: bytes, for the first item.
        whole: it is of whole numbers, to be written as int32.
        shaped_like: a tensor whose shape it is to have; None for its own.
    """

    tensor: str
    file: str
    size: int
    whole: bool = False
    shaped_like: str | None = None


class _Writer:
    def __init__(self, folder: JobFolder, temp: JobFolder, kept: Kept) -> None:
        self._folder, self._temp, self._kept = folder, temp, kept
        self._dataset, self._indices = kept.items.dataset, kept.items.indices
        self._float = raise_opset(kept.model.graph)
        self._trial = f"{kept.name}_all_int8"
        self._deploy = read_deploy(self._deploy_path())
        self._graph = executable(self._deploy)
        self._rows = deploy_rows(self._deploy, self._graph, kept.model.on(self._float), kept.form)
        for output, kind in other_outputs(self._deploy.standard).items():
            logger.info(
                "keep_intermediates: the output '%s' (%s) is left out: only tensors of numbers are written",
                output,
                kind,
            )

    def write(self, progress: Callable[[int], None]) -> DumpIndex:
        """Write all but the index, and return it."""
        kept, items = self._kept, len(self._indices)
        # By the names that the nodes have in the source where a later opset has others.
        nodes = [*self._float.graph, *kept.model.graph.graph]
        made = {output.name: (node.name or "", at) for node in nodes for at, output in enumerate(node.outputs)}
        twins = [row.value.twin for row in self._rows if row.value.twin is not None]
        float_taps = self._taps("float", self._float, {name: made.get(name, (name, 0)) for name in twins})
        taps = self._deploy_taps()
        trial = None
        if kept.all_int8 is not None:
            trial = fake_quant_model(kept.model.on(self._float), kept.all_int8)
        self._check_space([*float_taps, *taps], 0 if trial is None else weights_size(trial))
        if trial is not None:
            self._temp.write_model(f"{self._trial}_fake_quant_model.onnx", trial)
        self._run(self._float, float_taps, progress)
        self._run(self._graph.model, taps, lambda done: progress(items + done))
        files = {tap.tensor: tap.file for tap in taps}
        float_files: dict[str | None, str] = {tap.tensor: tap.file for tap in float_taps}
        return DumpIndex(
            model=kept.name,
            deploy_model=f"{self._trial}_deploy_model.onnx" if not kept.files else kept.files[0],
            deploy_sha256=file_sha256(self._deploy.path),
            final=bool(kept.files),
            items=tuple(IndexedItem(index, self._dataset.name(index)) for index in self._indices),
            nodes=nodes_of(self._deploy),
            tensors=tuple(
                self._entry(item, row, files[row.value.executed], float_files.get(row.value.twin))
                for item in range(items)
                for row in self._rows
            ),
        )

    def _deploy_path(self) -> Path:
        kept = self._kept
        if kept.files:
            return self._folder.path(kept.files[0])
        model = deploy_model(kept.model, kept.form)
        return self._temp.write_model(f"{self._trial}_deploy_model.onnx", model)

    def _deploy_taps(self) -> list[_Tap]:
        made = {row.value.executed: (row.value.node, row.value.index) for row in self._rows}
        taps = self._taps("deploy", self._graph.model, made)
        outputs = {row.layer: row.value.executed for row in self._rows if row.kind == "output"}
        sums = {row.value.executed: row for row in self._rows if row.kind == "sums"}
        return [
            replace(
                tap,
                whole=True,
                # Its planes stand one behind the other where they are summed.
                shaped_like=outputs[sums[tap.tensor].layer] if sums[tap.tensor].op_type == "AveragePool" else None,
            )
            if tap.tensor in sums
            else tap
            for tap in taps
        ]

    def _taps(self, side: str, model: ir.Model, made: Mapping[str, tuple[str, int]]) -> list[_Tap]:
        """Return what to write of a graph, with the sizes that the first item gives.

        Args:
            side: sub-folder of its files.
            model: the graph.
            made: names of the tensors -> the node that makes each, and of which output, for the file's name.
        """
        tensors = list(made)
        session = self._kept.engine.session(only_shapes(model, tensors), REFERENCE)
        shapes = session.run(self._feeds(session, self._indices[0]))
        given = [*model.graph.initializers.values(), *model.graph.inputs]
        held = {value.name: value.dtype for value in [*given, *(v for n in model.graph for v in n.outputs)]}
        taken: set[str] = set()
        taps = []
        for tensor, shape in zip(tensors, shapes, strict=True):
            dtype = held.get(tensor)
            width = 4 if dtype is None else max(1, int(dtype.itemsize))
            name = file_name(*made[tensor], taken)
            taps.append(_Tap(tensor, f"{side}/{name}", int(np.prod(shape)) * width))
        return taps

    def _check_space(self, taps: Sequence[_Tap], trial: int) -> None:
        """Say how much is to be written, and refuse what does not fit.

        Raises:
            OutputError: the disk has no room for it.
        """
        needed = sum(tap.size for tap in taps) * len(self._indices) + trial
        free = shutil.disk_usage(self._folder.root).free
        also = " and a trial model" if trial else ""
        said = f"{len(taps)} tensors of {len(self._indices)} item(s){also}, about {_size(needed)}"
        logger.info("keep_intermediates: %s are written below amct_log", said)
        if needed > free:
            raise OutputError(
                f"keep_intermediates: {said}, do not fit below {self._folder.root}, where {_size(free)} are free. "
                "Lower intermediates.count, or set paths.output to a larger disk."
            )

    def _run(self, model: ir.Model, taps: Sequence[_Tap], progress: Callable[[int], None]) -> None:
        batches = list(_batches(taps))
        for number, batch in enumerate(batches, 1):
            names = [tap.tensor for tap in batch]
            names += [tap.shaped_like for tap in batch if tap.shaped_like is not None and tap.shaped_like not in names]
            session = self._kept.engine.session(only_outputs(model, names), REFERENCE)
            for item, index in enumerate(self._indices):
                arrays = dict(zip(names, session.run(self._feeds(session, index)), strict=True))
                for tap in batch:
                    written = arrays[tap.tensor].reshape(arrays[tap.shaped_like or tap.tensor].shape)
                    self._temp.write_array(f"item{item}/{tap.file}", written.astype(np.int32) if tap.whole else written)
                if number == len(batches):
                    progress(item + 1)

    def _feeds(self, session: Session, index: int) -> dict[str, NDArray[Any]]:
        return bind(self._dataset.item(index), session.inputs, name=self._dataset.name(index))

    def _entry(self, item: int, row: Row, file: str, float_file: str | None) -> IndexedTensor:
        array = np.load(self._temp.path(f"item{item}/{file}"), mmap_mode="r")
        between = None
        if float_file is not None:
            between = _between(np.load(self._temp.path(f"item{item}/{float_file}"), mmap_mode="r"), array, row)
        return IndexedTensor(
            item=item,
            layer=row.layer,
            op_type=row.op_type,
            int8=row.int8,
            tensor=row.kind,
            places=row.value.places,
            shape=array.shape,
            dtype=str(array.dtype),
            scale=row.scale,
            zero_point=row.zero_point,
            file=f"item{item}/{file}",
            float_file=None if float_file is None else f"item{item}/{float_file}",
            cosine=None if between is None else between.cosine,
            sqnr_db=None if between is None else between.sqnr_db,
            equal=between is not None and between.equal == 1.0,
        )


def _between(expected: NDArray[Any], array: NDArray[Any], row: Row) -> Difference | None:
    """Return how far a tensor is from its float counterpart, in real numbers; None where they cannot be compared."""
    if row.kind == "codes":
        array = (array.astype(np.float32) - np.float32(row.zero_point or 0)) * np.float32(row.scale[0])
        expected = expected if row.balance is None else expected * row.balance
    return difference(expected, array) if expected.shape == array.shape else None


def _batches(taps: Sequence[_Tap]) -> Iterator[list[_Tap]]:
    """Yield the taps in order, as many together as may lie side by side in memory."""
    batch: list[_Tap] = []
    for tap in taps:
        if batch and sum(each.size for each in batch) + tap.size > _SIDE_BY_SIDE:
            yield batch
            batch = []
        batch.append(tap)
    if batch:
        yield batch


def _size(count: int) -> str:
    """Return bytes in words."""
    for limit, unit in ((10**9, "GB"), (10**6, "MB")):
        if count >= limit:
            return f"{count / limit:.1f} {unit}"
    return f"{count / 1000:.1f} kB"
