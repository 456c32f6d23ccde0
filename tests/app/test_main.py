"""The command line from end to end: files, what is printed, and exit statuses."""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import pytest
from rich.console import Console

from runner.app import job as job_module
from runner.app.journal import read_events
from runner.app.main import console, main
from runner.app.progress import ProgressDisplay
from runner.errors import VerificationError
from runner.events import StageAdvanced, StageFinished, StageStarted, TrialFinished, Warned
from runner.job_folder import read_manifest
from tests.app.conftest import Command, Tiny
from tests.command import Ended, command, digests

PREFIX = "accuracy_based_auto_calibration"
PAIR = {"results/net_fake_quant_model.onnx", "results/net_deploy_model.onnx"}
ACC_AUTO_FILES = {
    f"amct_log/{PREFIX}_record.json",
    "results/mobilenet_v2_digits_fake_quant_model.onnx",
    "results/mobilenet_v2_digits_deploy_model.onnx",
    f"results/{PREFIX}_final_config.json",
    f"results/{PREFIX}_ranking_info.json",
    "results/damage.json",
    "tmp/config.json",
    "tmp/scale_offset_record.integers.npz",
    "tmp/scale_offset_record.rewriting.json",
    "tmp/scale_offset_record.txt",
    "report.html",
    "summary.json",
    "flips.csv",
}
CONVERT_FILES = {
    "record.txt",
    "mobilenet_v2_digits_fake_quant_model.onnx",
    "mobilenet_v2_digits_deploy_model.onnx",
    "conversion_report.json",
    "report.html",
    "summary.json",
    "flips.csv",
    "flips.png",
}
# Of every job, and no part of the manifest.
BESIDE = {"manifest.json", "events.jsonl", "amct_log/amct_onnx.log", ".lock"}
BESIDE |= {f".hydra/{name}.yaml" for name in ("config", "hydra", "overrides")}
SUMMARY_KEYS = {
    "inputs",
    *["mode", "model", "model_sha256", "dataset", "dataset_fingerprint", "status", "complete"],
    *["float_metric", "quantized_metric", "loss", "metrics", "samples", "agreement", "kl", "sqnr_db", "outputs"],
    *["layers_total", "layers_int8", "tensors_quantized", "macs_int8_share", "fallback", "evaluations", "seconds"],
    *[
        "peak_rss_mb",
        "ort_level_gap",
        "verify",
        "device_metric",
        "cpu_int8_gap",
        "loss_interval",
        "bytes",
        "versions",
        "cpu",
        "seed",
        "config_sha256",
    ],
}
STAGES = {
    "load",
    "decode",
    "calibrate",
    "float_eval",
    "rank",
    "search",
    "final_eval",
    "write",
    "verify",
    "look_inside",
    "track",
}


