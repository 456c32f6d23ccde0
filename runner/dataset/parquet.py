"""Images, or numbers, in the columns of Parquet files; a row group is read when one of its rows is asked for."""

from __future__ import annotations

import bisect
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner.array_faults import in_words
from runner.dataset.decoded import VERSION, Pixels
from runner.dataset.fitting import fitted
from runner.dataset.item import ONLY_INPUT, Item, digest
from runner.dataset.names import is_system_name, listed
from runner.dataset.preprocess import ImagePreprocess
from runner.errors import DatasetError
from runner.printable import shown
from runner.session import InputSpec
from runner.store.store import Store

# Callers of an engine work on neighbouring rows, so on two groups at most; calibration and evaluation alternate.
_GROUPS_KEPT = 4


class ParquetDataset:
    """Rows of one Parquet file, or of all ``*.parquet`` files of a folder but hidden ones, sorted by name.

    A column of images holds encoded bytes (binary), or a struct with such a field ``bytes``. A column of numbers holds a
    number or a list of numbers (of lists …), and keeps its type.

    Args:
        path: file or folder.
        image: column of the model's only input.
        label: column of class numbers; None for unlabelled data.
        inputs: model input -> column, in place of ``image``.
        preprocess: from an image to an array; numbers stay as they are.

    Raises:
        DatasetError: a file is missing or no Parquet, or a column is missing or of another type.
    """

    def __init__(
        self,
        path: str,
        image: str = "image",
        label: str | None = "label",
        inputs: dict[str, str] | None = None,
        preprocess: ImagePreprocess | None = None,
    ) -> None:
        self.path = Path(path)
        self._asked = self.preprocess = preprocess or ImagePreprocess()
        self._columns = dict(inputs) if inputs else {ONLY_INPUT: image}
        keys = {
            column: f"dataset.inputs.{name}" if inputs else "dataset.image" for name, column in self._columns.items()
        }
        if label is not None:
            keys[label] = "dataset.label"
        self._rows = _Rows(self.path, keys)
        self._labels = None if label is None else self._rows.labels(label)
        self._pixels = Pixels(self.preprocess)

    def __len__(self) -> int:
        return len(self._rows)

    def item(self, index: int) -> Item:
        """Return one row: images as float32 (channels, height, width) or as the layout says, numbers in their type; its label.

        Raises:
            DatasetError: an image cannot be decoded or is smaller than the crop; names the row.
        """
        arrays: dict[str, NDArray[Any]] = {}
        for name, column in self._columns.items():
            title = f"dataset.path: {self.name(index)}, column '{column}'"
            if column not in self._rows.images:
                arrays[name] = _numbers(self._rows.row(index)[column], title)
                continue
            pixels = self._pixels.get((index, column), partial(self._bytes, index, column), title)
            arrays[name] = self.preprocess.normalize(pixels)
        return Item(arrays, self.label(index))

    def label(self, index: int) -> int | None:
        """Return a row's class, or None without a column of labels."""
        return None if self._labels is None else int(self._labels[index])

    def name(self, index: int) -> str:
        """Return ``<file>[<row>]``."""
        return self._rows.name(index)

    def fingerprint(self, index: int) -> str:
        """Return a digest of the row's bytes or numbers and the preprocessing."""
        row = self._rows.row(index)
        parts: list[Any] = []
        for name, column in self._columns.items():
            value = row[column]
            if not isinstance(value, bytes):
                array = _numbers(value, f"dataset.path: {self.name(index)}, column '{column}'")
                value = digest(array.tobytes(), [str(array.dtype), *array.shape])
            parts += [name, value]
        return digest(*parts, [VERSION, *self.preprocess.settings()])

    def fit_to(self, inputs: Sequence[InputSpec]) -> list[str]:
        """Settle channels and layout by the inputs that columns of images go to; return what was chosen."""
        columns = self._columns
        if ONLY_INPUT in columns and len(inputs) == 1:
            columns = {inputs[0].name: columns[ONLY_INPUT]}
        specs = [spec for spec in inputs if columns.get(spec.name) in self._rows.images]
        self.preprocess, chosen = fitted(self._asked, specs)
        self._pixels = self._pixels.of(self.preprocess)
        return chosen

    def keep_in(self, store: Store) -> None:
        """Keep decoded pixels in a store."""
        self._pixels.store = store

    def describe(self) -> str:
        """Return the file's name without its suffix."""
        return shown(self.path.stem)

    def _bytes(self, index: int, column: str) -> bytes:
        value: bytes = self._rows.row(index)[column]
        return value


