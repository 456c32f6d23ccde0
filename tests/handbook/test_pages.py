"""Every command and snippet of the pages is run, or stands in a list with the reason; every configuration is valid."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from runner.app.schema.files import groups
from tests.command import ROOT
from tests.handbook import short_jobs
from tests.handbook.listed import BEFORE, GIVEN, NOT_RUN, OWN_TEST, why_not
from tests.handbook.page_code import Block, blocks, pages, statements

PAGES = {page.relative_to(ROOT).as_posix(): blocks(page.read_text(encoding="utf-8")) for page in pages(ROOT)}
SETTINGS = [(name, block) for name, found in PAGES.items() for block in found if block.kind in ("yaml", "yml")]


def typed(block: Block) -> list[str]:
    """Return what of a block is given to a shell."""
    if block.kind == "sh":
        return list(statements(block.text))
    if block.kind == "python" and block.file is None:
        return [f"python - <<'END'\n{block.text}END"]
    return []


EVERY = {name: [one for block in found for one in typed(block)] for name, found in PAGES.items()}
RUN = [name for name, all_of in EVERY.items() if name not in OWN_TEST and any(why_not(one) is None for one in all_of)]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("programs") / "bin"
    short_jobs.make_commands(folder)
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept") / "cache"


@pytest.mark.parametrize("name", RUN)
def test_commands_of_the_page_run(name: str, tmp_path: Path, programs: Path, cache: Path) -> None:
    short_jobs.make_checkout(tmp_path, cache)
    for given in GIVEN.get(name, ()):
        short_jobs.give(tmp_path, given)
    for block in PAGES[name]:
        if block.file is not None:
            (tmp_path / block.file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / block.file).write_text(block.text, encoding="utf-8")
    lines = [BEFORE.get(name, "")]
    lines += [line for one in EVERY[name] if why_not(one) is None for line in (f"echo '+ {hash(one)}' >&2", one)]
    ended = short_jobs.run("\n".join(lines), tmp_path, programs)
    reached = [one for one in EVERY[name] if f"+ {hash(one)}" in ended.stderr]
    assert ended.returncode == 0, f"{(reached or ['what comes before'])[-1]}\n\n{ended.stderr[-800:]}"


@pytest.mark.parametrize(("page", "test"), OWN_TEST.items())
def test_page_with_a_test_of_its_own_is_named_there(page: str, test: str) -> None:
    assert Path(page).stem in (ROOT / test).read_text(encoding="utf-8")
    assert EVERY[page]


@pytest.mark.parametrize("pattern", NOT_RUN)
def test_every_reason_has_its_command(pattern: str) -> None:
    assert any(re.search(pattern, one) for all_of in EVERY.values() for one in all_of), "take it off the list"


def as_settings(block: Block) -> object:
    """Return what a block lays over a job's configuration."""
    said = yaml.safe_load(block.text)
    where = Path(block.file or "").parent.as_posix()
    group = next((one for one in sorted(groups(), key=len, reverse=True) if where.endswith(f"/{one}")), None)
    if group in (None, "experiment", "sweep", "hparams_search") or "@package _global_" in block.text:
        return said
    for part in reversed(str(group).split("/")):
        said = {part: said}
    return said


@pytest.mark.parametrize(("page", "block"), SETTINGS, ids=lambda one: one if isinstance(one, str) else "")
def test_configuration_of_the_page_is_valid(page: str, block: Block) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="needs the extra 'test'")
    schema = json.loads((ROOT / "conf" / "schema.json").read_text(encoding="utf-8"))
    faults = [error.message for error in jsonschema.Draft7Validator(schema).iter_errors(as_settings(block))]
    assert faults == [], f"{page}:\n{block.text}"
