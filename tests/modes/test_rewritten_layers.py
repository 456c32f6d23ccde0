"""Layers that the deploy format does not have as they are, through whole jobs: rewritten exactly, then in int8."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from tests.data import noise, normal_items
from tests.models import proto
from tests.modes.test_graphs import DEPLOY, check, job


def op_types(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


@pytest.mark.parametrize("opset", [9, 12, 18])
def test_upsampling_over_one_axis_is_quantized_with_its_batchnorm_folded(opset: int, tmp_path: Path) -> None:
    source = proto(
        """g (float[N,4,12] x) => (float[N,2,L] y) {
            [pre] a = Conv<pads=[3,3]>(x, w1, b1) l = LeakyRelu(a)
            [up] u = ConvTranspose<strides=[4], pads=[2,2]>(l, w2)
            [bn] n = BatchNormalization(u, g, o, m, v) r = Relu(n)
            [up2] t = ConvTranspose<strides=[2], pads=[1,1]>(r, w3) s = Add(t, shift)
            [pool] p = AveragePool<kernel_shape=[2], strides=[2]>(s)
            [post] y = Conv<pads=[3,3]>(p, w4)
        }""",
        opset=opset,
        w1=noise(1, 8, 4, 7) / 5,
        b1=noise(2, 8),
        w2=noise(3, 8, 6, 8) / 4,
        g=abs(noise(4, 6)) + noise(0, 1) ** 2,
        o=noise(5, 6),
        m=noise(6, 6),
        v=abs(noise(7, 6)) + noise(0, 1) ** 2 + 1,
        w3=noise(8, 6, 4, 4) / 3,
        shift=noise(9, 1, 4, 1),
        w4=noise(10, 2, 4, 7) / 5,
    )
    x = normal_items(8, 4, 12)
    result = job(tmp_path, source, x)
    check(tmp_path, result, x, ["pre", "up", "up2", "pool", "post"])
    assert (result.folded, result.found.left_alone) == (("bn", "Add_6"), ())
    ops = op_types(tmp_path / DEPLOY)
    assert (ops.count("Unsqueeze"), ops.count("Squeeze"), ops.count("BatchNormalization")) == (3, 3, 0)


def test_gemm_with_factors_transposed_data_and_a_computed_bias_is_quantized(tmp_path: Path) -> None:
    source = proto(
        """g (float[N,6] x) => (float[N,4] y) {
            [one] a = Gemm<alpha=0.5, beta=2.0>(x, w1, b1) r = Relu(a) t = Transpose<perm=[1,0]>(r)
            [two] b = Gemm<transA=1, transB=1>(t, w2, b2) c = Tanh(b) m = ReduceMean<axes=[1]>(c)
            [three] y = Gemm<beta=0.5>(c, w3, m)
        }""",
        w1=noise(1, 6, 8),
        b1=noise(2, 8),
        w2=noise(3, 5, 8),
        b2=noise(4, 1, 5),
        w3=noise(5, 5, 4),
    )
    x = normal_items(8, 6)
    result = job(tmp_path, source, x)
    check(tmp_path, result, x, ["one", "two", "three"])
    assert result.found.left_alone == ()
    assert "Add" in op_types(tmp_path / DEPLOY)
