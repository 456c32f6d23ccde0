"""config.json: files of every version come back byte for byte, and AMCT's rules with messages that name the key."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.amct_config.json_file import config_entries, format_config, parse_config
from runner.amct_config.limits import GLOBAL_KEYS, NUM_OF_BINS
from runner.amct_config.model import ArqParams, HfmgParams, IfmrParams, LayerEntry, QuantConfig, TensorEntry
from runner.errors import RecordError

GOLDEN = Path(__file__).resolve().parents[1] / "golden"

maybe = st.none() | st.booleans()
eight = st.sampled_from([None, 8])
shares = st.floats(0.5, 1.0, exclude_min=True)


@st.composite
def ifmrs(draw: st.DrawFn) -> IfmrParams:
    start = draw(st.integers(1, 100))
    width = draw(st.integers(1, 100))
    step = draw(st.integers(1, width))
    ends = (start / 100, (start + width) / 100)
    return IfmrParams(draw(shares), draw(shares), ends, step / 100, draw(eight), draw(maybe))


algorithms = ifmrs() | st.builds(HfmgParams, st.sampled_from(NUM_OF_BINS), eight, maybe)
entries = st.builds(
    LayerEntry,
    st.booleans(),
    algorithms,
    st.builds(ArqParams, maybe, eight),
    st.none() | st.floats(0.2, 0.8),
)
names = st.text(st.characters(exclude_categories=("Cs",)), min_size=1).filter(lambda name: name not in GLOBAL_KEYS)
tensors = st.lists(
    st.builds(TensorEntry, names, st.integers(0, 9), algorithms), max_size=3, unique_by=lambda tensor: tensor.key
).map(tuple)
configs = st.builds(
    QuantConfig,
    st.integers(1, 10**6),
    st.booleans(),
    st.booleans(),
    st.lists(names, max_size=2).map(tuple),
    st.sampled_from([None, False]),
    st.sampled_from([None, "DEFAULT"]),
    st.none() | tensors,
    st.dictionaries(names, entries, max_size=3).map(lambda layers: tuple(sorted(layers.items(), key=lambda e: e[0]))),
)


@pytest.mark.parametrize("name", ["config.json", "config_forum.json", "config_dmq.json"])
def test_file_of_any_version_comes_back_byte_for_byte(name: str) -> None:
    text = (GOLDEN / name).read_text(encoding="utf-8")
    assert format_config(parse_config(text, name)) == text


def test_balanced_layers_are_those_with_a_strength() -> None:
    config = parse_config((GOLDEN / "config_dmq.json").read_text(encoding="utf-8"), "f")
    assert {name: entry.balance for name, entry in config.layers} == {"Conv_0": 0.5, "MatMul_1": 0.2}


def test_forum_file_says_what_its_keys_say() -> None:
    config = parse_config((GOLDEN / "config_forum.json").read_text(encoding="utf-8"), "f")
    assert config == QuantConfig(
        batch_num=2,
        skip_fusion_layers=("Conv_0",),
        joint_quant=False,
        layers=(
            ("Conv_0", LayerEntry(True, IfmrParams(0.999999, 0.99, (0.8, 1.2), 0.02), ArqParams(True))),
            ("Gemm_1", LayerEntry(False, HfmgParams(2048, asymmetric=False), ArqParams(False))),
        ),
    )
    assert config.enabled == ("Conv_0",) and config.with_enabled(["Gemm_1"]).enabled == ("Gemm_1",)
    assert not config.folds("Conv_0") and config.folds("Gemm_1")


@given(config=configs)
def test_configuration_comes_back_from_its_text(config: QuantConfig) -> None:
    text = format_config(config)
    assert parse_config(text, "f") == config
    assert format_config(parse_config(text, "f")) == text


def test_missing_keys_have_amcts_defaults() -> None:
    config = parse_config('{"a": {}}', "f")
    assert (config.batch_num, config.activation_offset, config.do_fusion, config.enabled) == (1, True, True, ("a",))
    assert config.layers == (("a", LayerEntry(True, IfmrParams(), ArqParams())),)
    assert IfmrParams() == IfmrParams(0.999999, 0.999999, (0.7, 1.3), 0.01)
    assert parse_config('{"a": {"activation_quant_params": {"act_algo": "hfmg"}}}', "f").layers[0][1].activation == (
        HfmgParams(4096)
    )


def test_step_may_be_the_whole_range_although_its_difference_is_smaller_in_binary() -> None:
    assert 0.9 - 0.8 < 0.1
    said = '{"a": {"activation_quant_params": {"search_range": [0.8, 0.9], "search_step": 0.1}}}'
    assert parse_config(said, "f").layers[0][1].activation.search_step == 0.1


BASE = {"batch_num": 1, "Conv_0": {"quant_enable": True, "activation_quant_params": {}, "weight_quant_params": {}}}
ACT, WTS = ("Conv_0", "activation_quant_params"), ("Conv_0", "weight_quant_params")


def changed(path: tuple[str, ...], key: str, value: Any) -> str:
    config = copy.deepcopy(BASE)
    section: Any = config
    for part in path:
        section = section[part]
    section[key] = value
    return json.dumps(config)


def tensor(**other: Any) -> dict[str, Any]:
    return {"layer_name": "Add", "input_index": 0} | other


def test_tensors_come_back_byte_for_byte_behind_the_other_global_keys() -> None:
    hfmg = {"num_bits": 8, "act_algo": "hfmg", "num_of_bins": 1024, "asymmetric": False}
    listed = [tensor(input_index=1, activation_quant_params=hfmg), tensor(layer_name="MaxPool_3")]
    config = parse_config(json.dumps({**BASE, "tensor_quantize": listed}), "f")
    assert config.tensors == (
        TensorEntry("Add", 1, HfmgParams(1024, 8, False)),
        TensorEntry("MaxPool_3", 0, IfmrParams()),
    )
    text = format_config(config)
    assert list(json.loads(text))[-3:] == ["skip_fusion_layers", "tensor_quantize", "Conv_0"]
    assert json.loads(text)["tensor_quantize"][0] == listed[0]
    assert format_config(parse_config(text, "f")) == text


def test_tensors_are_kept_by_their_keys() -> None:
    listed = [tensor(), tensor(input_index=1)]
    config = parse_config(json.dumps({**BASE, "tensor_quantize": listed}), "f")
    assert config.with_enabled({"Conv_0", "Add:1"}).tensors == config.tensors[1:]
    assert json.loads(format_config(config.with_enabled({"Conv_0"})))["tensor_quantize"] == []
    assert "tensor_quantize" not in json.loads(format_config(parse_config(json.dumps(BASE), "f").with_enabled(())))


@pytest.mark.parametrize(
    ("path", "key", "value", "message"),
    [
        ((), "version", 2, "f: version: expected 1, got 2"),
        ((), "version", True, "f: version: expected 1, got true"),
        ((), "batch_num", 0, "f: batch_num: expected 1 or more, got 0"),
        ((), "batch_num", True, "f: batch_num: expected a whole number, got true"),
        ((), "batch_num", 1.0, "f: batch_num: expected a whole number, got 1.0"),
        ((), "activation_offset", 1, "f: activation_offset: expected true or false, got 1"),
        ((), "joint_quant", True, "f: joint_quant: joint quantization is not supported; expected false, got true"),
        ((), "joint_quant", None, "f: joint_quant: expected true or false, got null"),
        ((), "do_fusion", "yes", 'f: do_fusion: expected true or false, got "yes"'),
        ((), "skip_fusion_layers", "Conv_0", 'f: skip_fusion_layers: expected a list of layer names, got "Conv_0"'),
        ((), "skip_fusion_layers", [1], "f: skip_fusion_layers: expected a list of layer names, got [1]"),
        ((), "fakequant_precision_mode", "FORCE_FP16_QUANT", "f: fakequant_precision_mode: expected DEFAULT, the only"),
        ((), "tensor_quantize", {}, "f: tensor_quantize: expected a list of objects, got {}"),
        ((), "tensor_quantize", ["Add"], "f: tensor_quantize[0]: expected an object of layer_name, input_index, activ"),
        ((), "tensor_quantize", [{"layer_name": "Add"}], "f: tensor_quantize[0].input_index: it is missing; expected"),
        ((), "tensor_quantize", [{"input_index": 0}], "f: tensor_quantize[0].layer_name: it is missing; expected the"),
        ((), "tensor_quantize", [tensor(layer_name=3)], "f: tensor_quantize[0].layer_name: expected text, got 3"),
        (
            (),
            "tensor_quantize",
            [tensor(input_index=-1)],
            "f: tensor_quantize[0].input_index: expected 0 or more, got -1",
        ),
        ((), "tensor_quantize", [tensor(input_index=True)], "tensor_quantize[0].input_index: expected a whole number"),
        ((), "tensor_quantize", [tensor(index=1)], "f: Unknown parameter index in tensor_quantize[0]; expected"),
        ((), "tensor_quantize", [tensor(), tensor()], "f: tensor_quantize[1]: input 0 of layer 'Add' is given twice"),
        (
            (),
            "tensor_quantize",
            [tensor(), tensor(input_index=1, activation_quant_params={"num_bits": 4})],
            "f: tensor_quantize[1].activation_quant_params.num_bits: expected 8, the only width",
        ),
        ((), "batchnum", 3, "f: batchnum is an invalid layer name or parameter."),
        (("Conv_0",), "quant_enable", 1, "f: Conv_0.quant_enable: expected true or false, got 1"),
        (("Conv_0",), "enable", True, "f: Unknown parameter enable in Conv_0; expected activation_quant_params"),
        (
            ("Conv_0",),
            "dmq_balancer_param",
            0.1,
            "f: Conv_0.dmq_balancer_param: expected a migration strength of 0.2 to",
        ),
        (
            ("Conv_0",),
            "dmq_balancer_param",
            0.81,
            "dmq_balancer_param: expected a migration strength of 0.2 to 0.8, got 0",
        ),
        (("Conv_0",), "dmq_balancer_param", "0.5", 'f: Conv_0.dmq_balancer_param: expected a number, got "0.5"'),
        (("Conv_0",), "dmq_balancer_param", None, "f: Conv_0.dmq_balancer_param: expected a number, got null"),
        (("Conv_0",), "weight_quant_params", 3, "f: Conv_0.weight_quant_params: expected an object of options, got 3"),
        (ACT, "search", 1, "f: Unknown parameter search in Conv_0.activation_quant_params; expected act_algo"),
        (ACT, "act_algo", "kl", 'f: Conv_0.activation_quant_params.act_algo: expected ifmr or hfmg, got "kl"'),
        (ACT, "act_algo", 1, "f: Conv_0.activation_quant_params.act_algo: expected text, got 1"),
        (ACT, "num_bits", 16, "f: Conv_0.activation_quant_params.num_bits: expected 8, the only width"),
        (ACT, "asymmetric", 0, "f: Conv_0.activation_quant_params.asymmetric: expected true or false, got 0"),
        (ACT, "max_percentile", 0.5, "Conv_0.activation_quant_params.max_percentile: expected a share in (0.5, 1.0]"),
        (ACT, "min_percentile", 1.01, "min_percentile: expected a share in (0.5, 1.0], got 1.01"),
        (ACT, "max_percentile", True, "max_percentile: expected a number, got true"),
        (ACT, "search_range", [1.3, 0.7], "search_range: expected 0 < start < end, got [1.3, 0.7]"),
        (ACT, "search_range", [0, 0.7], "search_range: expected 0 < start < end, got [0.0, 0.7]"),
        (ACT, "search_range", [0.7], "search_range: expected two numbers [start, end], got [0.7]"),
        (ACT, "search_range", [0.7, True], "search_range: expected two numbers [start, end], got [0.7, true]"),
        (ACT, "search_step", 0, "search_step: expected more than 0 and at most end - start = 0.6, got 0.0"),
        (
            ACT,
            "search_step",
            1e-7,
            "search_step: expected at most 100000 ratios between 0.7 and 1.3, got steps of 1e-07",
        ),
        (ACT, "search_step", 0.61, "search_step: expected more than 0 and at most end - start = 0.6, got 0.61"),
        (ACT, "num_of_bins", 4096, "num_of_bins: not a parameter of ifmr, which takes max_percentile"),
        (WTS, "wts_algo", "nuq_quantize", "Conv_0.weight_quant_params.wts_algo: nuq_quantize is not supported"),
        (WTS, "wts_algo", "ada_quantize", "Conv_0.weight_quant_params.wts_algo: ada_quantize is not supported"),
        (WTS, "wts_algo", "arq", 'wts_algo: expected arq_quantize, got "arq"'),
        (WTS, "num_steps", 16, "num_steps: not a parameter of arq_quantize"),
        (WTS, "num_bits", 4, "Conv_0.weight_quant_params.num_bits: expected 8, the only width"),
        (WTS, "channel_wise", 1, "Conv_0.weight_quant_params.channel_wise: expected true or false, got 1"),
        (WTS, "bits", 1, "f: Unknown parameter bits in Conv_0.weight_quant_params"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_broken_rule_is_refused_with_the_key(path: tuple[str, ...], key: str, value: Any, message: str) -> None:
    with pytest.raises(RecordError) as error:
        parse_config(changed(path, key, value), "f")
    assert message in str(error.value) and str(error.value).startswith("f: ")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("num_of_bins", 1000, "num_of_bins: expected one of 1024, 2048, 4096, 8192, got 1000"),
        ("num_of_bins", 4096.0, "num_of_bins: expected a whole number, got 4096.0"),
        ("search_step", 0.01, "search_step: not a parameter of hfmg, which takes num_of_bins; the two cannot be mixed"),
    ],
)
def test_hfmg_takes_its_own_keys(key: str, value: Any, message: str) -> None:
    text = json.dumps({"Conv_0": {"activation_quant_params": {"act_algo": "hfmg", key: value}}})
    with pytest.raises(RecordError) as error:
        parse_config(text, "f")
    assert str(error.value).startswith(f"f: Conv_0.activation_quant_params.{message}")


def test_repeated_key_is_refused() -> None:
    with pytest.raises(RecordError, match=r"Please delete repeated items in f: 'Conv_0'"):
        parse_config('{"Conv_0": {}, "Conv_0": {}}', "f")


def test_layers_are_in_alphabetical_order_with_capitals_first() -> None:
    config = QuantConfig(layers=tuple((name, LayerEntry()) for name in ("b", "A", "a/1", "B", "a.1")))
    assert list(config_entries(config))[-5:] == ["A", "B", "a.1", "a/1", "b"]
