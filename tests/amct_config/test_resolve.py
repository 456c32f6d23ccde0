"""A configuration applied to a model's layers."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from runner.amct_config.json_file import parse_config
from runner.amct_config.resolve import ConfiguredLayers, resolve
from runner.calibration.hfmg import Hfmg
from runner.calibration.ifmr import Ifmr
from runner.errors import RecordError
from runner.graph.layers import Layer, LayeredModel, LeftAlone
from runner.graph.layout import OutputsFirst
from runner.graph.operators import OPERATORS
from tests.models import layered


def layer(name: str, op_type: str = "Conv") -> Layer:
    return Layer(name, OPERATORS[op_type], "x", "w", None, OutputsFirst(), 8, per_channel=op_type == "Conv")


FOUND = layered((layer("c2"), layer("c1"), layer("g", "Gemm")), (LeftAlone("odd", "Conv", "the weight is shared"),))
NODES = {"c1": "Conv", "c2": "Conv", "g": "Gemm", "odd": "Conv", "relu": "Relu"}


def resolved(found: LayeredModel = FOUND, **entries: object) -> ConfiguredLayers:
    return resolve(parse_config(json.dumps(entries), "f"), found, NODES, "f")


def act(**params: object) -> dict[str, object]:
    return {"activation_quant_params": params}


def test_each_layer_gets_the_observer_that_its_section_says() -> None:
    start = resolved(
        activation_offset=False,
        c1=act(max_percentile=0.9, search_range=[0.5, 1.5], search_step=0.5, asymmetric=True),
        g=act(act_algo="hfmg", num_of_bins=1024),
        c2=act(),
    )
    assert list(start.observers) == ["c2", "c1", "g"]
    assert start.observers == {
        "c2": Ifmr(asymmetric=False),
        "c1": Ifmr(0.9, 0.999999, [0.5, 1.5], 0.5, True),
        "g": Hfmg(1024, asymmetric=False),
    }


def test_layers_with_equal_settings_share_their_observer() -> None:
    start = resolved(c1=act(), c2=act(asymmetric=True), g=act(asymmetric=False))
    assert start.observers["c1"] is start.observers["c2"] is not start.observers["g"]


def test_tensors_come_behind_the_layers_and_share_observers_with_them() -> None:
    tensors = [
        {"layer_name": "add", "input_index": 1, "activation_quant_params": {"num_bits": 8}},
        {"layer_name": "add", "input_index": 0, "activation_quant_params": {"asymmetric": False}},
    ]
    start = resolved(c1=act(), tensor_quantize=tensors)
    assert list(start.observers) == ["c1", "add:1", "add:0"]
    assert start.observers["add:1"] is start.observers["c1"]
    assert start.observers["add:0"] == Ifmr(asymmetric=False)


def test_layer_that_is_missing_or_switched_off_is_not_quantized() -> None:
    assert list(resolved(c1={}, g={"quant_enable": False}).observers) == ["c1"]


def test_convolution_may_have_one_scale() -> None:
    weights = {"weight_quant_params": {"channel_wise": False}}
    assert resolved(c1=weights, c2={}, g=weights).one_scale == {"c1"}


def test_scale_a_channel_is_taken_where_the_target_takes_it() -> None:
    takes = layered((replace(layer("g", "Gemm"), per_channel=True),), ())
    wanted = {"weight_quant_params": {"channel_wise": True}}
    assert list(resolved(takes, g=wanted).observers) == ["g"]


def test_enabled_layers_with_a_strength_are_balanced() -> None:
    strength = {"dmq_balancer_param": 0.3}
    start = resolved(c1=strength, c2={"quant_enable": False, **strength}, g={})
    assert start.balance == {"c1": 0.3}


def test_layer_without_weight_cannot_be_balanced() -> None:
    pool = Layer("c1", OPERATORS["AveragePool"], "x", None, None, OutputsFirst(), 1, per_channel=False)
    with pytest.raises(RecordError, match=r"f: c1\.dmq_balancer_param: AveragePool has no weight to balance its input"):
        resolved(layered((pool,), ()), c1={"dmq_balancer_param": 0.5})


def test_enabled_layer_that_cannot_be_quantized_here_is_a_warning() -> None:
    start = resolved(c1={}, odd={})
    assert start.warnings == ("quant_config: layer 'odd' is enabled but stays float: the weight is shared",)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"none": {}}, "f: Layer none does not exist in the graph."),
        ({"relu": {}}, "f: layer relu cannot be quantized: it is of type Relu"),
        (
            {"c1": {"quant_enable": False}},
            "f: No quant enable layer in quant config file, please check the quant config",
        ),
        ({}, "f: No quant enable layer in quant config file, please check the quant config file."),
        ({"odd": {}}, "f: none of the enabled layers can be quantized here: quant_config: layer 'odd' is enabled"),
        (
            {"g": {"weight_quant_params": {"channel_wise": True}}},
            "f: g.weight_quant_params.channel_wise: The channel_wise must be False for layer type Gemm.",
        ),
        ({"c1": {}, "skip_fusion_layers": ["g"]}, "f: skip_fusion_layers: layer g is of type Gemm"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_does_not_fit_the_model_is_refused(entries: dict[str, object], message: str) -> None:
    with pytest.raises(RecordError) as error:
        resolved(**entries)
    assert str(error.value).startswith(message)


def test_layer_called_like_a_global_key_is_refused() -> None:
    with pytest.raises(RecordError, match="the model's layer 'batch_num' is called like a global parameter"):
        resolved(layered((layer("batch_num"),), ()), c1={})


VOLUME = layered(
    (Layer("c1", OPERATORS["Conv"], "x", "w", None, OutputsFirst(), 8, per_channel=True, spatial=3, symmetric=True),),
    (),
)


def test_convolution_over_three_axes_is_observed_around_zero() -> None:
    assert resolved(VOLUME, activation_offset=True, c1=act()).observers["c1"].asymmetric is False


def test_convolution_over_three_axes_cannot_be_asymmetric() -> None:
    message = "f: c1.activation_quant_params.asymmetric: expected false for a convolution over three axes, got true."
    with pytest.raises(RecordError) as error:
        resolved(VOLUME, c1=act(asymmetric=True))
    assert str(error.value) == message


def test_layer_of_a_target_around_zero_cannot_be_asymmetric() -> None:
    around_zero = layered((replace(layer("c1"), symmetric=True),), ())
    message = r"f: c1\.activation_quant_params\.asymmetric: expected false for every layer of this target, got true\."
    with pytest.raises(RecordError, match=message):
        resolved(around_zero, c1=act(asymmetric=True))
