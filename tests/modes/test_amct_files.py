"""AMCT's JSON files, byte for byte, and both forms of the history read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runner.calibration.hfmg import Hfmg
from runner.calibration.ifmr import Ifmr
from runner.calibration.minmax import MinMax
from runner.errors import RecordError
from runner.graph.layers import FoundLayers, Layer
from runner.job_folder import JobFolder
from runner.modes.amct_files import history_entries, quant_config, ranking_entries, read_history, roll_back_config
from runner.search.plan import Plan, Ranking, Trial


def layer(name: str, op_type: str = "Conv") -> Layer:
    return Layer(name, op_type, "x", "w", None, 0, 1, 8, per_channel=op_type == "Conv")


FOUND = FoundLayers((layer("Conv_2"), layer("Conv_10"), layer("全连接", "Gemm")), ())
PLAN = Plan.all_int8(["Conv_2", "Conv_10", "全连接"])
TRIALS = [Trial(PLAN, 70.0, 1.5, accepted=False), Trial(PLAN.with_fallback(["Conv_10"]), 71.5, 0.0, accepted=True)]


def test_config_is_the_file_written_by_hand(tmp_path: Path, root: Path) -> None:
    config = quant_config(FOUND, ["全连接", "Conv_10"], Ifmr(), batch_num=32)
    path = JobFolder(tmp_path).write_json("config.json", config, compact_keys=True)
    assert path.read_bytes() == (root / "tests" / "golden" / "config.json").read_bytes()


@pytest.mark.parametrize("observer", [Ifmr(asymmetric=False), MinMax(asymmetric=False)], ids=["ifmr", "minmax"])
def test_symmetric_activations_are_said_once_for_all_and_in_each_layer(observer: Ifmr | MinMax) -> None:
    config = quant_config(FOUND, [], observer, batch_num=1)
    assert config["activation_offset"] is False
    assert all(config[layer.name]["activation_quant_params"]["asymmetric"] is False for layer in FOUND.layers)
    assert not any(config[layer.name]["quant_enable"] for layer in FOUND.layers)


def test_layers_are_in_alphabetical_order_with_capitals_first() -> None:
    found = FoundLayers(tuple(layer(name) for name in ("b", "A", "a/1", "B", "a.1")), ())
    assert list(quant_config(found, [], Ifmr(), batch_num=1))[6:] == ["A", "B", "a.1", "a/1", "b"]


def test_ranking_is_a_list_of_pairs_in_the_rankings_order(tmp_path: Path) -> None:
    entries = ranking_entries(Ranking((("b", 0.25), ("a", 0.5))))
    path = JobFolder(tmp_path).write_json("ranking.json", entries, compact_keys=True)
    assert path.read_text() == (
        '[\n    [\n        "b",\n        0.25\n    ],\n    [\n        "a",\n        0.5\n    ]\n]'
    )


def test_history_is_one_list_in_which_true_means_quantized() -> None:
    assert history_entries(TRIALS) == [
        {"roll_back_config": {"Conv_2": True, "Conv_10": True, "全连接": True}, "metric_eval": [False, 1.5]},
        {"roll_back_config": {"Conv_2": True, "Conv_10": False, "全连接": True}, "metric_eval": [True, 0.0]},
    ]


def test_repaired_layer_stays_quantized() -> None:
    assert roll_back_config(Plan((("a", "int8+bias"), ("b", "float")))) == {"a": True, "b": False}


@pytest.mark.parametrize(
    "join",
    [
        pytest.param(lambda objects: "[" + ",".join(objects) + "]", id="one list"),
        pytest.param(lambda objects: "".join(objects), id="objects side by side"),
        pytest.param(lambda objects: "\n".join(objects) + "\n", id="objects on lines"),
        pytest.param(lambda objects: "[" + objects[0] + "]\n" + objects[1], id="a list and an object"),
    ],
)
def test_history_is_read_in_every_form(tmp_path: Path, join: object) -> None:
    objects = [
        json.dumps(entry, indent=4, separators=(",", ":"), ensure_ascii=False) for entry in history_entries(TRIALS)
    ]
    path = tmp_path / "record.json"
    path.write_text(join(objects), encoding="utf-8")
    assert read_history(path) == history_entries(TRIALS)


def test_empty_history_holds_no_trial(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text("\n")
    assert read_history(tmp_path / "record.json") == []


GOOD = '{\n    "roll_back_config":{},\n    "metric_eval":[true,0.0]\n}\n'


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        pytest.param(
            GOOD + "{oops}", ":5", "expected a JSON object of the search history, got: Expecting", id="no JSON"
        ),
        pytest.param(GOOD + GOOD[:-3], ":7", "expected a JSON object of the search history", id="cut off"),
        pytest.param(
            GOOD + '{"metric_eval": []}', ": record 2", "expected roll_back_config and metric_eval", id="no plan"
        ),
        pytest.param("[3]", ": record 1", "expected roll_back_config and metric_eval, got 3", id="a number"),
    ],
)
def test_broken_history_is_refused_with_file_and_place(tmp_path: Path, text: str, place: str, message: str) -> None:
    path = tmp_path / "record.json"
    path.write_text(text)
    with pytest.raises(RecordError) as error:
        read_history(path)
    assert str(error.value).startswith(f"{path}{place}: {message}")


def test_missing_history_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"history: .*gone\.json cannot be read: No such file"):
        read_history(tmp_path / "gone.json")


def test_layer_with_an_observer_of_its_own_has_its_options() -> None:
    config = quant_config(FOUND, [], Ifmr(), batch_num=1, observers={"Conv_10": Hfmg(asymmetric=False)})
    params = {layer.name: config[layer.name]["activation_quant_params"] for layer in FOUND.layers}
    assert params == {
        "Conv_2": Ifmr().amct_params(),
        "Conv_10": {"num_bits": 8, "act_algo": "hfmg", "num_of_bins": 4096, "asymmetric": False},
        "全连接": Ifmr().amct_params(),
    }
