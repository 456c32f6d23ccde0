"""What it takes to run the job again: the command, the configuration, digests, versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from runner.figure import Block, Bullets, Code, Folded, Marked, Paragraph, Section
from runner.modes.result import Source
from runner.report.environment import versions
from runner.wording import say


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for.

    Attributes:
        choices: the option chosen in each configuration group.
        command: a line for a shell, without what says where and how the job ran.
        configuration: as it was composed, YAML; without the same.
        preprocessing: of it, what is done to an item; empty where there is none.
    """

    choices: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    configuration: str = ""
    preprocessing: str = ""


def again(source: Source, asked: Asked, *, seed: int) -> Section:
    """Return the section.

    Args:
        source: what was run on what.
        asked: the command, and what it was composed to.
        seed: the job's.
    """
    blocks: list[Block] = []
    if asked.command:
        blocks += [Code(asked.command)]
        blocks += [
            Paragraph(
                (
                    say(
                        "Where and how it ran (paths, tracking, engine, cache) is left out, as the result is the same. "
                    ),
                    Marked(".hydra/overrides.yaml", "code"),
                    say(" has the options as typed."),
                ),
                soft=True,
            )
        ]
    digests = [
        (say("model, sha256"), source.model_sha256),
        (say("data, fingerprint"), source.dataset_fingerprint),
        (say("random seed"), str(seed)),
    ]
    blocks.append(Bullets([(title, ": ", Marked(value, "code")) for title, value in digests if value]))
    said = ", ".join(f"{name} {version}" for name, version in versions().items())
    blocks.append(Paragraph((say("Versions: {versions}.", versions=said),), soft=True))
    blocks += _folded(asked)
    return Section(name="again", heading=say("How to run it again"), place="again", blocks=blocks)


def _folded(asked: Asked) -> Sequence[Block]:
    parts = ((say("Preprocessing"), asked.preprocessing), (say("The whole configuration"), asked.configuration))
    return [Folded(title, (Code(text),)) for title, text in parts if text]