@dataclass(frozen=True)
class Finished:
    """A command in a process of its own, and the folder of its job."""

    ended: Ended
    folder: Path

    @property
    def summary(self) -> dict[str, Any]:
        return read_json(self.folder / "summary.json")

    @property
    def files(self) -> set[str]:
        return {path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file()}


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def acc_auto(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """``python -m runner`` with the shipped defaults, from an empty directory; it tells everything."""
    cwd = tmp_path_factory.mktemp("acc_auto")
    return Finished(command("tracking=none", "verbose=true", cwd=cwd), cwd / "outputs" / "acc_auto")


@pytest.fixture(scope="module")
def convert_qat(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """``python -m runner mode=convert_qat``, from an empty directory; it tells everything."""
    cwd, arguments = tmp_path_factory.mktemp("convert_qat"), ["mode=convert_qat", "tracking=none", "verbose=true"]
    return Finished(command(*arguments, cwd=cwd), cwd / "outputs" / "convert_qat")


# The shipped model


def test_default_job_meets_its_target_and_leaves_exactly_the_files_of_acc_auto(acc_auto: Finished) -> None:
    assert acc_auto.ended.status == 0, acc_auto.ended.err
    assert acc_auto.files == ACC_AUTO_FILES | BESIDE


def test_convert_qat_leaves_exactly_its_files(convert_qat: Finished) -> None:
    assert convert_qat.ended.status == 0, convert_qat.ended.err
    assert convert_qat.files == CONVERT_FILES | BESIDE


@pytest.mark.parametrize(("mode", "files"), [("acc_auto", ACC_AUTO_FILES), ("convert_qat", CONVERT_FILES)])
def test_manifest_lists_the_result_with_true_digests(
    mode: str, files: set[str], request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(mode).folder
    manifest, found = read_manifest(folder), digests(folder)
    assert set(manifest) == files
    assert {name: found[name] for name in manifest} == manifest


def test_summary_of_acc_auto_has_the_promised_keys(acc_auto: Finished) -> None:
    summary = acc_auto.summary
    assert summary.keys() == SUMMARY_KEYS | {
        "target_loss",
        "target_met",
        "target_verdict",
        "overlap",
        "split",
        "rewriting_gap",
        "rewritten",
        "balanced",
    }
    assert summary["seconds"].keys() == STAGES | {"model_work", "total"}
    assert (summary["mode"], summary["model"], summary["status"]) == ("acc_auto", "mobilenet_v2_digits", "met")
    assert (summary["target_loss"], summary["target_met"], summary["complete"]) == (0.5, True, True)
    assert (summary["layers_total"], summary["samples"], summary["overlap"]) == (26, 700, 0)
    assert (summary["rewritten"], summary["balanced"]) == ({"pixels": ["stem/Conv"], "equalized": []}, [])
    assert summary["loss"] < 0.5
    assert summary["float_metric"] >= 98
    assert summary["float_metric"] - summary["quantized_metric"] == pytest.approx(summary["loss"])
    assert summary["metrics"].keys() == {"top1", "agreement", "kl", "sqnr"}


def test_summary_of_convert_qat_has_the_promised_keys(convert_qat: Finished) -> None:
    summary = convert_qat.summary
    assert summary.keys() == SUMMARY_KEYS | {"answers_changed", "tied_answers"}
    assert (summary["mode"], summary["status"], summary["samples"]) == ("convert_qat", "converted", 700)
    assert summary["float_metric"] >= 98
    assert summary["agreement"] >= 0.99


def test_summary_table_and_the_line_for_atc_are_printed(acc_auto: Finished) -> None:
    out, folder = acc_auto.ended.out, acc_auto.folder
    assert re.match(r"target met: mobilenet_v2_digits on eval, top1 \d\d\.\d+ -> \d\d\.\d+, loss \S+ < 0\.5\n", out)
    assert re.search(r"^top1 +\d\d\.\d+ -> \d\d\.\d+ +\(700 items\)", out, re.MULTILINE)
    assert re.search(r"^loss +\S+ percentage points; allowed below 0\.5", out, re.MULTILINE)
    assert re.search(r"^int8 layers +26 of 26, 100\.0% of MACs", out, re.MULTILINE)
    assert all(f"\n  {name}\n" in out.replace(" \n", "\n") for name in ACC_AUTO_FILES)
    deploy = f"{folder}/results/mobilenet_v2_digits_deploy_model"
    assert (
        f"\n  atc --framework=5 --model={deploy}.onnx --output={deploy} "
        '--input_shape="input:1,3,32,32" --soc_version=Ascend310P3\n'
    ) in out


def test_stages_are_told_on_standard_error_only(acc_auto: Finished) -> None:
    lines = [re.sub(r"\d+\.\d ", "0.0 ", line) for line in acc_auto.ended.err.splitlines()]
    assert lines == [
        "load the model: 0.0 s",
        "calibrate (levels of the image): 0.0 s",
        "evaluate the float model: 0.0 s",
        "calibrate (balancing): 0.0 s",
        "calibrate: 0.0 s",
        "calibrate (corrections): 0.0 s",
        "  plan 0: 0 layers float, loss 0, accepted",
        "search (all layers int8): 0.0 s",
        "rank the layers (26 layer groups on 4 items): 0.0 s",
        "write the files: 0.0 s",
        "verify the files: 0.0 s",
        "look inside the model (26 layers on 4 items): 0.0 s",
    ]


def test_log_has_amcts_lines(acc_auto: Finished) -> None:
    lines = (acc_auto.folder / "amct_log" / "amct_onnx.log").read_text(encoding="utf-8").splitlines()
    stamped = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - (INFO|WARNING) - \[AMCT\]:\[\w+\]: .+")
    assert all(stamped.fullmatch(line) for line in lines)
    assert sum("[AMCT]:[Utils]: The model file is saved in " in line for line in lines) == 2
    assert sum("******** sensitivity of module " in line for line in lines) == 26


def test_convert_qat_prints_the_six_lines_of_the_sample_below_the_verdict(convert_qat: Finished) -> None:
    prediction = r" {8}category index: \d+\n {8}category prob: [01]\.\d{3}\n"
    begin = rf"Origin Model Prediction:\n{prediction}Quantized Model Prediction:\n{prediction}"
    verdict, _, below = convert_qat.ended.out.partition("\n")
    assert re.fullmatch(r"converted: mobilenet_v2_digits on eval, top1 \S+ -> \S+, loss \S+", verdict)
    assert re.match(begin, below)
    assert convert_qat.ended.out.count("Model Prediction:") == 2


def test_convert_qat_prints_both_accuracies_and_the_agreement(convert_qat: Finished) -> None:
    summary = convert_qat.summary
    shown = f"{summary['float_metric']:.4g} -> {summary['quantized_metric']:.4g}"
    assert re.search(rf"^top1 +{re.escape(shown)} +\(700 items\)", convert_qat.ended.out, re.MULTILINE)
    assert f"{summary['agreement']:.2%} of answers as before" in convert_qat.ended.out


def test_convert_qat_prints_a_table_of_every_layer(convert_qat: Finished) -> None:
    report = read_json(convert_qat.folder / "conversion_report.json")
    table = convert_qat.ended.out.partition("└")[0]
    cells = [line.split("│")[1].strip() for line in table.splitlines() if line.startswith("│")]
    assert cells == [layer["name"] for layer in report["layers"]]


def test_conversion_report_accounts_for_every_quantize_and_dequantize_of_the_source(
    convert_qat: Finished, root: Path
) -> None:
    model = onnx.load(root / "model" / "mobilenet_v2_digits_qat.onnx")
    source = sorted(n.name for n in model.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear"))
    report = read_json(convert_qat.folder / "conversion_report.json")
    assert sorted(node["name"] for node in report["nodes"]) == source
    assert report["counts"]["nodes"] == len(source) == 104
    layers = [node.name for node in model.graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    assert [layer["name"] for layer in report["layers"]] == layers
    assert {layer["status"] for layer in report["layers"]} == {"exact"}


# Commands that run nothing


LIGHT = [
    (["--help"], 0, "Groups and their options"),
    (["--cfg", "job"], 0, "target_loss: 0.5"),
    (["target_los=1"], 2, "Did you mean target_loss?"),
    (["--tracing"], 2, "--tracing: no such flag. Did you mean tracking=VALUE?"),
    (["observer=minmix"], 2, "Did you mean observer=minmax?"),
]


@pytest.mark.parametrize(("arguments", "status", "says"), LIGHT, ids=[" ".join(case[0]) for case in LIGHT])
def test_answer_that_needs_no_job_imports_neither_mlflow_nor_onnxruntime(
    arguments: list[str], status: int, says: str, tmp_path: Path
) -> None:
    ended = command(*arguments, cwd=tmp_path, python=["-X", "importtime"])
    imported = set(re.findall(r"\| +(\S+)$", ended.err, re.MULTILINE))
    assert ended.status == status
    assert says in ended.out + ended.err
    assert "hydra.main" in imported
    assert {name.partition(".")[0] for name in imported} & {
        "mlflow",
        "onnxruntime",
        "onnx",
        "onnx_ir",
        "numpy",
    } == set()
    assert list(tmp_path.iterdir()) == []


def test_help_lists_groups_options_and_the_examples(run: Command) -> None:
    out = run("--help").out
    for line in (
        "python -m runner mode=acc_auto target_loss=0.2",
        "python -m runner mode=convert_qat",
        "python -m runner -m mode=acc_auto target_loss=0.1,0.2,0.5,1.0",
        "model=file model.path=net.onnx dataset=image_folder",
        "metric: agreement, amct_evaluator, auto, cosine, kl, mae, map, miou, mse, retrieval, sqnr, text, top1, top5",
        "observer: hfmg, ifmr, minmax, percentile",
        "target_loss: 0.5",
    ):
        assert line in out


def test_configuration_is_printed_without_running(run: Command, tmp_path: Path) -> None:
    ended = run("--cfg", "job", "--resolve", "target_loss=0.25", "model=file", "model.path=net.onnx")
    assert ended.status == 0
    assert "target_loss: 0.25\n" in ended.out
    assert "path: net.onnx\n" in ended.out
    assert not (tmp_path / "outputs").exists()


# One job


def test_console_script_leaves_with_the_status(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, run: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["quant-runner", *tiny.options(target_loss=-1)])
    with pytest.raises(SystemExit) as caught:
        console()
    assert caught.value.code == 2


def test_relative_paths_are_meant_from_the_directory_of_the_command(tiny: Tiny, tmp_path: Path) -> None:
    ended = command(*tiny.options(model__path="net.onnx", paths__output=tmp_path / "far" / "away"), cwd=tiny.folder)
    assert ended.status == 0, ended.err
    assert set(read_manifest(tmp_path / "far" / "away" / "acc_auto")) >= PAIR
    assert not (tiny.folder / "outputs").exists()


def test_model_by_its_path_alone_gives_its_results_its_name(tiny: Tiny, run: Command, tmp_path: Path) -> None:
    options = tiny.options(model=None, model__name=None, paths__output=tmp_path)
    assert run(*options).status == 0
    written = {path.name for path in (tmp_path / "acc_auto" / "results").glob("*.onnx")}
    assert written == {"net_deploy_model.onnx", "net_fake_quant_model.onnx"}


def test_same_job_again_writes_the_same_bytes(tiny: Tiny, run: Command, tmp_path: Path) -> None:
    manifests = []
    for _ in range(2):
        assert run(*tiny.options(observer="ifmr")).status == 0
        manifests.append(read_manifest(tmp_path / "outputs" / "acc_auto"))
        manifests[-1].pop("summary.json")
    assert manifests[0] == manifests[1]
    assert set(manifests[0]) >= PAIR


def test_target_that_is_not_met_leaves_with_3_and_takes_the_earlier_pair_away(
    tiny: Tiny, run: Command, tmp_path: Path
) -> None:
    folder = tmp_path / "outputs" / "acc_auto"
    (tmp_path / "outputs" / "acc_auto" / "results").mkdir(parents=True)
    own = folder / "results" / "notes.txt"
    own.write_text("not ours\n", encoding="utf-8")
    assert run(*tiny.options()).status == 0
    assert all((folder / name).is_file() for name in PAIR)
    ended = run(*tiny.options(metric="mse", target_loss=0))
    assert ended.status == 3
    assert ended.out.startswith("target not met: net on data, mse 0 -> ")
    assert "no model is written" in ended.out
    assert "atc --framework" not in ended.out
    gone = {*PAIR, f"results/{PREFIX}_final_config.json"}
    assert not any((folder / name).exists() for name in gone)
    manifest, found = read_manifest(folder), digests(folder)
    assert {name: found[name] for name in manifest} == manifest
    assert set(manifest) == {
        *["report.html", "summary.json", "flips.csv", "tmp/config.json", "tmp/scale_offset_record.txt"],
        *[f"amct_log/{PREFIX}_record.json", f"results/{PREFIX}_ranking_info.json", "results/damage.json"],
    }
    summary = read_json(folder / "summary.json")
    assert (summary["status"], summary["target_met"], summary["complete"]) == ("not_met", False, True)
    assert "ort_level_gap" not in summary
    assert own.read_text(encoding="utf-8") == "not ours\n"


def test_own_observer_is_taken_by_its_import_path(
    tiny: Tiny, run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_observer.py").write_text(
        "from runner.calibration.minmax import MinMax\n\n\nclass Own(MinMax):\n    '''The range that was seen.'''\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    ended = run(*tiny.options(), "observer._target_=own_observer.Own")
    assert ended.status == 0, ended.err
    (started, *_) = read_events(tmp_path / "outputs" / "acc_auto")
    assert started["config"]["observer"]["_target_"] == "own_observer.Own"


def test_events_tell_the_job_from_start_to_result(tiny: Tiny, run: Command, tmp_path: Path) -> None:
    assert run(*tiny.options(seed=5)).status == 0
    folder = tmp_path / "outputs" / "acc_auto"
    events = list(read_events(folder))
    first, last = events[0], events[-1]
    assert (first["event"], last["event"]) == ("JobStarted", "JobFinished")
    assert list(first["params"])[:2] == ["mode", "target_loss"]
    chosen = {key: first["params"][key] for key in ("observer", "metric", "dataset", "model", "strategy")}
    expected = {"observer": "minmax", "metric": "top1", "dataset": "npz", "model": "file", "strategy": "binary"}
    assert chosen == expected
    assert (first["params"]["seed"], first["params"]["calibration.count"]) == (5, 6)
    assert not any(isinstance(value, dict) for value in first["params"].values())
    assert next(iter(last["metrics"])) == "loss"
    assert set(last["files"]) == set(read_manifest(folder))
    assert [(e["context"], e["items"]) for e in events if e["event"] == "DataUsed"] == [
        ("evaluation", 40),
        ("calibration", 6),
    ]


def test_overlap_of_calibration_and_evaluation_is_warned_of(tiny: Tiny, run: Command, tmp_path: Path) -> None:
    ended = run(*tiny.options())
    assert "warning: 6 of 6 calibration items are evaluation items too" in ended.err
    assert read_json(tmp_path / "outputs" / "acc_auto" / "summary.json")["overlap"] == 6


FAULTS = [
    (KeyboardInterrupt(), 130, "error: interrupted\n"),
    (VerificationError("net.onnx: 1 fault(s)"), 4, "error: net.onnx: 1 fault(s)\n"),
    (RuntimeError("no idea"), 1, "error: internal fault: RuntimeError: no idea\n"),
]


@pytest.mark.parametrize(("fault", "status", "says"), FAULTS, ids=["interrupted", "verification", "internal"])
def test_fault_has_its_status_its_line_and_its_event(
    fault: BaseException,
    status: int,
    says: str,
    tiny: Tiny,
    run: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def break_off(*args: object, **kwargs: object) -> None:
        raise fault

    assert run(*tiny.options()).status == 0
    folder = tmp_path / "outputs" / "acc_auto"
    before = digests(folder)
    monkeypatch.setattr(job_module, "acc_auto", break_off)
    ended = run(*tiny.options())
    assert ended.status == status
    assert ended.err.count(says) == 1
    assert ("Traceback" in ended.err) == (status == 1)
    *_, last = read_events(folder)
    assert (last["event"], last["kind"], last["exit_status"]) == ("JobFailed", type(fault).__name__, status)
    assert digests(folder) == before


def test_interruption_before_the_job_leaves_with_130(tiny: Tiny, run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("runner.app.main._job", interrupted)
    ended = run(*tiny.options())
    assert (ended.status, ended.err) == (130, "error: interrupted\n")


def test_hydra_full_error_shows_where_a_refusal_comes_from(run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from hydra.errors import ConfigCompositionException

    run("--help")
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setattr("sys.argv", ["runner", "target_los=1"])
    with pytest.raises(ConfigCompositionException):
        main()


# Sweeps


def sweep_folder(tmp_path: Path) -> Path:
    (folder,) = (tmp_path / "outputs" / "sweeps").iterdir()
    return folder


def job_folders(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in sweep_folder(tmp_path).iterdir() if path.is_dir())


def table_rows(out: str) -> list[list[str]]:
    """Return the cells of the table of a sweep, without its heading: they stand two spaces or more apart."""
    return [re.split(r"  +", line.strip()) for line in out.splitlines() if re.match(r" +\*?\d+  ", line)]


def test_four_targets_make_four_folders_and_one_table(tiny: Tiny, run: Command, tmp_path: Path) -> None:
    arguments = tiny.options(target_loss="60,70,80,90", calibration__count=None, observer=None, model__name=None)
    ended = run("-m", *arguments, "calibration.count=6")
    assert ended.status == 0, ended.err
    folders = job_folders(tmp_path)
    assert [name[:2] for name in folders] == ["0_", "1_", "2_", "3_"]
    assert all(len(name) <= 64 and "/" not in name for name in folders)
    rows = table_rows(ended.out)
    assert folders == [f"{number}_target_loss={target}" for number, target in enumerate((60, 70, 80, 90))]
    for number, (name, row, target) in enumerate(zip(folders, rows, (60, 70, 80, 90), strict=True)):
        summary = read_json(sweep_folder(tmp_path) / name / "summary.json")
        assert (summary["target_loss"], summary["status"]) == (target, "met")
        found = read_manifest(sweep_folder(tmp_path) / name)
        assert set(found) >= PAIR
        layers = f"{summary['layers_int8']}/{summary['layers_total']}"
        assert row[:5] == [
            f"{'*' if number == 0 else ''}{number}",
            str(target),
            "met",
            f"{summary['loss']:.4g}",
            layers,
        ]


def test_labels_of_a_sweep_over_the_shipped_model_name_the_target(run: Command, tmp_path: Path) -> None:
    ended = run(
        *["-m", "mode=acc_auto", "tracking=none", "target_loss=0.5,1.0"],
        *["evaluation.count=4", "calibration.count=2"],
    )
    assert ended.status == 0, ended.err
    assert job_folders(tmp_path) == ["0_target_loss=0.5", "1_target_loss=1.0"]


def test_sweep_in_which_a_job_fails_leaves_with_5_and_names_it(tiny: Tiny, run: Command, tmp_path: Path) -> None:
    ended = run("-m", *tiny.options(model__path=f"{tiny.model},absent.onnx", calibration__count=40))
    assert ended.status == 5
    good, bad = table_rows(ended.out)
    assert (good[2], bad[:3]) == ("met", ["1", "absent.onnx", "failed"])
    assert job_folders(tmp_path)[1] == "1_model.path=absent.onnx"
    assert "1 model.path=absent.onnx: model.path: absent.onnx does not exist" in ended.out
    assert "error: model.path: absent.onnx does not exist" in ended.err


def test_value_of_a_sweep_that_is_refused_is_named_with_its_message(tiny: Tiny, run: Command) -> None:
    ended = run("-m", *tiny.options(target_loss="90,abc,-1"))
    assert ended.status == 5
    for words in ("target_loss: expected a number, got 'abc'.", "got -1.0."):
        assert words in re.sub(r"\s+", " ", ended.out)


def test_target_that_is_not_met_is_no_failure_of_a_sweep(tiny: Tiny, run: Command) -> None:
    ended = run("-m", *tiny.options(metric="mse", target_loss="0,1000"))
    assert ended.status == 0
    assert [row[2] for row in table_rows(ended.out)] == ["not_met", "met"]


def test_mistyped_key_refuses_the_whole_sweep_before_a_job(tiny: Tiny, run: Command) -> None:
    ended = run("-m", *tiny.options(), "target_los=1,2")
    assert (ended.status, ended.out) == (2, "")
    assert "error: target_los: no such option. Did you mean target_loss?" in ended.err


def test_interruption_ends_the_whole_sweep(
    tiny: Tiny, run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def interrupted(*args: object, **kwargs: object) -> None:
        calls.append(args)
        raise KeyboardInterrupt

    monkeypatch.setattr(job_module, "acc_auto", interrupted)
    ended = run("-m", *tiny.options(target_loss="60,70,80"))
    assert ended.status == 130
    assert len(calls) == 1
    assert ended.err.count("error: interrupted") == 1


def test_named_sweep_runs_its_four_targets(tiny: Tiny, run: Command, tmp_path: Path) -> None:
    ended = run("+sweep=target_loss", *tiny.options(target_loss=None, evaluation__count=1, calibration__count=1))
    assert ended.status == 0, ended.err
    targets = [read_json(path)["target_loss"] for path in sorted(sweep_folder(tmp_path).glob("*/summary.json"))]
    assert targets == [0.1, 0.2, 0.5, 1.0]


# What is shown while a job works


def shown(terminal: bool) -> str:
    """Return what a display that tells everything draws for a stage and a warning that holds brackets."""
    drawn = Console(force_terminal=terminal, width=120, color_system=None, record=True, file=io.StringIO())
    display = ProgressDisplay(drawn, loudness="full")
    for event in (
        StageStarted("search", 4, "at most 2 plans"),
        StageAdvanced("search", 2),
        Warned("layer 'a[/b]' stays float: [red] :smile:"),
        StageFinished("search", 0.25),
    ):
        display(event)
    display.close()
    return drawn.export_text()


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "file"])
def test_names_with_brackets_are_shown_as_they_are(terminal: bool) -> None:
    text = shown(terminal)
    assert "warning: layer 'a[/b]' stays float: [red] :smile:" in text
    assert "search (at most 2 plans)" in text


def test_trial_that_was_settled_early_says_so() -> None:
    drawn = Console(force_terminal=False, width=120, record=True, file=io.StringIO())
    display = ProgressDisplay(drawn, loudness="full")
    display(TrialFinished(1, 99.5, 0.5, False, 3, ("a", "b"), 64))
    display(TrialFinished(1, 99.25, 0.75, False, 3, ("a", "b")))
    assert drawn.export_text().splitlines() == [
        "  plan 1: 2 layers float, loss about 0.5 (settled after 64 items), not accepted",
        "  plan 1: 2 layers float, loss 0.75, not accepted",
    ]


def test_stage_that_learns_late_how_much_there_is_to_do_shows_it() -> None:
    stream = io.StringIO()
    drawn = Console(force_terminal=True, width=120, color_system=None, record=True, file=stream)
    display = ProgressDisplay(drawn)
    display(StageStarted("load"))
    display(StageAdvanced("load", 30, 120))
    display.close()
    assert re.search(r"load the model .* 30/120 ", drawn.export_text())


def test_download_is_shown_in_bytes_and_other_stages_in_items() -> None:
    stream = io.StringIO()
    drawn = Console(force_terminal=True, width=120, color_system=None, record=True, file=stream)
    display = ProgressDisplay(drawn)
    display(StageStarted("download", 3_000_000, "net.onnx to model"))
    display(StageAdvanced("download", 1_500_000))
    display(StageStarted("rank", 40))
    display(StageAdvanced("rank", 10))
    display.close()
    text = drawn.export_text()
    assert "download (net.onnx to model)" in text and "1.5/3.0 MB" in text
    assert "10/40" in text


def test_curve_of_a_job_is_drawn_and_belongs_to_the_result(run: Command, tiny: Tiny, tmp_path: Path) -> None:
    ended = run(*tiny.options(strategy="pareto", sensitivity="end_to_end"), "verbose=true")
    assert ended.status == 0, ended.err
    folder = tmp_path / "outputs" / "acc_auto"
    drawn = {"pareto.svg", "results/pareto.json", "results/damage.json"}
    # What the job says it wrote becomes MLflow's artifacts.
    finished = [event for event in read_events(folder) if event["event"] == "JobFinished"]
    assert drawn <= set(read_manifest(folder)) and drawn <= set(finished[0]["files"])
    picture = (folder / "pareto.svg").read_text(encoding="utf-8")
    assert picture.count('class="hit"') == len(read_json(folder / "results" / "pareto.json")) == 3
    assert "loss, percentage points" in picture and "target 90" in picture
    evaluations = read_json(folder / "summary.json")["evaluations"]
    assert (evaluations["full"], evaluations["partial"]) == (4, 3)
    assert "most damage" in ended.out
