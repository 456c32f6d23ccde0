"""Which process a job gets: the one that has loaded MLflow already, if it sees what the job does."""

import pytest

from runner.app.tracking import process


class Waiting:
    """Stands for a process."""

    def __init__(self) -> None:
        self.made_in, self.killed = process._surroundings(), False

    def kill(self) -> None:
        self.killed = True


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("KMP_DUPLICATE_LIB_OK", True),  # scientific libraries set it when they are imported
        ("HYDRA_FULL_ERROR", True),
        ("MLFLOW_TRACKING_URI", False),
        ("HTTPS_PROXY", False),
    ],
)
def test_a_process_is_kept_unless_what_it_may_look_at_has_changed(
    name: str, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_kept", [])
    monkeypatch.setattr(process, "TrackingProcess", Waiting)
    first = process.take()
    process.put_back(first)
    monkeypatch.setenv(name, "changed")
    assert (process.take() is first) == kept
    assert first.killed != kept
