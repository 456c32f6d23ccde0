"""The same command gives the same bytes, whatever the threads, the hash seed, the time and the place."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest

from runner.job_folder import read_manifest
from tests.command import ROOT, digests, environment

# A search of several plans, a ranking and a fallback; then a conversion.
COMMANDS = {
    "acc_auto": ["metric=sqnr", "target_loss=20", "evaluation.count=30", "calibration.count=12"],
    "convert_qat": ["mode=convert_qat", "evaluation.count=30"],
}
# What may differ: how long it took, where it was, how many threads, and the digests of the file that says so.
RUNS: dict[str, tuple[dict[str, str], str]] = {
    "first": ({"PYTHONHASHSEED": "0", "TZ": "UTC"}, "1"),
    "other_hashes_threads_and_clock": ({"PYTHONHASHSEED": "12345", "TZ": "Asia/Shanghai", "LC_ALL": "C"}, "4"),
    "two_threads_elsewhere": ({"PYTHONHASHSEED": "7", "TZ": "America/Lima", "OMP_NUM_THREADS": "2"}, "2"),
}
FIGURES_OF_THE_RUN = {"seconds", "peak_rss_mb", "config_sha256"}


@pytest.fixture(scope="module", params=COMMANDS)
def folders(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The job folders of one command, run as RUNS says."""
    made = {}
    for name, (variables, callers) in RUNS.items():
        cwd = tmp_path_factory.mktemp(name)
        output = cwd / f"out {name}"
        options = [*COMMANDS[request.param], "tracking=none", f"engine.callers={callers}", f"paths.output='{output}'"]
        line = [sys.executable, "-m", "runner", *options]
        ended = subprocess.run(line, cwd=cwd, env=environment(**variables), capture_output=True, text=True, timeout=120)
        assert ended.returncode == 0, ended.stderr
        made[name] = output / request.param
    return made


def result_digests(folder: Path) -> dict[str, str]:
    return {name: sha for name, sha in digests(folder).items() if name not in ("summary.json", "manifest.json")}


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_every_artifact_has_the_same_bytes(folders: dict[str, Path]) -> None:
    first, *others = map(result_digests, folders.values())
    assert sum(name.endswith(".onnx") for name in first) == 2 and len(first) >= 4
    for other in others:
        assert other == first


def test_manifest_differs_in_the_summary_alone(folders: dict[str, Path]) -> None:
    first, *others = ({**read_manifest(folder), "summary.json": ""} for folder in folders.values())
    assert "summary.json" in first and all(other == first for other in others)


def test_figures_are_the_same_numbers(folders: dict[str, Path]) -> None:
    """A stronger promise than summary.json needs: all but times, memory and the configuration's digest."""
    first, *others = (read(folder / "summary.json") for folder in folders.values())
    assert first.keys() >= FIGURES_OF_THE_RUN
    for other in others:
        assert {k: v for k, v in other.items() if k not in FIGURES_OF_THE_RUN} == {
            k: v for k, v in first.items() if k not in FIGURES_OF_THE_RUN
        }


def test_no_artifact_names_a_place_of_this_machine(folders: dict[str, Path]) -> None:
    folder = folders["first"]
    places = [str(folder.parent.parent), str(ROOT), str(Path.home()), sys.prefix]
    for name in result_digests(folder):
        data = (folder / name).read_bytes()
        assert [place for place in places if len(place) > 1 and place.encode() in data] == [], name


def test_written_models_hold_no_text_but_names(folders: dict[str, Path]) -> None:
    """A doc string or a metadata property is where exporters leave paths and dates."""
    for path in folders["first"].rglob("*.onnx"):
        model = onnx.load(path)
        graph = model.graph
        texts = [model.doc_string, graph.doc_string, *(node.doc_string for node in graph.node)]
        assert not any(texts)
        properties = [*model.metadata_props, *graph.metadata_props]
        properties += [entry for node in graph.node for entry in node.metadata_props]
        assert properties == []
        assert not any(tensor.external_data for tensor in graph.initializer)
