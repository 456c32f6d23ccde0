"""The record on disk: read back, and refused where it does not say what was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.errors import VerificationError
from runner.job_folder import JobFolder
from runner.modes.files import record_file
from runner.modes.files.record_file import write_record
from runner.record import QuantizedLayers
from runner.record_text import read_record
from tests.models import conv_gemm, prepared, random_form


@pytest.fixture
def form() -> QuantizedLayers:
    """The quantized layers of the tiny model."""
    return random_form(prepared(conv_gemm())[0])[1]


def test_record_is_written_as_it_reads_back(tmp_path: Path, form: QuantizedLayers) -> None:
    job = JobFolder(tmp_path)
    write_record(job, "tmp/record.txt", form)
    assert dict(read_record(tmp_path / "tmp" / "record.txt")) == dict(form.record)


def test_record_that_reads_back_otherwise_is_our_fault(
    tmp_path: Path, form: QuantizedLayers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_file, "read_record", lambda path: form.without(["first"]).record)
    with pytest.raises(VerificationError, match=r"record\.txt: the record read back differs from the one written"):
        write_record(JobFolder(tmp_path), "record.txt", form)
