"""The commands and the dump configuration of docs/howto/compare-dumps.md as they stand there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.command import environment


def blocks(root: Path, language: str) -> list[str]:
    """Return the code blocks of a language in the page."""
    text = (root / "docs" / "howto" / "compare-dumps.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_commands_of_the_page_run_one_after_the_other(root: Path, tmp_path: Path) -> None:
    commands = [block for block in blocks(root, "sh") if block.startswith("python -m")]
    assert len(commands) == 2
    short = " tracking=none evaluation.count=32 calibration.count=16 verify.count=4 paths.output=outputs"
    for line in (commands[0].strip() + short, commands[1].strip()):
        line = line.replace("python ", f"{sys.executable} ", 1)
        ended = subprocess.run(
            line, shell=True, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=120
        )
        assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-2:] == ["every value is equal", "nothing parts"]


def test_dump_configuration_of_the_page_is_json_with_what_the_steps_rely_on(root: Path) -> None:
    (text,) = blocks(root, "json")
    dump = json.loads(text)["dump"]
    assert (dump["dump_mode"], dump["dump_data"], dump["dump_list"]) == ("all", "tensor", [{"model_name": "net"}])
