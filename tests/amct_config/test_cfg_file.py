"""The simplified configuration against a file made by hand, and what it refuses or drops."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.amct_config.cfg_file import Choice, SimplifiedConfig, parse_cfg
from runner.amct_config.model import ArqParams, HfmgParams, IfmrParams, QuantConfig
from runner.amct_config.read import read_config
from runner.errors import RecordError

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


def test_golden_file_says_what_its_keys_say() -> None:
    assert read_config(GOLDEN / "simplified.cfg") == SimplifiedConfig(
        batch_num=2,
        skip_layers=("Conv_0",),
        skip_layer_types=("Gemm",),
        skip_fusion_layers=("Conv_5",),
        # 0.7, 0.8 and 0.02 are float32 in the message, and are read as the file shows them.
        common=Choice(IfmrParams(0.7, 0.999999, (0.8, 1.2), 0.02, 8), ArqParams(True, 8), 0.7),
        types=(("MatMul", Choice(IfmrParams(num_bits=8, asymmetric=False))),),
        layers=(("Conv_5", Choice(HfmgParams(1024, 8, False), ArqParams(False, 8), 0.5)),),
    )


def test_empty_file_is_all_defaults(tmp_path: Path) -> None:
    (tmp_path / "a.cfg").write_text("")
    assert read_config(tmp_path / "a.cfg") == SimplifiedConfig()


def test_form_of_a_file_is_told_by_its_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text('\n {"a": {}}')
    assert isinstance(read_config(tmp_path / "a.txt"), QuantConfig)
    (tmp_path / "b.txt").write_text("batch_num: 3")
    assert read_config(tmp_path / "b.txt") == SimplifiedConfig(batch_num=3)
    (tmp_path / "c.json").write_text("batch_num: 3")
    with pytest.raises(RecordError, match=r"c\.json:1: expected a JSON object"):
        read_config(tmp_path / "c.json")
    (tmp_path / "d.json").write_text(" ")
    with pytest.raises(RecordError, match=r"quant_config: .*d\.json is empty; expected AMCT's config\.json"):
        read_config(tmp_path / "d.json")


def common(text: str) -> str:
    return f"common_config {{ {text} }}"


def override(text: str) -> str:
    return f'override_layer_configs {{ layer_name: "c" calibration_config {{ {text} }} }}'


def tensor(text: str) -> str:
    return f'tensor_quantize {{ layer_name: "a" input_index: 1 {text} }}'


def test_tensors_are_read_with_their_own_algorithm() -> None:
    text = tensor("hfmg_quantize { num_of_bins: 1024 }") + 'tensor_quantize { layer_name: "b" input_index: 0 }'
    assert parse_cfg(text, "f").tensors == (
        (("a", 1), Choice(HfmgParams(1024, 8))),
        (("b", 0), Choice()),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batch_num: 0", "f: batch_num: expected 1 or more, got 0"),
        ("batch_num: -1", "f:1: expected a simplified AMCT configuration"),
        ("\nbatchnum: 1", "f:2: expected a simplified AMCT configuration in protobuf text, got"),
        ("batch_num: 1 batch_num: 2", "f:1: expected a simplified AMCT configuration"),
        ("activation_offset: 3", "f:1: expected a simplified AMCT configuration"),
        ("version: 2", "f: version: expected 1, got 2"),
        ("joint_quant: true", "f: joint_quant: joint quantization is not supported; expected false, got true"),
        ('nuq_config { mapping_file: "m" }', "f: nuq_config: non-uniform quantization is not supported"),
        ('tensor_quantize { layer_name: "a" }', "f: tensor_quantize: an entry has no input_index; expected the name"),
        (
            "tensor_quantize { input_index: 0 }",
            "f: tensor_quantize: an entry has no layer_name; expected the name of a",
        ),
        (tensor("") * 2, "f: tensor_quantize 'a': input 1 is given twice; expected one entry each."),
        (tensor("ifmr_quantize { dst_type: INT16 }"), "f: tensor_quantize 'a': ifmr_quantize.dst_type: expected INT8"),
        (
            tensor("hfmg_quantize { num_of_bins: 7 }"),
            "f: tensor_quantize 'a': hfmg_quantize.num_of_bins: expected one of",
        ),
        (tensor("ifmr_quantize {} hfmg_quantize {}"), "f:1: expected a simplified AMCT configuration"),
        ('tensor_quantize { layer_name: "a" input_index: -1 }', "f:1: expected a simplified AMCT configuration"),
        ("fakequant_precision_mode: FORCE_FP16_QUANT", "f: fakequant_precision_mode: expected DEFAULT"),
        (common("ifmr_quantize {} hfmg_quantize {}"), "f:1: expected a simplified AMCT configuration"),
        (common("ifmr_quantize { max_percentile: 0.5 }"), "f: common_config: ifmr_quantize.max_percentile: expected a"),
        (
            common("ifmr_quantize { search_range_start: 1.3 }"),
            "ifmr_quantize.search_range_start, search_range_end: exp",
        ),
        (common("ifmr_quantize { search_step: 0.7 }"), "ifmr_quantize.search_step: expected more than 0 and at most"),
        (common("hfmg_quantize { num_of_bins: 7 }"), "hfmg_quantize.num_of_bins: expected one of 1024"),
        (override("ada_quantize {}"), "f: override_layer_configs 'c': ada_quantize: ada_quantize is not supported"),
        (
            override("dmq_balancer { migration_strength: 0.9 }"),
            "f: override_layer_configs 'c': dmq_balancer.migration_strength: expected a migration strength of 0.2 to 0.8, got",
        ),
        (
            common("dmq_balancer { migration_strength: 0.1 }"),
            "f: common_config: dmq_balancer.migration_strength: expected",
        ),
        (override("arq_quantize { quant_bits: 4 }"), "'c': arq_quantize.quant_bits: expected 8, got 4"),
        (override("ifmr_quantize { dst_type: INT16 }"), "'c': ifmr_quantize.dst_type: expected INT8, got INT16"),
        (override("") * 2, "f: override_layer_configs: layer_name 'c' is given twice"),
        ("override_layer_types { }", "f: override_layer_types: an entry has no layer_type"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_broken_rule_is_refused_with_the_key(text: str, message: str) -> None:
    with pytest.raises(RecordError) as error:
        parse_cfg(text, "f")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("ada_quantize {}", "ada_quantize"),
        ("arq_quantize { quant_bits: 4 }", "arq_quantize.quant_bits"),
        ("ifmr_quantize { dst_type: INT16 }", "ifmr_quantize.dst_type"),
    ],
)
def test_what_is_not_supported_is_dropped_from_the_common_part_with_a_warning(text: str, key: str) -> None:
    (warning,) = parse_cfg(common(text), "f").warnings
    assert warning.startswith(f"f: common_config: {key} is left out: ")
