"""What it takes to run the job again, and the files that it has written."""

from __future__ import annotations

from runner.figure import Figure, Links, Paragraph, Section
from runner.modes.result import Source
from runner.report.environment import versions
from runner.store.key import cpu_name
from runner.wording import say


def environment(source: Source, *, seed: int, config_sha256: str, files: tuple[str, ...]) -> Section:
    """Return the section.

    Args:
        source: what was run on what.
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
    said = ", ".join(f"{name} {version}" for name, version in found.items())
    again = Paragraph(
        (
            say(
                "Model sha256 {digest}. Seed {seed}.\n{versions}.", digest=source.model_sha256, seed=seed, versions=said
            ),
        ),
        soft=True,
    )
    return Section(name="environment", heading=say("Files"), figures=figures, blocks=(Links(files), again))
