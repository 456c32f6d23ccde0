"""``url`` beside ``path``: fetched before the job, told as a stage, asked for only where something is missing."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from runner.app.downloads import fetch_missing, without_urls
from runner.errors import ConfigError
from runner.events import Event, StageAdvanced, StageFinished, StageStarted, ignore
from tests.app.conftest import Command, Tiny
from tests.command import command, environment
from tests.data import random_pixels
from tests.http_server import WebServer, serving
from tests.models import onnx_text


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    monkeypatch.setenv("NO_PROXY", "*")
    with serving() as running:
        yield running


class TakesUrl:
    """A dataset that reads from an address itself."""

    def __init__(self, url: str, path: str) -> None:
        self.url, self.path = url, path


def test_missing_model_is_fetched_and_the_job_runs(server: WebServer, run: Command, tiny: Tiny, tmp_path: Path) -> None:
    server.files["net.onnx"] = tiny.model.read_bytes()
    ended = run(*tiny.options(model__path="model/net.onnx"), f"model.url={server.url('/net.onnx')}", "verbose=true")
    assert ended.status == 0, ended.err
    assert (tmp_path / "model" / "net.onnx").read_bytes() == tiny.model.read_bytes()
    assert "download (net.onnx to model): " in ended.err
    lines = (tmp_path / "outputs" / "acc_auto" / "events.jsonl").read_text().splitlines()
    first = json.loads(lines[0])
    assert (first["event"], first["stage"], first["total"]) == ("StageStarted", "download", tiny.model.stat().st_size)


def test_second_job_asks_nobody(server: WebServer, run: Command, tiny: Tiny) -> None:
    server.files["net.onnx"] = tiny.model.read_bytes()
    line = [*tiny.options(model__path="model/net.onnx"), f"model.url={server.url('/net.onnx')}"]
    assert run(*line).status == 0
    assert run(*line, "download=never").status == 0
    assert server.requests == ["/net.onnx"]


def test_missing_model_with_never_is_wrong_input(server: WebServer, run: Command, tiny: Tiny, tmp_path: Path) -> None:
    line = [*tiny.options(model__path="model/net.onnx"), f"model.url={server.url('/net.onnx')}", "download=never"]
    ended = run(*line)
    assert ended.status == 2 and server.requests == []
    assert ended.err.count("error: ") == 1
    assert f"model.path: {tmp_path}/model/net.onnx does not exist, and download=never forbids" in ended.err


def test_wrong_key_is_refused_before_anything_is_fetched(server: WebServer, run: Command, tiny: Tiny) -> None:
    line = [*tiny.options(model__path="net.onnx"), f"model.url={server.url('/net.onnx')}", "+target_lss=1"]
    assert run(*line).status == 2
    assert server.requests == []


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("download.read_seconds=inf", "download.read_seconds: expected a finite number, got inf."),
        ("download.policy=ask", "download.policy: expected auto or never, got 'ask'."),
        ("model.url=file:///etc/hostname", "model.url: expected an address that begins with http:// or https://"),
        ("model.sha256=abc", "model.sha256: expected 64 hex digits or null, got 'abc'."),
        ("model.url=7", "model.url: expected text or null, got 7."),
    ],
)
def test_wrong_option_is_named(server: WebServer, run: Command, tiny: Tiny, override: str, message: str) -> None:
    line = [*tiny.options(model__path="net.onnx"), f"model.url={server.url('/net.onnx')}", override]
    ended = run(*line)
    assert ended.status == 2 and message in ended.err, ended.err
    assert server.requests == []


def test_stage_is_told_with_its_bytes(server: WebServer, tmp_path: Path) -> None:
    server.files["a.npz"] = bytes(1000)
    told: list[Event] = []
    node = {"path": str(tmp_path / "a.npz"), "url": server.url("/a.npz")}
    fetch_missing({"calibration": {"dataset": node}}, told.append)
    assert told[0] == StageStarted("download", 1000, f"a.npz to {tmp_path}")
    assert told[-2] == StageAdvanced("download", 1000)
    assert isinstance(told[-1], StageFinished)


def test_url_without_a_place_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"dataset\.url: expected dataset\.path or images beside it, the place to put"
    ):
        fetch_missing({"dataset": {"url": "http://host/a.npz"}}, ignore)


def test_parts_do_not_see_addresses_unless_they_ask_for_them() -> None:
    own = {"_target_": f"{__name__}.TakesUrl", "url": "s3://bucket", "path": "x"}
    config = {
        "model": {"path": "a", "url": "http://host/a", "sha256": None},
        "dataset": own,
        "calibration": {"count": 3, "dataset": {"path": "b", "url": None}},
        "seed": 1,
    }
    assert without_urls(config) == {
        "model": {"path": "a"},
        "dataset": own,
        "calibration": {"count": 3, "dataset": {"path": "b"}},
        "seed": 1,
    }
    assert config["model"]["url"] == "http://host/a"
    fetch_missing({"dataset": own}, ignore)


@pytest.mark.parametrize("arguments", [["--help"], ["--cfg", "job"]], ids=" ".join)
def test_help_fetches_nothing_and_imports_nothing_of_the_web(tmp_path: Path, arguments: list[str]) -> None:
    code = (
        "import sys; from runner.app.main import main\n"
        "try:\n    main()\nexcept SystemExit: pass\n"
        "print('web:', *sorted({'pooch', 'requests', 'urllib3', 'pyarrow', 'onnxruntime'} & set(sys.modules)))"
    )
    line = [sys.executable, "-c", code, "model=mobilenet_v2", "dataset=imagenet_sample", *arguments]
    done = subprocess.run(line, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1].rstrip() == "web:", done.stderr
    assert list(tmp_path.iterdir()) == []


SAMPLES = {
    "acc_auto": (["model=mobilenet_v2", "dataset=imagenet_sample"], "model.path", "model/mobilenetv2_v11.onnx"),
    "convert_qat": (
        ["model=mobilenet_v2_qat", "dataset=classification_jpg"],
        "model.path",
        "model/mobilenetv2_qat.onnx",
    ),
}


@pytest.mark.parametrize("mode", SAMPLES)
def test_samples_name_what_is_missing_and_where_it_belongs(run: Command, tmp_path: Path, mode: str) -> None:
    arguments, key, place = SAMPLES[mode]
    ended = run(f"mode={mode}", *arguments, "download=never", "tracking=none")
    assert ended.status == 2
    assert f"error: {key}: {tmp_path / place} does not exist, and download=never forbids to fetch https://" in ended.err
    assert f"and put it at {tmp_path / place}, or set {key}" in ended.err


def test_command_line_alone_does_the_same(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mobilenetv2_v11.onnx").write_bytes(b"by hand")
    ended = command("model=mobilenet_v2", "dataset=imagenet_sample", "download=never", "tracking=none", cwd=tmp_path)
    assert ended.status == 2
    assert f"put it at {tmp_path}/data/images.zip (it is unpacked to {tmp_path}/data/images), or set" in ended.err


def photo_net() -> bytes:
    """Return a network [N, 3, 224, 224] -> 5 logits, with an input called like the sample's."""
    rng = np.random.default_rng(0)
    return onnx_text(
        """g (float[N,3,224,224] input) => (float[N,5] logits) {
            a = Conv <strides = [32, 32]> (input, w)
            b = GlobalAveragePool (a)
            c = Flatten (b)
            logits = Gemm (c, v)
        }""",
        w=rng.normal(0, 0.2, (4, 3, 32, 32)).astype(np.float32),
        v=rng.normal(0, 1, (4, 5)).astype(np.float32),
    ).SerializeToString()


