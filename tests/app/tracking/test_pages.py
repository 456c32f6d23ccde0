"""What MLflow's own pages show of a sweep: the printed command is run, and the printed addresses are opened."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from tests.app.conftest import Tiny
from tests.app.tracking.warnings import pytestmark as quiet
from tests.command import command, environment

pytestmark = [*quiet, pytest.mark.slow]
_PAGE = "http://127.0.0.1:5000"


@dataclass(frozen=True)
class Interface:
    """A sweep's pages: where they are served, and the addresses that the command printed."""

    address: str
    chart: str
    comparison: str

    def asked(self, path: str, **given: Any) -> Any:
        """Ask what the pages ask."""
        request = urllib.request.Request(
            f"{self.address}/ajax-api/2.0/mlflow/{path}",
            json.dumps(given).encode() if given else None,
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def shown(self, page: str, waiting_for: str) -> str:
        """Return the text of a page in a browser, once it holds something."""
        browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        if browser is None:
            pytest.skip("no chromium is on the PATH")
        line = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--dump-dom"]
        text = ""
        for _ in range(3):  # a busy machine may not have drawn it all yet
            done = subprocess.run([*line, page], capture_output=True, text=True, timeout=100)
            text = re.sub(r"<[^>]*>", " ", re.sub(r"(?s)<(script|style).*?</\1>", "", done.stdout))
            if waiting_for in text:
                break
        return text


@pytest.fixture(scope="module")
def interface(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Interface]:
    """Serve the pages of a sweep of two jobs, below a path that a shell has to be told of, as the jobs said how."""
    folder = tmp_path_factory.mktemp("two words 50% 数据")
    ended = command("-m", *tiny.options(tracking="mlflow", target_loss="80,90"), cwd=folder)
    assert ended.status == 0, ended.err
    (line,) = set(re.findall(r": (mlflow ui .*)$", ended.err, re.MULTILINE))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*shlex.split(line), "--port", str(port)],
            env=environment(),
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_for(address, process, folder / "log")
            chart, comparison = (
                told.replace(_PAGE, address) for told in re.findall(r"^  then open (.*)$", ended.err, re.MULTILINE)
            )
            yield Interface(address, chart, comparison)
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(200):
        assert process.poll() is None, log.read_text(encoding="utf-8")
        with contextlib.suppress(OSError, urllib.error.URLError):
            urllib.request.urlopen(f"{address}/health", timeout=5).close()
            return
        time.sleep(0.5)
    pytest.skip("mlflow ui did not answer within 100 s on this machine")


def test_chart_page_asks_for_the_sweeps_runs_and_gets_our_figures(interface: Interface) -> None:
    fragment = urlsplit(interface.chart).fragment
    query = parse_qs(fragment.partition("?")[2])
    experiment = fragment.split("/")[2]
    found = interface.asked("runs/search", experiment_ids=[experiment], filter=query["searchFilter"][0])["runs"]
    assert len(found) == 2
    for run in found:
        metrics = {metric["key"]: metric["value"] for metric in run["data"]["metrics"]}
        params = {param["key"]: param["value"] for param in run["data"]["params"]}
        assert metrics["quantized/top1"] == 100 and metrics["loss"] == 0 and metrics["layers/int8"] == 3
        assert float(params["target_loss"]) in (80, 90)
        # The comparison opens on the metric that comes first.
        assert run["data"]["metrics"][0]["key"] == "loss"
    assert (
        interface.asked("runs/search", experiment_ids=[experiment], filter='tags.sweep = "another"').get("runs", [])
        == []
    )


def test_comparison_is_of_the_sweeps_runs(interface: Interface) -> None:
    query = parse_qs(urlsplit(interface.comparison).fragment.partition("?")[2])
    for number in json.loads(query["runs"][0]):
        run = interface.asked(f"runs/get?run_id={number}")["run"]
        assert run["info"]["status"] == "FINISHED"
        files = interface.asked(f"artifacts/list?run_id={number}")["files"]
        assert {entry["path"] for entry in files} >= {"report.html", "summary.json"}


def test_browser_shows_the_comparison_with_what_was_swept(interface: Interface) -> None:
    text = interface.shown(interface.comparison, "Run details")
    assert "Comparing 2 Runs from 1 Experiment" in text
    assert "target_loss" in text and "loss" in text


def test_browser_shows_a_run_with_its_result_in_a_sentence(interface: Interface) -> None:
    experiment = urlsplit(interface.chart).fragment.split("/")[2]
    (number, *_) = json.loads(unquote(parse_qs(urlsplit(interface.comparison).fragment.partition("?")[2])["runs"][0]))
    text = interface.shown(f"{interface.address}/#/experiments/{experiment}/runs/{number}", "quantized/top1")
    assert "net on data; top1 100 → 100 (40 items)" in text
    assert "quantized/top1" in text and "layers/int8" in text
