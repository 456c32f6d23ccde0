"""Configurations made for a model's layers, by the priorities of AMCT's documentation."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.amct_config.cfg_file import parse_cfg
from runner.amct_config.create import expand, observed_config
from runner.amct_config.json_file import config_entries, format_config
from runner.amct_config.model import HfmgParams, IfmrParams, QuantConfig, TensorEntry
from runner.calibration.hfmg import Hfmg
from runner.calibration.ifmr import Ifmr
from runner.calibration.minmax import MinMax
from runner.calibration.observer import Observer
from runner.errors import RecordError
from runner.graph.layers import Layer, LayeredModel
from runner.graph.layout import OutputsFirst
from runner.graph.operators import OPERATORS
from tests.models import layered


def layer(name: str, op_type: str = "Conv") -> Layer:
    return Layer(name, OPERATORS[op_type], "x", "w", None, OutputsFirst(), 8, per_channel=op_type == "Conv")


FOUND = layered((layer("Conv_2"), layer("Conv_10"), layer("全连接", "Gemm"), layer("m", "MatMul")), ())
POOL = Layer("pool", OPERATORS["AveragePool"], "x", None, None, OutputsFirst(), 1, per_channel=False)
NODES = {each.name: each.op_type for each in FOUND.layers} | {"relu": "Relu", "pool": "AveragePool"}


def observed(found: LayeredModel, observer: Observer, **own: Observer) -> QuantConfig:
    observers = {each.name: own.get(each.name, observer) for each in found.layers}
    return observed_config(found, observers, batch_num=32, activation_offset=observer.asymmetric)


def test_config_of_options_is_the_file_written_by_hand(root: Path) -> None:
    config = observed(layered(FOUND.layers[:3], ()), Ifmr()).with_enabled(["全连接", "Conv_10"])
    assert format_config(config).encode() == (root / "tests" / "golden" / "config.json").read_bytes()


@pytest.mark.parametrize("observer", [Ifmr(asymmetric=False), MinMax(asymmetric=False)], ids=["ifmr", "minmax"])
def test_symmetric_activations_are_said_once_for_all_and_in_each_layer(observer: Observer) -> None:
    config = config_entries(observed(FOUND, observer))
    assert config["activation_offset"] is False
    for each in FOUND.layers:
        assert config[each.name]["activation_quant_params"] == observer.amct_params()


def test_layer_with_an_observer_of_its_own_has_its_options() -> None:
    config = config_entries(observed(FOUND, Ifmr(), Conv_10=Hfmg(asymmetric=False)))
    params = {each.name: config[each.name]["activation_quant_params"] for each in FOUND.layers}
    hfmg = {"num_bits": 8, "act_algo": "hfmg", "num_of_bins": 4096, "asymmetric": False}
    assert params == dict.fromkeys(params, Ifmr().amct_params()) | {"Conv_10": hfmg}


def test_observer_that_does_not_speak_amct_is_named() -> None:
    class Odd(MinMax):
        def amct_params(self) -> dict[str, object]:
            return {"odd": 1}

    with pytest.raises(RecordError, match=r"Odd\.amct_params: Unknown parameter odd in activation_quant_params"):
        observed(FOUND, Odd())


def expanded(text: str) -> dict[str, object]:
    """Return layer -> (enabled, algorithm, search step or bins, asymmetric, channel_wise)."""
    layers = {}
    for name, entry in config_entries(expand(parse_cfg(text, "f"), FOUND, NODES, "f")).items():
        if isinstance(entry, dict):
            act, wts = entry["activation_quant_params"], entry["weight_quant_params"]
            amount = act.get("search_step", act.get("num_of_bins"))
            layers[name] = (entry["quant_enable"], act["act_algo"], amount, act["asymmetric"], wts["channel_wise"])
    return layers


def test_defaults_are_amcts() -> None:
    assert expanded("") == {
        "Conv_10": (True, "ifmr", 0.01, True, True),
        "Conv_2": (True, "ifmr", 0.01, True, True),
        "m": (True, "ifmr", 0.01, True, False),
        "全连接": (True, "ifmr", 0.01, True, False),
    }


def test_layer_goes_before_type_and_type_before_common() -> None:
    said = expanded("""
        activation_offset: false
        common_config { ifmr_quantize { search_step: 0.1 asymmetric: true } arq_quantize { channel_wise: true } }
        override_layer_types { layer_type: "Conv" calibration_config { ifmr_quantize { search_step: 0.2 } } }
        override_layer_types { layer_type: "MatMul" calibration_config { hfmg_quantize {} } }
        override_layer_configs {
            layer_name: "Conv_2"
            calibration_config { ifmr_quantize { search_step: 0.3 asymmetric: false } arq_quantize { channel_wise: false } }
        }
    """)
    assert said == {
        # the step of its type; asymmetric of the common part, for the same algorithm
        "Conv_10": (True, "ifmr", 0.2, True, True),
        "Conv_2": (True, "ifmr", 0.3, False, False),
        # another algorithm than the common part's: activation_offset
        "m": (True, "hfmg", 4096, False, False),
        # per channel is dropped where the type has one scale
        "全连接": (True, "ifmr", 0.1, True, False),
    }


def test_balancer_of_a_layer_goes_before_its_types_and_that_before_the_common_one() -> None:
    text = """
        common_config { dmq_balancer { migration_strength: 0.7 } }
        override_layer_types { layer_type: "Conv" calibration_config { dmq_balancer { migration_strength: 0.3 } } }
        override_layer_types { layer_type: "Gemm" calibration_config { hfmg_quantize {} } }
        override_layer_configs { layer_name: "Conv_2" calibration_config { dmq_balancer {} } }
    """
    config = expand(parse_cfg(text, "f"), layered((*FOUND.layers, POOL), ()), NODES, "f")
    # A pooling has no weight: the common part passes it by.
    assert {name: entry.balance for name, entry in config.layers} == {
        "Conv_10": 0.3,
        "Conv_2": 0.5,
        "m": 0.7,
        "pool": None,
        "全连接": 0.7,
    }


@pytest.mark.parametrize(
    "override",
    [
        'override_layer_types { layer_type: "AveragePool" calibration_config { dmq_balancer {} } }',
        'override_layer_configs { layer_name: "pool" calibration_config { dmq_balancer {} } }',
    ],
    ids=["type", "layer"],
)
def test_balancer_of_a_layer_without_weight_is_refused(override: str) -> None:
    with pytest.raises(RecordError, match=r"f: dmq_balancer of layer 'pool': AveragePool has no weight to balance"):
        expand(parse_cfg(override, "f"), layered((*FOUND.layers, POOL), ()), NODES, "f")


def test_skipped_layers_stay_in_the_file_switched_off() -> None:
    said = expanded('skip_layers: "Conv_2" skip_layer_types: "Gemm" skip_layer_types: "AveragePool"')
    assert {name: entry[0] for name, entry in said.items()} == {
        "Conv_10": True,
        "Conv_2": False,
        "m": True,
        "全连接": False,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('skip_layers: "none"', "f: Layer none does not exist in the graph."),
        ('skip_layers: "relu"', "f: layer relu cannot be quantized: it is of type Relu; expected Conv, "),
        ('skip_layer_types: "Relu"', "f: layer type Relu cannot be quantized; expected Conv, "),
        ('override_layer_types { layer_type: "Softmax" }', "f: layer type Softmax cannot be quantized"),
        ('override_layer_configs { layer_name: "none" }', "f: Layer none does not exist in the graph."),
        ('skip_fusion_layers: "m"', "f: skip_fusion_layers: layer m is of type MatMul, into which nothing is folded"),
        ('skip_fusion_layers: "none"', "f: skip_fusion_layers: Layer none does not exist in the graph."),
        (
            'skip_layer_types: "Conv" skip_layers: "m" skip_layers: "全连接"',
            "f: Except skip_layers, no layer needs to quantize.",
        ),
        (
            'override_layer_configs { layer_name: "m" calibration_config { arq_quantize { channel_wise: true } } }',
            "f: arq_quantize.channel_wise of layer 'm': The channel_wise must be False for layer type MatMul.",
        ),
        (
            'override_layer_types { layer_type: "Gemm" calibration_config { arq_quantize { channel_wise: true } } }',
            "The channel_wise must be False for layer type Gemm.",
        ),
    ],
    ids=lambda value: str(value)[:50],
)
def test_what_does_not_fit_the_model_is_refused(text: str, message: str) -> None:
    with pytest.raises(RecordError) as error:
        expanded(text)
    assert message in str(error.value)


def test_layer_called_like_a_global_key_is_refused() -> None:
    with pytest.raises(RecordError, match="the model's layer 'version' is called like a global parameter"):
        expand(parse_cfg("", "f"), layered((layer("version"),), ()), {"version": "Conv"}, "f")


def test_tensor_follows_its_own_algorithm_then_the_common_one() -> None:
    text = """activation_offset: false
        common_config: { hfmg_quantize: { num_of_bins: 2048 asymmetric: true } }
        tensor_quantize: { layer_name: "add" input_index: 1 ifmr_quantize: { search_step: 0.5 } }
        tensor_quantize: { layer_name: "add" input_index: 0 }"""
    assert expand(parse_cfg(text, "f"), FOUND, NODES, "f").tensors == (
        TensorEntry("add", 1, IfmrParams(search_step=0.5, num_bits=8, asymmetric=False)),
        TensorEntry("add", 0, HfmgParams(2048, 8, True)),
    )
    assert expand(parse_cfg("", "f"), FOUND, NODES, "f").tensor_quantize is None