def photos(count: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        lines = []
        for index in range(count):
            image = io.BytesIO()
            Image.fromarray(random_pixels(6, 9, index)).save(image, "JPEG")
            archive.writestr(f"images/{index}.jpg", image.getvalue())
            lines.append(f"{index}.jpg {index % 5}\n")
        archive.writestr("images/image_label.txt", "".join(lines))
    return stream.getvalue()


def test_sample_is_one_command_with_its_batches(server: WebServer, run: Command, tmp_path: Path) -> None:
    server.files |= {"net.onnx": photo_net(), "images.zip": photos(200)}
    ended = run(
        *["mode=acc_auto", "model=mobilenet_v2", "dataset=imagenet_sample", "tracking=none", "observer=minmax"],
        *[f"model.url={server.url('/net.onnx')}", f"dataset.url={server.url('/images.zip')}", "target_loss=100"],
    )
    assert ended.status == 0, ended.err
    summary = json.loads((tmp_path / "outputs" / "acc_auto" / "summary.json").read_text())
    assert (summary["model"], summary["samples"], summary["target_loss"]) == ("mobilenet_v2", 160, 100)
    used = [json.loads(line) for line in (tmp_path / "outputs" / "acc_auto" / "events.jsonl").read_text().splitlines()]
    items = {event["context"]: event["items"] for event in used if event["event"] == "DataUsed"}
    assert items == {"evaluation": 160, "calibration": 32}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "model", "outputs"]
