"""The examples of the pages about classes of one's own, docs/howto/extend*.md, as files."""

from __future__ import annotations

import re
from pathlib import Path

HOWTO = Path(__file__).resolve().parents[2] / "docs" / "howto"
# The dataset of extend-dataset.md is run by test_data.py.
NAMES = ("extend", "extend-search", "extend-detector", "extend-evaluator", "extend-target")
TEXT = "\n".join((HOWTO / f"{name}.md").read_text(encoding="utf-8") for name in NAMES)
CLASSES = {
    "observer": "my_observer.Sigmas",
    "sensitivity": "my_sensitivity.RelativeError",
    "strategy": "my_strategy.Doubling",
    "metric": "my_metric.Confidence",
}
TARGET = "my_target.Ranges"
SCENES, HEAD, F1, EVALUATOR = "my_scenes.Scenes", "my_head.Head", "my_f1.F1", "my_ap.AveragePrecision"


def write_examples(folder: Path) -> None:
    """Write each example of the pages under the name in its first line."""
    blocks = re.findall(r"^```python\n# (\S+\.py)\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    classes = [*CLASSES.values(), TARGET, SCENES, HEAD, F1, EVALUATOR]
    assert {name for name, _ in blocks} == {f"{path.partition('.')[0]}.py" for path in classes}
    folder.mkdir(exist_ok=True)
    for name, code in blocks:
        (folder / name).write_text(code, encoding="utf-8")


def commands() -> list[list[str]]:
    """Return the arguments of each whole command that the pages give."""
    found = re.findall(r"^python -m runner ((?:.*\\\n)*.*)$", TEXT, re.MULTILINE)
    return [command.replace("\\\n", " ").split() for command in found]
