"""The record file of a job."""

from __future__ import annotations

from runner.errors import VerificationError
from runner.job_folder import JobFolder
from runner.record import QuantizedLayers
from runner.record_text import format_record, read_record


def write_record(folder: JobFolder, name: str, form: QuantizedLayers, *, check: bool = True) -> None:
    """Write the record file; read it back and compare unless there is no time for a ``check``.

    Raises:
        VerificationError: what was read back is not what was meant.
    """
    path = folder.write_text(name, format_record(form.record))
    if check and form.layers and dict(read_record(path)) != dict(form.record):
        raise VerificationError(f"{path}: the record read back differs from the one written. Please report this.")
