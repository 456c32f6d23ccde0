"""Write a conversion: record, report and both models."""

from __future__ import annotations

from runner.events import WRITE
from runner.job_folder import JobFolder
from runner.modes.context import Context
from runner.modes.convert_qat_options import ConvertQatOptions
from runner.modes.files.record_file import write_record
from runner.modes.steps.compare_qat import Compared
from runner.modes.steps.load_qat import LoadedQat
from runner.modes.steps.written import WrittenResult
from runner.targets.target import Measured

_RECORD = "record.txt"


def write_qat(
    name: str, loaded: LoadedQat, compared: Compared, options: ConvertQatOptions, folder: JobFolder, job: Context
) -> WrittenResult:
    """Write the files.

    Args:
        name: what they are called.
        loaded: what they hold.
        compared: what they shall be held against.
        options: the job's.
        folder: the job's.
        job: times the work.
    """
    qat = loaded.qat
    with job.clock.stage(WRITE):
        write_record(folder, _RECORD, qat.form)
        folder.write_json("conversion_report.json", qat.report.to_json(), indent=2)
        models = options.target.write(folder, name, qat.found, qat.form)
    measured = Measured(
        folder=folder,
        record=_RECORD,
        model=qat.found,
        form=qat.form,
        dataset=loaded.split.report.dataset,
        scorer=compared.scorer,
        quantized=compared.comparison.quantized,
        options=options.verify,
        float_graph=loaded.source_digest,
        graph=loaded.digest,
        engine=job.engine,
        store=job.store,
    )
    return WrittenResult(models, measured)
