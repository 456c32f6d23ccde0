"""A model whose names would steer a terminal, through both modes: nothing of it reaches whoever reads what they leave."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from runner.app.check_deploy import main as check_deploy
from tests.app.conftest import Command

ODD = [
    *("\x1b[2J", "\x1b]52;c;aGk=\x07", "a\nb", "a\rb", "\u202eevil", "[red]x[/red]", "x\u2028y", "\x9b31m", "\x7f"),
    *("</script><b>&", "\u2066iso", "b" * 20_000),
]
TEXTS = (".json", ".jsonl", ".html", ".csv", ".svg", ".log", ".txt", ".yaml")


def steering(text: str) -> set[str]:
    """Return what in a text a terminal would act upon."""
    unseen = {char for char in text if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")}
    return (unseen | (set(text) & {"\u202e", "\u2066"})) - {"\n", "\t"}


def odd_model(path: Path) -> None:
    """Write a chain of convolutions in which every kind of name is odd."""
    random, nodes, weights, value = np.random.default_rng(0), [], [], f"{ODD[3]}input"
    first, channels = value, 3
    for number, name in enumerate(ODD):
        weight = f"weight{name}"
        weights.append(numpy_helper.from_array(random.normal(size=(4, channels, 1, 1)).astype(np.float32), weight))
        nodes.append(helper.make_node("Conv", [value, weight], [f"{name}{number}"], name=f"{name}node"))
        value, channels = f"{name}{number}", 4
    last = f"{ODD[0]}logits"
    nodes += [
        helper.make_node("GlobalAveragePool", [value], ["pooled"], name=ODD[4]),
        helper.make_node("Flatten", ["pooled"], [last], name=ODD[5]),
    ]
    x = helper.make_tensor_value_info(first, TensorProto.FLOAT, [ODD[6], 3, 8, 8])
    y = helper.make_tensor_value_info(last, TensorProto.FLOAT, [ODD[6], 4])
    graph = helper.make_graph(nodes, ODD[2], [x], [y], weights, doc_string=ODD[1])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8, producer_name=ODD[0])
    model.metadata_props.add(key=ODD[1], value=ODD[2])
    onnx.save(model, path)


def assert_told_plainly(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.suffix in TEXTS]
    assert len(files) > 5
    for path in files:
        assert not steering(path.read_bytes().decode("utf-8")), path


def test_no_name_steers_what_is_told_of_it(run: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd_model(tmp_path / "odd.onnx")
    x = np.random.default_rng(1).normal(size=(12, 3, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x)
    data = ["model=file", "dataset=npz", "dataset.path=data.npz", "tracking=none"]
    quantize = ["calibration.count=4", "target_loss=1000", "metric=sqnr", "quant=amct", "observer=minmax"]
    ended = run("model.path=odd.onnx", *data, *quantize, "target=qdq")
    assert ended.status == 0, ended.err
    assert not steering(ended.out + ended.err)
    done = tmp_path / "outputs" / "acc_auto"
    assert_told_plainly(done)
    (written,) = done.rglob("*_qdq_model.onnx")
    ended = run("mode=convert_qat", f"model.path={written}", *data, "keep_intermediates=true")
    assert ended.status == 0, ended.err
    assert not steering(ended.out + ended.err)
    assert_told_plainly(tmp_path / "outputs" / "convert_qat")
    (deploy,) = (tmp_path / "outputs" / "convert_qat").rglob("*_deploy_model.onnx")
    check_deploy([str(deploy)])
    check_deploy([str(tmp_path / "odd.onnx")])
    told = capsys.readouterr()
    assert told.out and not steering(told.out + told.err)


@pytest.mark.parametrize(
    "wrong", ["metric.output=nosuch", "dataset.inputs={a:x}", "layers=[{match:nosuch,quantize:false}]"]
)
def test_no_name_steers_a_refusal(wrong: str, run: Command, tmp_path: Path) -> None:
    odd_model(tmp_path / "odd.onnx")
    np.savez(tmp_path / "data.npz", x=np.zeros((4, 3, 8, 8), np.float32))
    data = ["model=file", "model.path=odd.onnx", "dataset=npz", "dataset.path=data.npz", "tracking=none"]
    ended = run(*data, "metric=sqnr", wrong)
    assert ended.status == 2 and "Traceback" not in ended.err
    assert not steering(ended.err) and len(ended.err) < 20_000
