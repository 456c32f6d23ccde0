"""Names in a code page other than UTF-8."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from runner.graph.model_file import load_model, model_bytes
from tests.models import plain_session, proto

GBK = "卷积".encode("gbk")


@pytest.mark.parametrize("body", [False, True], ids=["main graph", "body of an If"])
def test_model_with_names_in_gbk_is_read_and_computes_the_same(tmp_path: Path, body: bool) -> None:
    if body:
        graph = """g (float[N,3] x) => (float[N,3] y) {
            [choice] y = If (yes) <then_branch = t () => (float[N,3] b) { [NAME] NAME = Relu (x) [last] b = Neg (NAME) },
                                   else_branch = e () => (float[N,3] c) { [other] c = Identity (x) }>
        }"""
        model = proto(graph, yes=np.array(True))
    else:
        model = proto("g (float[N,3] x) => (float[N,3] y) { [NAME] NAME = Relu (x) [last] y = Neg (NAME) }")
    data = model.SerializeToString()
    (tmp_path / "net.onnx").write_bytes(data.replace(b"NAME", GBK))
    with pytest.raises((UnicodeDecodeError, TypeError)):
        "".join(name for node in onnx.load(tmp_path / "net.onnx").graph.node for name in _names(node))
    read = load_model(tmp_path / "net.onnx").graph
    assert r"\xbe\xed\xbb\xfd" in {node.name for node in read.graph.all_nodes()}
    x = np.float32([[-1, 0, 2]])
    (expected,) = plain_session(model).run(None, {"x": x})
    (found,) = plain_session(onnx.load_from_string(model_bytes(read))).run(None, {"x": x})
    np.testing.assert_array_equal(found, expected)


def _names(node: onnx.NodeProto) -> list[str]:
    inner = [name for attribute in node.attribute for one in attribute.g.node for name in _names(one)]
    return [node.name, *inner]


def test_two_names_stay_two_and_one_stays_one(tmp_path: Path) -> None:
    model = proto(
        "g (float[N,3] x) => (float[N,3] y) { [AAAA] AAAA = Relu (x) [BBBB] BBBB = Neg (AAAA) y = Add (AAAA, BBBB) }"
    )
    data = model.SerializeToString().replace(b"AAAA", b"\xff\xfeab").replace(b"BBBB", b"\xfe\xffab")
    (tmp_path / "net.onnx").write_bytes(data)
    first, second, last = load_model(tmp_path / "net.onnx").graph.graph
    assert (first.name, second.name) == (r"\xff\xfeab", r"\xfe\xffab")
    assert [value.name for value in last.inputs if value] == [first.outputs[0].name, second.outputs[0].name]
