"""The classes of docs/howto/extend*.md as they stand there: from the command's directory or --config-dir, by either command."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from runner.app.journal import read_events
from runner.app.places import make_importable, names_own_class
from runner.dataset.item import evenly_spaced
from runner.record_text import read_record
from tests.app.conftest import Command, Tiny
from tests.app.extending_page import CLASSES, TARGET, TEXT, write_examples
from tests.command import Ended, command, environment
from tests.models import conv_gemm, prepared, run_plain

PREFIX = "accuracy_based_auto_calibration"


def named_on_the_command_line(*groups: str) -> list[str]:
    """Return the arguments that the document gives, for the groups."""
    return [argument for group in groups for argument in (f"~{group}", f"+{group}._target_={CLASSES[group]}")]


def without(tiny: Tiny, *groups: str) -> list[str]:
    """Return a job on the small network without a choice for the groups; no plan meets its target."""
    return tiny.options(**dict.fromkeys(groups), target_loss=0, model__output="logits")


def check_all_four_were_used(ended: Ended, outputs: Path, tiny: Tiny, count: float) -> None:
    """Check each class by what it leaves in the files."""
    assert ended.status == 3, ended.err
    folder = outputs / "acc_auto"
    started, *_ = read_events(folder)
    assert {group: started["config"][group]["_target_"] for group in CLASSES} == CLASSES
    # The metric decides, and the strategy doubles the prefix until only the whole ranking is left; others
    # are tried after it.
    summary = json.loads((folder / "summary.json").read_text())
    assert next(iter(summary["metrics"])) == "confidence"
    assert summary["loss"] == pytest.approx(summary["float_metric"] - summary["quantized_metric"])
    trials = [event for event in read_events(folder) if event["event"] == "TrialFinished"]
    assert [len(trial["fallback"]) for trial in trials][:3] == [0, 1, 2]
    ranking = json.loads((folder / "results" / f"{PREFIX}_ranking_info.json").read_text())
    values = [value for _, value in ranking]
    # Relative errors, the largest first: far below cosine similarities, which rise and end near 1.
    assert values == sorted(values, reverse=True) and 0 < values[-1] < values[0] < 0.5
    record = read_record(folder / "tmp" / "scale_offset_record.txt")
    for layer, values in layer_inputs(tiny, 6).items():
        reach = count * values.std()
        low, high = (max(values.mean() - reach, values.min()), min(values.mean() + reach, values.max()))
        assert record.layers[layer].activation.scale == pytest.approx((max(high, 0) - min(low, 0)) / 255, rel=1e-5)


def layer_inputs(tiny: Tiny, items: int) -> dict[str, np.ndarray]:
    """Return what each layer reads of the calibration items, as onnxruntime computes it."""
    graph, found = prepared(conv_gemm())
    calibrated = tiny.x[evenly_spaced(items, len(tiny.x), key="")]
    activations = run_plain(graph, calibrated, [layer.input for layer in found.layers])
    return {
        layer.name: np.concatenate([a[i] for a in activations]).astype(float) for i, layer in enumerate(found.layers)
    }


def test_all_four_from_the_directory_of_the_command(tiny: Tiny, tmp_path: Path) -> None:
    write_examples(tmp_path)
    arguments = [*without(tiny, *CLASSES), *named_on_the_command_line(*CLASSES), "+observer.count=1.5"]
    check_all_four_were_used(command(*arguments, cwd=tmp_path), tmp_path / "outputs", tiny, 1.5)


def test_all_four_from_the_configuration_directory(tiny: Tiny, tmp_path: Path) -> None:
    conf = tmp_path / "myconf"
    write_examples(conf)
    for group, path in CLASSES.items():
        (conf / group).mkdir()
        (conf / group / "mine.yaml").write_text(f"_target_: {path}\n", encoding="utf-8")
    yaml = re.search(r"`myconf/observer/sigmas\.yaml`:\n\n```yaml\n(.*?)```", TEXT, re.DOTALL)
    assert yaml is not None
    (conf / "observer" / "mine.yaml").write_text(yaml[1], encoding="utf-8")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    chosen = [f"{group}=mine" for group in CLASSES]
    arguments = ["--config-dir", "../myconf", *without(tiny, *CLASSES), *chosen, "observer.count=1.5"]
    check_all_four_were_used(command(*arguments, cwd=elsewhere), elsewhere / "outputs", tiny, 1.5)


def test_console_script_finds_them_in_the_directory_of_the_command(tiny: Tiny, tmp_path: Path) -> None:
    write_examples(tmp_path)
    arguments = [*without(tiny, *CLASSES), *named_on_the_command_line(*CLASSES), "+observer.count=1.5"]
    # A console script starts with its own folder on the path, not with the directory of the command: so does -P.
    script = "from runner.app.main import console; console()"
    done = subprocess.run(
        [sys.executable, "-P", "-c", script, *arguments],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    ended = Ended(done.returncode, done.stdout, done.stderr)
    check_all_four_were_used(ended, tmp_path / "outputs", tiny, 1.5)


def check_ranges(folder: Path, prefix: str, digits: int) -> None:
    """Check what the target of the document wrote, and that its figure is told."""
    written = sorted(file.name for file in (folder / prefix).parent.glob("net_*"))
    assert written == ["net_float.onnx", "net_ranges.json"]
    ranges = json.loads((folder / f"{prefix}_ranges.json").read_text())
    records = sorted(folder.rglob("*record.txt"))
    record = read_record(records[0])
    assert ranges.keys() == record.layers.keys() and len(ranges) > 0
    for name, entry in record.layers.items():
        scale, zero = entry.activation.scale, entry.activation.zero_point
        assert ranges[name] == pytest.approx([scale * (-128 - zero), scale * (127 - zero)], abs=0.6 * 10**-digits)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["widest_range"] == max(high - low for low, high in ranges.values())


def test_target_from_the_directory_of_the_command(tiny: Tiny, tmp_path: Path) -> None:
    write_examples(tmp_path)
    named = ["~target", f"+target._target_={TARGET}", "+target.digits=4"]
    ended = command(*tiny.options(), *named, cwd=tmp_path)
    assert ended.status == 0, ended.err
    check_ranges(tmp_path / "outputs" / "acc_auto", "results/net", 4)
    # Nothing of it is worked out again.
    assert command(*tiny.options(), *named, cwd=tmp_path).status == 0
    summary = json.loads((tmp_path / "outputs" / "acc_auto" / "summary.json").read_text())
    assert summary["evaluations"]["items"] == 0


def test_target_from_the_configuration_directory_that_is_missed_writes_nothing(tiny: Tiny, tmp_path: Path) -> None:
    conf = tmp_path / "myconf"
    write_examples(conf)
    (conf / "target").mkdir()
    (conf / "target" / "ranges.yaml").write_text(f"_target_: {TARGET}\n", encoding="utf-8")
    missed = tiny.options(metric="sqnr", target_loss=0)
    ended = command("--config-dir", "myconf", *missed, "target=ranges", cwd=tmp_path)
    assert ended.status == 3, ended.err
    assert not list((tmp_path / "outputs").rglob("net_*"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["Sigmas", "+observer.count=many"], "observer.count: expected a number, got 'many'."),
        (["Sigmas", "+observer.cuont=3"], "observer.cuont: no such option. Did you mean observer.count?"),
        (["Sigma"], "observer._target_: cannot import 'my_observer.Sigma'"),
    ],
)
def test_options_of_an_own_class_are_checked(
    options: list[str], message: str, tiny: Tiny, run: Command, tmp_path: Path
) -> None:
    write_examples(tmp_path)
    name, *more = options
    try:
        ended = run(*without(tiny, "observer"), "~observer", f"+observer._target_=my_observer.{name}", *more)
    finally:
        sys.modules.pop("my_observer", None)
    assert ended.status == 2
    assert f"error: {message}" in ended.err


def test_folder_is_added_once_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ["/installed", "/here"])
    make_importable(["/here", "/conf", "/conf"])
    assert sys.path == ["/installed", "/here", "/conf"]


def test_library_of_the_same_name_in_the_directory_of_the_command_is_not_run(tiny: Tiny, tmp_path: Path) -> None:
    for name in ("numpy", "onnx", "rich", "csv", "hydra", "tqdm", "pandas"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong module')\n", encoding="utf-8")
    ended = command(*tiny.options(), cwd=tmp_path)
    assert ended.status == 0, ended.err
    write_examples(tmp_path)
    arguments = [*without(tiny, *CLASSES), *named_on_the_command_line(*CLASSES)]
    assert command(*arguments, cwd=tmp_path).status == 0


@pytest.mark.parametrize(
    ("config", "own"),
    [
        ({"observer": {"_target_": "my_observer.Sigmas"}}, True),
        ({"layers": [{"observer": {"_target_": "my_observer.Sigmas"}}]}, True),
        (
            {"metric": {"_target_": "runner.evaluation.amct_evaluator.AmctEvaluator", "evaluator": "mine.Evaluator"}},
            True,
        ),
        ({"observer": {"_target_": "runner.Hfmg"}, "dataset": {"path": "x"}, "layers": [], "seed": 0}, False),
    ],
)
def test_directory_of_the_command_is_imported_from_only_for_a_class_of_ones_own(config: dict, own: bool) -> None:
    assert names_own_class(config) is own


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["seed={_target_: subprocess.Popen, args: [touch, ran]}"],
            "seed._target_: no class can be chosen here; expected a whole",
        ),
        (["+model._target_=mine.Anything"], "model._target_: no class can be chosen here; expected ModelOptions."),
        (["+budget._target_=mine.Anything"], "budget._target_: no class can be chosen here; expected Budget."),
        (
            ["engine.callers={_target_: mine.Anything}"],
            "engine.callers._target_: no class can be chosen here; expected a whole",
        ),
        (
            ["layers=[{match: {_target_: mine.Anything}}]"],
            "layers[0].match._target_: no class can be chosen here; expected text.",
        ),
        (
            ["skip_layers=[{_target_: mine.Anything}]"],
            "skip_layers[0]._target_: no class can be chosen here; expected text.",
        ),
        (["+dataset.inputs={a: {_target_: mine.Anything}}"], "dataset.inputs.a._target_: no class can be chosen here;"),
        (
            ["dataset.preprocess._target_=mine.Anything"],
            "dataset.preprocess._target_: 'mine.Anything' cannot be used here; expected",
        ),
        (
            ["~observer", "+observer={_target_: os.system, command: touch ran}"],
            "observer._target_: expected the import path of a",
        ),
        (
            ["~observer", "+observer={_target_: subprocess.Popen, args: [touch, ran]}"],
            "observer._target_: 'subprocess.Popen' cannot",
        ),
        (
            ["~observer", "+observer={_target_: mine.Anything}"],
            "observer._target_: 'mine.Anything' cannot be used here; expected a",
        ),
        (["+observer._partial_=true"], "observer._partial_: Hydra's _partial_ is not taken."),
        (["+_target_=mine.Anything"], "_target_: no such option."),
        (
            ["metric=amct_evaluator", "metric.evaluator=mine.Anything"],
            "metric.evaluator: mine.Anything has no method evaluate",
        ),
        (
            ["metric=amct_evaluator", "metric.evaluator=mine.E", "+metric.kwargs.a={_target_: mine.Anything}"],
            "metric.kwargs.a._",
        ),
    ],
)
def test_no_configuration_has_other_code_called(
    options: list[str], message: str, tiny: Tiny, run: Command, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(
        "from pathlib import Path\n"
        "Path('imported').touch()\n"
        "class Anything:\n"
        "    def __init__(self, **options):\n"
        "        Path('ran').touch()\n",
        encoding="utf-8",
    )
    groups = {option.partition("=")[0].lstrip("~") for option in options}
    base = [o for o in tiny.options() if o.partition("=")[0] not in groups & {"observer", "metric"}]
    try:
        ended = run(*base, *options)
    finally:
        sys.modules.pop("mine", None)
    assert ended.status == 2
    assert f"error: {message}" in ended.err, ended.err
    assert not (tmp_path / "ran").exists()
    if "no class can be chosen" in message and "dataset" not in message:
        assert not (tmp_path / "imported").exists()
