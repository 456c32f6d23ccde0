"""When MLflow's process is started at once."""

import pytest

from runner.app.start import will_track


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], True),
        (["mode=convert_qat", "target_loss=0.2"], True),
        (["tracking=mlflow"], True),
        (["tracking=none"], False),
        (["mode=acc_auto", "tracking=none"], False),
        (["--help"], False),
        (["--cfg", "job"], False),
        (["--cfg=job"], False),
        (["-m", "target_loss=0.1,0.2"], False),
        (["tracking.uri=http://127.0.0.1:5000"], True),
    ],
)
def test_a_command_that_is_a_job_starts_it(arguments: list[str], expected: bool) -> None:
    assert will_track(arguments) == expected
