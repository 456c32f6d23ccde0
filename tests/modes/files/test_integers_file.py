"""The side file of a record: what is written is what is read, and what does not belong is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runner.errors import RecordError
from runner.modes.files.integers_file import integers_bytes, integers_path, read_integers
from runner.ranges import ActivationParams
from runner.record import LayerRecord, QuantizedLayer, QuantizedLayers

RECORD = LayerRecord(ActivationParams(0.5, 3), (0.25,))
FORM = QuantizedLayers(
    {
        "/block/a": QuantizedLayer(RECORD, np.arange(-6, 6, dtype=np.int8).reshape(3, 4), np.array([1, -2], np.int32)),
        "b": QuantizedLayer(RECORD, np.ones((2, 2), np.int8), None),
        "c": QuantizedLayer(RECORD, np.ones((2, 2), np.int8), None, np.array([0.1, -1e-9], np.float32)),
    }
)


def written(folder: Path, text: bytes = b"record {}") -> Path:
    record = folder / "scale_offset_record.txt"
    record.write_bytes(text)
    integers_path(record).write_bytes(integers_bytes(FORM, b"record {}"))
    return record


def test_integers_come_back_as_they_were(tmp_path: Path) -> None:
    record = written(tmp_path)
    assert integers_path(record).name == "scale_offset_record.integers.npz"
    found = read_integers(record)
    assert found is not None
    assert list(found) == ["/block/a", "b", "c"]
    for name, layer in FORM.layers.items():
        weight, bias, shift = found[name]
        assert (weight.dtype, weight.tolist()) == (np.int8, layer.weight.tolist())
        assert (None if bias is None else bias.tolist()) == (None if layer.bias is None else layer.bias.tolist())
        assert (None if shift is None else (shift.dtype, shift.tolist())) == (
            None if layer.shift is None else (np.float32, layer.shift.tolist())
        )


def test_file_from_before_there_were_shifts_is_read(tmp_path: Path) -> None:
    record = written(tmp_path)
    with np.load(integers_path(record)) as file:
        old = {name: file[name] for name in file.files if not name.startswith("shift")}
    np.savez_compressed(integers_path(record), **old)
    found = read_integers(record)
    assert found is not None and found["c"][2] is None
    assert found["c"][0].tolist() == FORM.layers["c"].weight.tolist()


def test_shift_of_another_type_is_refused(tmp_path: Path) -> None:
    record = written(tmp_path)
    with np.load(integers_path(record)) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez_compressed(integers_path(record), **(arrays | {"shift_2": np.zeros(2)}))
    with pytest.raises(RecordError, match=r"cannot be read \(float64 in place of .*float32"):
        read_integers(record)


def test_same_form_gives_the_same_bytes() -> None:
    assert integers_bytes(FORM, b"x") == integers_bytes(FORM, b"x")


def test_record_without_integers_has_none(tmp_path: Path) -> None:
    assert read_integers(tmp_path / "record.txt") is None


def test_integers_of_another_record_are_refused(tmp_path: Path) -> None:
    record = written(tmp_path, b"record { changed }")
    with pytest.raises(RecordError, match=r"integers\.npz: these integers belong to another record .* Take it away"):
        read_integers(record)


@pytest.mark.parametrize("data", [b"", b"no zip file", b"PK\x03\x04 cut off"])
def test_file_of_another_kind_is_refused(tmp_path: Path, data: bytes) -> None:
    record = written(tmp_path)
    integers_path(record).write_bytes(data)
    with pytest.raises(RecordError, match=r"integers\.npz: expected the integers of a record, .* cannot be read"):
        read_integers(record)
