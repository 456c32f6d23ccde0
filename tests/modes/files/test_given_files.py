"""Whole jobs that start from AMCT's files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from runner.calibration.ifmr import Ifmr
from runner.calibration.minmax import MinMax
from runner.dataset.npz import NpzDataset
from runner.engine import Engine
from runner.errors import ConfigError, RecordError
from runner.events import StageStarted
from runner.modes.acc_auto import acc_auto
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.layer_settings import LayerRule, LayerSettings
from runner.modes.result import AccAutoResult
from runner.record_text import read_record
from tests.data import normal_items
from tests.models import answers, conv_gemm, save
from tests.told import summary_of

CONFIG, RECORD = "tmp/config.json", "tmp/scale_offset_record.txt"
FINAL = "results/accuracy_based_auto_calibration_final_config.json"
MODELS = ("results/net_deploy_model.onnx", "results/net_fake_quant_model.onnx")


class Bench:
    """The small network and its data on disk; runs jobs on them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.x = folder, normal_items(30, 2, 6, 6)
        self.path = save(conv_gemm(), folder / "net.onnx")
        np.savez(folder / "data.npz", x=self.x, y=answers(conv_gemm(), self.x))
        self.heard: list[object] = []

    def run(self, output: str = "out", **options: object) -> AccAutoResult:
        self.heard.clear()
        return acc_auto(
            self.path,
            NpzDataset(str(self.folder / "data.npz")),
            self.folder / output,
            AccAutoOptions(**({"target_loss": 90.0} | options)),
            name="net",
            engine=Engine(2),
            emit=self.heard.append,
        )

    def config(self, text: str, name: str = "given.json") -> str:
        (self.folder / name).write_text(text, encoding="utf-8")
        return str(self.folder / name)

    def read(self, name: str, output: str = "out") -> bytes:
        return (self.folder / output / name).read_bytes()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_our_own_config_gives_the_same_bytes_again(bench: Bench) -> None:
    bench.run("one", calibration_count=10, observer=MinMax(asymmetric=False))
    for again in (CONFIG, FINAL):
        bench.run("two", quant_config=str(bench.folder / "one" / again))
        for name in (CONFIG, FINAL, RECORD, *MODELS):
            assert bench.read(name, "two") == bench.read(name, "one")


def test_old_file_is_given_back_byte_for_byte_and_followed(bench: Bench) -> None:
    text = json.dumps(
        {
            "version": 1,
            "batch_num": 9,
            "activation_offset": False,
            "joint_quant": False,
            "do_fusion": True,
            "skip_fusion_layers": [],
            "first": {
                "quant_enable": True,
                "activation_quant_params": {
                    "max_percentile": 0.9,
                    "min_percentile": 0.9,
                    "search_range": [0.5, 1.5],
                    "search_step": 0.25,
                    "act_algo": "ifmr",
                },
                "weight_quant_params": {"wts_algo": "arq_quantize", "channel_wise": False},
            },
        },
        indent=4,
        separators=(",", ":"),
    )
    result = bench.run(quant_config=bench.config(text))
    assert bench.read(CONFIG).decode() == bench.read(FINAL).decode() == text
    assert result.fallback == result.skipped == ("second", "logits")
    assert (result.source.calibration_items, summary_of(result)["layers_int8"]) == (
        9,
        1,
    )
    (entry,) = read_record(bench.folder / "out" / RECORD).layers.values()
    assert entry.activation.zero_point == 0
    # One scale for all channels, and still an entry a channel.
    assert len(entry.weight_scales) == 4 and len(set(entry.weight_scales)) == 1
    same = bench.run(
        "options",
        calibration_count=9,
        observer=Ifmr(0.9, 0.9, [0.5, 1.5], 0.25, asymmetric=False),
        settings=LayerSettings(skip_layers=["second", "logits"]),
    )
    assert same.form.layers["first"].record.activation == entry.activation


def test_simplified_file_is_expanded(bench: Bench) -> None:
    cfg = bench.config(
        'batch_num: 8 skip_layers: "second" override_layer_configs { layer_name: "logits" '
        "calibration_config { hfmg_quantize { asymmetric: false } } } common_config { ada_quantize {} dmq_balancer {} }",
        "given.cfg",
    )
    result = bench.run(quant_config=cfg)
    config = json.loads(bench.read(CONFIG))
    assert [config[name]["quant_enable"] for name in ("first", "logits", "second")] == [True, True, False]
    assert config["logits"]["activation_quant_params"]["act_algo"] == "hfmg" and config["batch_num"] == 8
    assert result.form.layers["logits"].record.activation.zero_point == 0
    assert result.skipped == ("second",)
    assert any("common_config: ada_quantize is left out" in warning for warning in result.warnings)
    assert [config[name]["dmq_balancer_param"] for name in ("first", "logits", "second")] == [0.5] * 3
    assert all(layer.record.balance_factors for layer in result.form.layers.values())


