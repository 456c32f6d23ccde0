"""The Ascend operators' attributes and parameters, by the documented layout."""

import struct

import numpy as np
import pytest

from runner.ranges import ActivationParams
from runner.targets.ascend.ascend_ops import anti_quant_attributes, dequant_parameter, quant_attributes


def test_quant_holds_the_reciprocal_as_float32():
    attributes = quant_attributes(ActivationParams(float(np.float32(0.0798481479)), -3))
    (reciprocal,) = struct.unpack("<f", struct.pack("<f", 1 / float(np.float32(0.0798481479))))
    assert attributes == {"scale": reciprocal, "offset": -3.0, "dst_type": "INT8"}
    assert isinstance(attributes["offset"], float)


def test_anti_quant_holds_the_scale_itself():
    attributes = anti_quant_attributes(ActivationParams(0.25, 7))
    assert attributes == {"scale": 0.25, "offset": 7.0, "dtype": 0}
    assert isinstance(attributes["offset"], float)
    assert isinstance(attributes["dtype"], int)


@pytest.mark.parametrize("scale", [1.0, 0.00023763897, 1e-12, 3e38])
def test_parameter_is_the_float32_bits_in_the_low_half(scale):
    (parameter,) = dequant_parameter(np.float32([scale]))
    assert struct.pack("<Q", int(parameter)) == struct.pack("<f", scale) + b"\0\0\0\0"


def test_parameter_has_one_entry_a_scale():
    parameter = dequant_parameter(np.float32([1, 2, 3]))
    assert (parameter.dtype, parameter.shape) == (np.uint64, (3,))
    assert dequant_parameter(np.float32(1)).shape == (1,)