class _Rows:
    """Rows by number over files and row groups; may be read from several threads."""

    def __init__(self, path: Path, keys: Mapping[str, str]) -> None:
        # Imported here: pyarrow takes a while to load, and other data does not need it.
        import pyarrow as pa
        import pyarrow.parquet as pq

        paths = [path]
        if path.is_dir():
            inside = listed(path, "dataset.path")
            paths = [file for file in inside if file.suffix == ".parquet" and not is_system_name(file.name)]
            paths = [file for file in paths if file.is_file()]  # a pipe would be waited for
        if not paths or not paths[0].is_file():
            raise DatasetError(
                f"dataset.path: {path} is no Parquet file; expected one, or a folder of *.parquet files."
            )
        self._columns = list(keys)
        self._files: list[Any] = []
        self._groups: list[tuple[int, int]] = []
        counts: list[int] = []
        for number, file in enumerate(paths):
            try:
                opened = pq.ParquetFile(file, memory_map=True)
            except (pa.ArrowException, OSError, MemoryError, ValueError) as error:
                raise _unreadable(file, error) from error
            _check_columns(opened.schema_arrow, keys, file)
            self._files.append(opened)
            for group in range(opened.num_row_groups):
                self._groups.append((number, group))
                counts.append(opened.metadata.row_group(group).num_rows)
        self.images = {column for column in keys if _is_image(self._files[0].schema_arrow.field(column).type)}
        self._names = [shown(file.name) for file in paths]
        self._ends = list(accumulate(counts))
        if not self._ends or self._ends[-1] == 0:
            raise DatasetError(f"dataset.path: {path} holds no row; expected at least one item.")
        self._kept: OrderedDict[int, Any] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._ends[-1]

    def row(self, index: int) -> dict[str, Any]:
        """Return column -> bytes of an image, or an Arrow value of numbers."""
        group = bisect.bisect_right(self._ends, index)
        start = self._ends[group - 1] if group else 0
        table = self._group(group)
        values: dict[str, Any] = {}
        for name in self._columns:
            cell = table.column(name)[index - start]
            value = cell.as_py()
            if isinstance(value, dict):
                value = value.get("bytes")
            if value is None:
                raise DatasetError(
                    f"dataset.path: {self.name(index)}, column '{name}' is null; expected a value in every row."
                )
            values[name] = value if isinstance(value, bytes) else (value, _number_type(cell.type))
        return values

    def labels(self, column: str) -> NDArray[np.int64]:
        """Return a column of class numbers."""
        parts = [
            self._read(number, lambda file: file.read(columns=[column])).column(column)
            for number in range(len(self._files))
        ]
        nulls = sum(part.null_count for part in parts)
        if nulls:
            raise DatasetError(
                f"dataset.label: the column '{column}' is null in {nulls} rows; expected a class in every row."
            )
        labels = np.concatenate([part.to_numpy() for part in parts]).astype(np.int64)
        if labels.min() < 0:
            first = int(np.argmax(labels < 0))
            raise DatasetError(f"dataset.label: {self.name(first)} is {labels[first]}; expected 0 or more.")
        return labels

    def name(self, index: int) -> str:
        """Return ``<file>[<row in the file>]``."""
        file = self._groups[bisect.bisect_right(self._ends, index)][0]
        before = max(
            (end for end, (number, _) in zip(self._ends, self._groups, strict=True) if number < file), default=0
        )
        return f"{self._names[file]}[{index - before}]"

    def _group(self, group: int) -> Any:  # noqa: ANN401 - a pyarrow.Table
        with self._lock:
            if group not in self._kept:
                number, inside = self._groups[group]
                self._kept[group] = self._read(number, lambda file: file.read_row_group(inside, columns=self._columns))
                if len(self._kept) > _GROUPS_KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(group)
            return self._kept[group]

    def _read(self, number: int, read: Callable[[Any], Any]) -> Any:  # noqa: ANN401 - a pyarrow.Table
        import pyarrow as pa

        try:
            return read(self._files[number])
        except (pa.ArrowException, OSError, MemoryError, ValueError) as error:
            raise _unreadable(self._names[number], error) from error


def _unreadable(file: str | Path, error: Exception) -> DatasetError:
    return DatasetError(f"dataset.path: {file} cannot be read as Parquet: {in_words(error)}.")


def _check_columns(schema: Any, keys: Mapping[str, str], file: Path) -> None:  # noqa: ANN401
    import pyarrow as pa

    for column, key in keys.items():
        if column not in schema.names:
            unlabelled = " Set dataset.label=null for unlabelled data." if key == "dataset.label" else ""
            raise DatasetError(f"{key}: {file} has no column '{column}'; it has {', '.join(schema.names)}.{unlabelled}")
        kind = schema.field(column).type
        if key == "dataset.label":
            if not pa.types.is_integer(kind):
                raise DatasetError(f"{key}: {file}: the column '{column}' is {kind}; expected whole numbers.")
        elif not _is_image(kind) and _number_type(kind) is None:
            raise DatasetError(
                f"{key}: {file}: the column '{column}' is {kind}; expected image bytes (binary, or a struct with 'bytes'), "
                "numbers or lists of numbers."
            )


def _is_image(kind: Any) -> bool:  # noqa: ANN401
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _is_image(field.type) for field in kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _number_type(kind: Any) -> np.dtype[Any] | None:  # noqa: ANN401
    import pyarrow as pa

    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _number_type(kind.value_type)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        number: np.dtype[Any] = np.dtype(kind.to_pandas_dtype())
        return number
    return None


def _numbers(value: tuple[Any, np.dtype[Any]], title: str) -> NDArray[Any]:
    numbers, dtype = value
    try:
        return np.array(numbers, dtype)
    except (ValueError, TypeError) as error:
        raise DatasetError(f"{title} is ragged or holds null; expected lists of one length.") from error
