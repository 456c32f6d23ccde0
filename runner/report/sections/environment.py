"""What it takes to run the job again, and the files that it has written."""

from __future__ import annotations

from runner.figure import Figure, Links, Section
from runner.report.environment import versions
from runner.store.key import cpu_name
from runner.wording import say


def environment(*, seed: int, config_sha256: str, files: tuple[str, ...]) -> Section:
    """Return the section.

    Args:
        seed: the job's.
        config_sha256: digest of its configuration.
        files: of the job, by their paths within its folder.
    """
    found = versions()
    figures = (
        Figure(key="versions", value=found),
        Figure(key="cpu", value=cpu_name()),
        Figure(key="seed", value=seed),
        Figure(key="config_sha256", value=config_sha256),
    )
    return Section(name="environment", heading=say("Files"), place="again", figures=figures, blocks=(Links(files),))
