"""The messages of AMCT's simplified configuration, declared here because the vendor's are not published with the tool.

The text format knows fields by name, so the numbers are ours.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "quant_runner.amct_config"
_TYPES = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "float": _TYPES.TYPE_FLOAT,
    "int32": _TYPES.TYPE_INT32,
    "uint32": _TYPES.TYPE_UINT32,
    "bool": _TYPES.TYPE_BOOL,
    "string": _TYPES.TYPE_STRING,
}
_ENUMS = {"Precision": ("DEFAULT", "FORCE_FP16_QUANT"), "DataType": ("UNKNOWN", "INT4", "INT8", "INT16")}

# message -> field -> type; "*" repeated, "|" member of the message's one-of called like what follows it
_MESSAGES = {
    "ArqQuantize": {"channel_wise": "bool", "quant_bits": "uint32", "num_bits": "uint32"},
    "AdaQuantize": {
        "num_iteration": "uint32",
        "reg_param": "float",
        "beta_range_start": "float",
        "beta_range_end": "float",
        "warm_start": "float",
        "channel_wise": "bool",
    },
    "NuqQuantize": {"num_steps": "uint32", "num_of_iteration": "uint32"},
    "IfmrQuantize": {
        "search_range_start": "float",
        "search_range_end": "float",
        "search_step": "float",
        "max_percentile": "float",
        "min_percentile": "float",
        "asymmetric": "bool",
        "dst_type": "DataType",
        "num_bits": "uint32",
    },
    "HfmgQuantize": {"num_of_bins": "uint32", "asymmetric": "bool", "dst_type": "DataType", "num_bits": "uint32"},
    "DmqBalancer": {"migration_strength": "float"},
    "CalibrationConfig": {
        "arq_quantize": "ArqQuantize|weights",
        "ada_quantize": "AdaQuantize|weights",
        "nuq_quantize": "NuqQuantize|weights",
        "ifmr_quantize": "IfmrQuantize|activations",
        "hfmg_quantize": "HfmgQuantize|activations",
        "dmq_balancer": "DmqBalancer",
    },
    "OverrideLayerType": {"layer_type": "string", "calibration_config": "CalibrationConfig"},
    "OverrideLayer": {"layer_name": "string", "calibration_config": "CalibrationConfig"},
    "NuqConfig": {"mapping_file": "string", "nuq_quantize": "NuqQuantize"},
    "TensorQuantize": {
        "layer_name": "string",
        "input_index": "uint32",
        "ifmr_quantize": "IfmrQuantize|activations",
        "hfmg_quantize": "HfmgQuantize|activations",
    },
    "AMCTConfig": {
        "version": "int32",
        "batch_num": "uint32",
        "activation_offset": "bool",
        "joint_quant": "bool",
        "skip_layers": "string*",
        "skip_layer_types": "string*",
        "do_fusion": "bool",
        "skip_fusion_layers": "string*",
        "fakequant_precision_mode": "Precision",
        "common_config": "CalibrationConfig",
        "override_layer_types": "OverrideLayerType*",
        "override_layer_configs": "OverrideLayer*",
        "nuq_config": "NuqConfig",
        "tensor_quantize": "TensorQuantize*",
    },
}


@cache
def amct_config_message() -> Any:  # noqa: ANN401 - protobuf makes the class at run time
    """Return the message class AMCTConfig."""
    file = descriptor_pb2.FileDescriptorProto(name="quant_runner/amct_config.proto", package=_PACKAGE, syntax="proto2")
    for name, values in _ENUMS.items():
        enum = file.enum_type.add(name=name)
        for number, value in enumerate(values):
            enum.value.add(name=value, number=number)
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        groups = sorted({kind.partition("|")[2] for kind in fields.values() if "|" in kind})
        for group in groups:
            message.oneof_decl.add(name=group)
        for number, (field, kind) in enumerate(fields.items(), start=1):
            _add_field(message, number, field, kind, groups)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.AMCTConfig"))


def _add_field(message: Any, number: int, name: str, kind: str, groups: list[str]) -> None:  # noqa: ANN401
    kind, _, group = kind.partition("|")
    type_name = kind.removesuffix("*")
    field = message.field.add(name=name, number=number)
    field.label = _TYPES.LABEL_REPEATED if kind.endswith("*") else _TYPES.LABEL_OPTIONAL
    if group:
        field.oneof_index = groups.index(group)
    if type_name in _SCALARS:
        field.type = _SCALARS[type_name]
    else:
        field.type = _TYPES.TYPE_ENUM if type_name in _ENUMS else _TYPES.TYPE_MESSAGE
        field.type_name = f".{_PACKAGE}.{type_name}"