def test_options_given_beside_a_configuration_win(bench: Bench) -> None:
    config = bench.config('{"batch_num": 2, "first": {}, "second": {}, "logits": {}}')
    own = LayerSettings([LayerRule("second", observer=MinMax(asymmetric=False))], skip_layers=["first"])
    result = bench.run(quant_config=config, calibration_count=5, settings=own)
    assert result.source.calibration_items == 5 and result.skipped == ("first",)
    assert result.form.layers["second"].record.activation.zero_point == 0
    written = json.loads(bench.read(CONFIG))
    assert written["second"]["activation_quant_params"] == MinMax(asymmetric=False).amct_params()
    assert written["first"]["quant_enable"] is False


def test_few_batches_are_a_warning_that_says_what_to_do(bench: Bench) -> None:
    config = bench.config('{"first": {}}')
    (warning, *_) = [w for w in bench.run(quant_config=config).warnings if "batch_num" in w]
    assert warning == f"{config}: batch_num 1 counts batches in AMCT and items here; set calibration.count=N for more."
    assert not [w for w in bench.run(quant_config=config, calibration_count=3).warnings if "batch_num" in w]


@pytest.mark.parametrize("said", ['"do_fusion": false', '"skip_fusion_layers": ["first"]'])
def test_layer_that_nothing_shall_be_folded_into_keeps_its_batch_normalization(bench: Bench, said: str) -> None:
    result = bench.run(quant_config=bench.config(f'{{"batch_num": 10, {said}, "first": {{}}, "second": {{}}}}'))
    assert result.folded == ()
    entry = read_record(bench.folder / "out" / RECORD).layers["first"]
    assert entry.skip_fusion
    again = bench.run("again", record=str(bench.folder / "out" / RECORD))
    assert again.folded == ()
    assert bench.read(MODELS[0], "again") == bench.read(MODELS[0])


def test_configuration_and_settings_may_not_leave_nothing(bench: Bench) -> None:
    config = bench.config('{"batch_num": 10, "first": {}}')
    with pytest.raises(ConfigError, match=r"given\.json and skip_layers, .* together leave no layer to quantize"):
        bench.run(quant_config=config, settings=LayerSettings(skip_layers=["first"]))


def test_file_is_refused_before_anything_is_run(bench: Bench) -> None:
    with pytest.raises(RecordError, match=r"given\.json: Layer third does not exist in the graph\."):
        bench.run(quant_config=bench.config('{"batch_num": 8, "third": {}}'))
    assert [event.stage for event in bench.heard if isinstance(event, StageStarted)] == ["load"]
    with pytest.raises(RecordError, match=r"quant_config: .*gone\.json cannot be read: No such file"):
        bench.run(quant_config=str(bench.folder / "gone.json"))
    assert not (bench.folder / "out").exists()


def test_record_gives_the_models_that_it_was_written_with(bench: Bench) -> None:
    first = bench.run("one", calibration_count=10)
    record = str(bench.folder / "one" / RECORD)
    result = bench.run("two", record=record)
    for name in (RECORD, *MODELS):
        assert bench.read(name, "two") == bench.read(name, "one")
    assert result.comparison.headline == first.comparison.headline and result.status == "met"
    assert result.from_record and result.ranking.entries == () and len(result.search.trials) == 1
    stages = [event.stage for event in bench.heard if isinstance(event, StageStarted)]
    assert stages == ["load", "float_eval", "search", "write", "verify", "look_inside"]
    files = {path.relative_to(bench.folder / "two").as_posix() for path in result.folder.files}
    assert files == {RECORD, *MODELS, "amct_log/accuracy_based_auto_calibration_record.json"}


def test_record_that_misses_the_target_leaves_no_models(bench: Bench) -> None:
    bench.run("one", calibration_count=10)
    result = bench.run("two", record=str(bench.folder / "one" / RECORD), target_loss=0.0)
    assert result.status == "not_met" and result.checked is None
    assert not any((bench.folder / "two" / name).exists() for name in MODELS)


def test_record_and_configuration_are_not_given_together(bench: Bench) -> None:
    with pytest.raises(
        ConfigError, match="record: a record holds the scales already; give it or quant_config, not both"
    ):
        bench.run(quant_config="a.json", record="b.txt")
