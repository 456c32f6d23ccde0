"""Commands as a page has them, in a folder with what it speaks of, as jobs that are over soon."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
from PIL import Image

from runner.app.places import shipped
from tests.command import ROOT, environment

# Laid behind what a page gives, unless it gives the key itself.
SHORT = ("tracking=none", "evaluation.count=32", "verify.count=1")
SHORT_AUTO = ("calibration.count=8",)
# A missed target or a spent budget is no fault of a page.
_PYTHON = """#!/bin/bash
more=()
if [ "$1" = -m ] && [ "$2" = runner ]; then
    short="{both}"
    [[ " $* " == *convert_qat* ]] || short="$short {auto}"
    for one in $short; do [[ " $* " == *" ${{one%%=*}}="* ]] || more+=("$one"); done
fi
"{python}" "$@" "${{more[@]}}"
status=$?
[ $status = 3 ] || [ $status = 6 ] || exit $status
"""
_SCRIPTS = {
    "quant-runner": "runner",
    "quant-check-deploy": "runner.app.check_deploy",
    "quant-compare-dump": "runner.app.compare_dump",
    "quant-log-run": "runner.app.log_run",
    "quant-sweep-report": "runner.app.sweep.report",
}


def make_commands(folder: Path) -> None:
    """Write ``python`` and the product's commands into a folder of programs."""
    folder.mkdir(parents=True)
    python = _PYTHON.format(both=" ".join(SHORT), auto=" ".join(SHORT_AUTO), python=sys.executable)
    programs = {"python": python}
    programs |= {name: f'#!/bin/bash\nexec python -m {module} "$@"\n' for name, module in _SCRIPTS.items()}
    for name, text in programs.items():
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o755)


def make_checkout(folder: Path, cache: Path) -> None:
    """Make a folder look like a checkout whose jobs have run before, as far as results that are kept go."""
    # Folders of their own with links in them: what a page writes beside these stays in its folder.
    for name in ("model", "data/digits/eval", "data/digits/calibration", "docs/howto/scripts"):
        (folder / name).mkdir(parents=True)
        for path in (ROOT / name).iterdir():
            (folder / name / path.name).symlink_to(path)
    (folder / "outputs").mkdir()
    cache.mkdir(exist_ok=True)
    (folder / "outputs" / "cache").symlink_to(cache)


def give(folder: Path, name: str) -> None:
    """Make what a page speaks of as the reader's own, of what is shipped; large ones are for 224 x 224 pixels."""
    if name == "photos":
        shutil.copytree(shipped("data/digits/eval"), folder / name)
    elif name == "large photos":
        (folder / "photos").mkdir()
        for photo, _ in _digits():
            Image.open(Path(shipped("data/digits/eval"), photo)).resize((240, 240)).save(folder / "photos" / photo)
        listed = "".join(f"{photo} {label}\n" for photo, label in _digits())
        for place in (folder / "labels.txt", folder / "photos" / "image_label.txt"):
            place.write_text(listed, encoding="utf-8")
    elif name.endswith(".npz"):
        opened = [Image.open(Path(shipped("data/digits/eval"), photo)).convert("RGB") for photo, _ in _digits()]
        x = np.stack([np.asarray(image, np.float32) for image in opened]).transpose(0, 3, 1, 2) / 127.5 - 1
        np.savez(folder / name, x=x, y=[label for _, label in _digits()])
    elif name == "large net.onnx":
        onnx.save(_large_net(), folder / "net.onnx")
    else:
        qat = "_qat" if name.startswith("qat") else ""
        shutil.copy(shipped(f"model/mobilenet_v2_digits{qat}.onnx"), folder / name)


def _digits() -> list[tuple[str, int]]:
    """Return forty photos with their classes."""
    lines = Path(shipped("data/digits/eval/image_label.txt")).read_text(encoding="utf-8").splitlines()[:40]
    return [(photo, int(label)) for photo, label in map(str.split, lines)]


def _large_net() -> onnx.ModelProto:
    """Return a classifier of ten classes for images of 224 x 224."""
    weights = np.random.default_rng(0).normal(size=(10, 3, 32, 32)).astype(np.float32) / 60
    nodes = [
        onnx.helper.make_node("Conv", ["input", "weights"], ["places"], "conv", strides=[32, 32]),
        onnx.helper.make_node("GlobalAveragePool", ["places"], ["mean"], "mean"),
        onnx.helper.make_node("Flatten", ["mean"], ["scores"], "scores"),
    ]
    given = onnx.helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, ["n", 3, 224, 224])
    gives = onnx.helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, ["n", 10])
    graph = onnx.helper.make_graph(nodes, "large", [given], [gives], [onnx.numpy_helper.from_array(weights, "weights")])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)


def run(script: str, folder: Path, programs: Path) -> subprocess.CompletedProcess[str]:
    """Run a script of statements, which ends at the first that fails."""
    path = os.pathsep.join([str(programs), os.environ["PATH"]])
    env = environment(PATH=path, COLUMNS="80")
    line = ["bash", "-e", "-o", "pipefail", "-c", script]
    return subprocess.run(line, cwd=folder, env=env, capture_output=True, text=True, timeout=300)
