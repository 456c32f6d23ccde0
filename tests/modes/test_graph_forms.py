"""Forms of graphs through a whole job: both files are written and proved, and say what the source says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from runner.calibration.minmax import MinMax
from runner.correction.options import Correction
from runner.engine import Engine
from runner.errors import ModelError, VerificationError
from runner.evaluation.distance import Sqnr
from runner.graph.prepare import PreparedGraph, prepare
from runner.job_folder import read_manifest
from runner.modes import prepared_model, rewriting_gap
from runner.modes.acc_auto import acc_auto
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.convert_qat import convert_qat
from runner.modes.layer_settings import LayerSettings
from runner.modes.result import AccAutoResult, ConvertResult
from runner.targets.ascend import check as checking
from tests.data import Items, noise, normal_items
from tests.models import proto

X = normal_items(6, 3, 8, 8)
PRESETS = {
    "amct": Correction(),
    "best": Correction(
        "sequential", True, "compensated", "output", repair=True, pixels=True, equalize=True, balance="auto"
    ),
}
FAKE_QUANT, DEPLOY = "results/net_fake_quant_model.onnx", "results/net_deploy_model.onnx"
SAME = "pads = [1,1,1,1]"
ARRAYS = {
    "w": noise(1, 4, 3, 3, 3) / np.float32(5),
    "b": noise(2, 4),
    "v": noise(3, 4, 4, 3, 3) / np.float32(6),
    "zero": np.float32(0),
    "no": np.array(False),
}


def net(nodes: str, *, outputs: str = "float[1,4,8,8] y", opset: int = 17, functions: str = "") -> onnx.ModelProto:
    """Return the model of ``nodes``, unnamed ones called like what they make; two underscores stand for a dot in names."""
    imports = f'"" : {opset}' + (', "f" : 1' if functions else "")
    text = f"<ir_version: 8, opset_import: [{imports}]> g (float[1,3,8,8] x) => ({outputs}) {{ {nodes} }} {functions}"
    model = onnx.parser.parse_model(text)
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(a), name) for name, a in ARRAYS.items())
    return named(model)


def named(model: onnx.ModelProto) -> onnx.ModelProto:
    for node in model.graph.node:
        node.name = (node.name or node.output[0]).replace("__", ".")
        for values in (node.input, node.output):
            values[:] = [value.replace("__", ".") for value in values]
    return model


def job(folder: Path, model: onnx.ModelProto, preset: str = "amct", **options: object) -> AccAutoResult:
    """Quantize every layer; 60 dB below the ceiling is always met, and the files are proved."""
    path = folder / "source.onnx"
    path.write_bytes(model.SerializeToString())
    chosen = {"target_loss": 59.0, "metric": Sqnr(), "observer": MinMax(), "correction": PRESETS[preset]} | options
    options_ = AccAutoOptions(**chosen, calibration_count=len(X))
    result = acc_auto(path, Items(X), folder / "out", options_, name="net", engine=Engine(1))
    assert result.status == "met" and result.checked is not None
    assert result.checked.proof.sameness.identical == len(X)
    return result


def outputs(path: Path) -> list[list[NDArray]]:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return [session.run(None, {"x": x[np.newaxis]}) for x in X]


def check(folder: Path, result: AccAutoResult, layers: list[str]) -> None:
    """Hold the fake-quant file against the source in plain onnxruntime, and count the layers of the deploy file."""
    assert [layer.name for layer in result.found.layers] == layers and result.fallback == ()
    for ours, source in zip(outputs(folder / "out" / FAKE_QUANT), outputs(folder / "source.onnx"), strict=True):
        for got, expected in zip(ours, source, strict=True):
            assert got.shape == expected.shape
            assert np.abs(got - expected).max() <= 0.06 * np.abs(expected).max()
    deployed = onnx.load(folder / "out" / DEPLOY)
    assert sum(node.op_type == "AscendDequant" for node in deployed.graph.node) == len(layers)
    names = [node.name for node in deployed.graph.node]
    assert len(set(names)) == len(names)


def branches(then: str, other: str, condition: str = "d", output: str = "i") -> str:
    return (
        f"{output} = If ({condition}) <then_branch = t () => (float[1,4,8,8] p) {{ {then} }}, "
        f"else_branch = e () => (float[1,4,8,8] q) {{ {other} }}>"
    )


COMPARE = "m = ReduceMean <keepdims = 0> (x) d = Greater (m, zero)"
FORMS = {
    "a branch hands a layer's output on": (
        f"c = Conv <{SAME}> (x, w, b) {COMPARE} {branches('p = Identity (c)', 'q = Relu (c)')} y = Conv <{SAME}> (i, v)",
        ["c", "y"],
    ),
    "both branches hand it on": (
        f"c = Conv <{SAME}> (x, w, b) {COMPARE} {branches('p = Identity (c)', 'q = Identity (c)')} y = Conv <{SAME}> (i, v)",
        ["c", "y"],
    ),
    "a loop hands it on": (
        f"c = Conv <{SAME}> (x, w, b) n = Constant <value_int = 2> () k = Constant <value_int = 1> () "
        "t = Cast <to = 9> (k) l, s = Loop (n, t, c) <body = body (int64 j, bool u, float[1,4,8,8] a) "
        "=> (bool u2, float[1,4,8,8] a2, float[1,4,8,8] r) { u2 = Identity (u) a2 = Relu (a) r = Identity (c) }> "
        f"z = ReduceMean <axes = [0], keepdims = 0> (s) h = Add (l, z) y = Conv <{SAME}> (h, v)",
        ["c", "y"],
    ),
    "the branch that is taken holds a layer": (
        f"c = Conv <{SAME}> (x, w, b) "
        f"{branches('p = Neg (c)', f'[inner] k = Conv <{SAME}> (c, v) q = Relu (k)', 'no', 'y')}",
        ["c", "y_inner"],
    ),
    "a weight that a branch reads": (
        f"c = Conv <{SAME}> (x, w, b) {COMPARE} "
        f"{branches(f'[inner] p = Conv <{SAME}> (x, w, b)', 'f = ReduceSum <keepdims = 0> (w) q = Add (c, f)')} "
        "y = Add (c, i)",
        ["c"],
    ),
    "a bias that another node reads": (
        f"c = Conv <{SAME}> (x, w, b) s = ReduceSum <keepdims = 0> (b) y = Add (c, s)",
        ["c"],
    ),
    "names that are made here": (
        f"[c] a = Conv <{SAME}> (x, w, b) [c__quant] a1 = Relu (a) [c__dequant] a2 = Conv <{SAME}> (a1, v) "
        "[c__quant__round] a3 = Relu (a2) [c__dequant__quant__mul] a4 = Sigmoid (a3) [c__pixels__mul] y = Tanh (a4)",
        ["c", "c.dequant"],
    ),
    "values called like ours": (
        f"[c] c_output0 = Conv <{SAME}> (x, w, b) c__quant__output0 = Relu (c_output0) "
        f"[k] c__dequant__output0 = Conv <{SAME}> (c__quant__output0, v) c__weight = Relu (c__dequant__output0) "
        "y = Neg (c__weight)",
        ["c", "k"],
    ),
}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("form", FORMS)
def test_form_of_a_graph_is_written_and_proved(form: str, preset: str, tmp_path: Path) -> None:
    nodes, layers = FORMS[form]
    check(tmp_path, job(tmp_path, net(nodes), preset), layers)


@pytest.mark.parametrize("opset", [9, 11, 18, 21])
def test_bodies_and_taken_branches_are_kept_at_every_opset(opset: int, tmp_path: Path) -> None:
    taken = branches("p = Neg (c)", f"[inner] k = Conv <{SAME}> (c, v) q = Relu (k)", "no", "h")
    handed = branches("p = Identity (h)", "q = Identity (h)")
    nodes = f"c = Conv <{SAME}> (x, w, b) {COMPARE} {taken} {handed} y = Conv <{SAME}> (i, v)"
    check(tmp_path, job(tmp_path, net(nodes, opset=opset)), ["c", "h_inner", "y"])


OUTPUTS = {
    "a weight": (f"y = Conv <{SAME}> (x, w, b)", "float[1,4,8,8] y, float[4,3,3,3] w"),
    "a bias": (f"y = Conv <{SAME}> (x, w, b)", "float[1,4,8,8] y, float[4] b"),
    "a weight into which BatchNormalization is folded": (
        f"c = Conv <{SAME}> (x, w, b) y = BatchNormalization (c, b, b, b, one)",
        "float[1,4,8,8] y, float[4,3,3,3] w, float[4] b",
    ),
    "a weight that two layers share": (
        f"c = Conv <{SAME}> (x, w, b) r = Relu (c) y = Conv <{SAME}> (r, v) z = Conv <{SAME}> (c, v)",
        "float[1,4,8,8] y, float[1,4,8,8] z, float[4,4,3,3] v",
    ),
    "a layer's output under two names": (
        f"y = Conv <{SAME}> (x, w, b) z = Identity (y)",
        "float[1,4,8,8] y, float[1,4,8,8] z",
    ),
}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("what", OUTPUTS)
def test_constant_that_is_an_output_of_the_model_is_given_as_it_was(what: str, preset: str, tmp_path: Path) -> None:
    nodes, outs = OUTPUTS[what]
    model = net(nodes, outputs=outs)
    model.graph.initializer.append(numpy_helper.from_array(np.full(4, 1.5, np.float32), "one"))
    result = job(tmp_path, model, preset)
    check(tmp_path, result, [layer.name for layer in result.found.layers])
    names = [value.name for value in model.graph.output]
    for got in outputs(tmp_path / "out" / FAKE_QUANT):
        for name, value in zip(names, got, strict=True):
            assert name not in ARRAYS or np.array_equal(value, ARRAYS[name])


def test_weight_of_a_half_precision_model_that_is_an_output_keeps_its_name_and_type(tmp_path: Path) -> None:
    half = onnx.TensorProto.FLOAT16
    values = [helper.make_tensor_value_info(name, half, None) for name in ("y", "w")]
    given = helper.make_tensor_value_info("x", half, [1, 3, 8, 8])
    node = helper.make_node("Conv", ["x", "w"], ["y"], "c", pads=[1, 1, 1, 1])
    weight = numpy_helper.from_array(ARRAYS["w"].astype(np.float16), "w")
    model = helper.make_model(
        helper.make_graph([node], "g", [given], values, [weight]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    path = tmp_path / "source.onnx"
    path.write_bytes(model.SerializeToString())
    options = AccAutoOptions(target_loss=59.0, metric=Sqnr(), observer=MinMax(), calibration_count=len(X))
    x = X.astype(np.float16)
    result = acc_auto(path, Items(x), tmp_path / "out", options, name="net", engine=Engine(1))
    assert result.checked is not None and result.checked.proof.sameness.identical == len(x)
    session = ort.InferenceSession(str(tmp_path / "out" / FAKE_QUANT), providers=["CPUExecutionProvider"])
    _, w = session.run(None, {"x": x[:1]})
    assert w.dtype == np.float16 and np.array_equal(w, ARRAYS["w"].astype(np.float16))


@pytest.mark.parametrize("preset", PRESETS)
def test_functions_sparse_weights_and_the_other_domain_name_together(preset: str, tmp_path: Path) -> None:
    functions = f'<domain: "f", opset_import: ["" : 17]> Block (X, W) => (Y) {{ [inner] Y = Conv <{SAME}> (X, W) }}'
    model = net("a = f.Block (x, w) y = f.Block (a, u)", functions=functions)
    dense = np.where(np.abs(ARRAYS["v"]) < 0.1, 0, ARRAYS["v"]).astype(np.float32)
    values = numpy_helper.from_array(dense[dense != 0], "u")
    places = numpy_helper.from_array(np.flatnonzero(dense).astype(np.int64), "places")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, list(dense.shape)))
    next(entry for entry in model.opset_import if entry.domain == "").domain = "ai.onnx"
    check(tmp_path, job(tmp_path, model, preset), ["inner", "inner_2"])
    written = onnx.load(tmp_path / "out" / DEPLOY)
    assert [entry.domain for entry in written.opset_import] == [""]
    assert not written.functions and not written.graph.sparse_initializer


# --- weights that layers share

STEPS = 5
ROWS = normal_items(6, 64)


def unrolled() -> onnx.ModelProto:
    lines = " ".join(f"g{t} = Gemm (t{t - 1}, w, b) t{t} = Tanh (g{t})" for t in range(1, STEPS + 1)).replace(
        "(t0,", "(x,"
    )
    model = proto(
        f"g (float[1,64] x) => (float[1,64] t{STEPS}) {{ {lines} }}", w=noise(2, 64, 64) / np.float32(8), b=noise(3, 64)
    )
    for node in model.graph.node:
        node.name = node.output[0]
    return model


def rolled(folder: Path, **options: object) -> AccAutoResult:
    path = folder / "source.onnx"
    path.write_bytes(unrolled().SerializeToString())
    chosen = {"target_loss": 59.0, "metric": Sqnr(), "observer": MinMax(), "calibration_count": len(ROWS)} | options
    return acc_auto(path, Items(ROWS), folder / "out", AccAutoOptions(**chosen), name="net", engine=Engine(1))


def stored(path: Path, dtype: int) -> int:
    return sum(t.data_type == dtype and list(t.dims) == [64, 64] for t in onnx.load(path).graph.initializer)


def test_weight_that_layers_share_is_written_once_in_both_files_and_proved(tmp_path: Path) -> None:
    result = rolled(tmp_path)
    assert result.checked is not None and result.checked.proof.sameness.identical == len(ROWS)
    assert len(result.form.layers) == STEPS
    assert stored(tmp_path / "out" / DEPLOY, onnx.TensorProto.INT8) == 1
    assert stored(tmp_path / "out" / FAKE_QUANT, onnx.TensorProto.FLOAT) == 1


def test_layer_that_stays_float_shares_the_float_weight_and_reads_what_it_read(tmp_path: Path) -> None:
    skipped = LayerSettings(skip_layers=["g2", "g4"])
    result = rolled(tmp_path, settings=skipped)
    assert result.checked is not None and result.checked.proof.sameness.identical == len(ROWS)
    assert list(result.form.layers) == ["g1", "g3", "g5"]
    deployed = onnx.load(tmp_path / "out" / DEPLOY)
    assert stored(tmp_path / "out" / DEPLOY, onnx.TensorProto.INT8) == 1
    assert stored(tmp_path / "out" / DEPLOY, onnx.TensorProto.FLOAT) == 1
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in deployed.graph.initializer}
    for node in deployed.graph.node:
        if node.name in ("g2", "g4"):
            assert np.array_equal(held[node.input[1]], numpy_helper.to_array(unrolled().graph.initializer[0]))


def test_record_of_shared_weights_gives_the_same_files_again(tmp_path: Path) -> None:
    for name in ("first", "again"):
        (tmp_path / name).mkdir()
    rolled(tmp_path / "first", settings=LayerSettings(skip_layers=["g2"]))
    record = tmp_path / "first" / "out" / "tmp" / "scale_offset_record.txt"
    rolled(tmp_path / "again", record=record)
    for file in (DEPLOY, FAKE_QUANT):
        first, again = (tmp_path / name / "out" / file for name in ("first", "again"))
        assert first.read_bytes() == again.read_bytes()


# --- what is not proved


@pytest.mark.parametrize("error", [VerificationError("1 fault"), RuntimeError("another fault")])
@pytest.mark.parametrize("mode", ["acc_auto", "convert_qat"])
def test_pair_that_is_not_proved_is_removed(
    mode: str, error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(*arguments: object, **named: object) -> None:
        raise error

    monkeypatch.setattr(checking, "prove", faulty)
    with pytest.raises(type(error)):
        if mode == "acc_auto":
            job(tmp_path, net(f"y = Conv <{SAME}> (x, w, b)"))
        else:
            qdq(tmp_path, "y = Conv (a, w1)")
    assert not list((tmp_path / "out").rglob("*.onnx"))
    assert read_manifest(tmp_path / "out") == {}


def qdq(folder: Path, nodes: str, outputs: str = "float[1,4,8,8] y") -> ConvertResult:
    text = (
        f"g (float[1,3,8,8] x) => ({outputs}) {{ k0 = QuantizeLinear (x, s, z) a = DequantizeLinear (k0, s, z) "
        f"w1 = DequantizeLinear (codes, s, z) {nodes} }}"
    )
    codes = np.random.default_rng(1).integers(-127, 128, (4, 3, 1, 1)).astype(np.int8)
    model = named(proto(text, s=np.float32(0.03), z=np.int8(0), codes=codes, no=np.array(False)))
    path = folder / "source.onnx"
    path.write_bytes(model.SerializeToString())
    result = convert_qat(path, Items(X), folder / "out", name="net", engine=Engine(1))
    assert result.checked.proof.sameness.identical == len(X)
    return result


def test_qat_layer_in_a_branch_that_is_always_taken_is_taken_over(tmp_path: Path) -> None:
    inside = "k = QuantizeLinear (x, s, z) l = DequantizeLinear (k, s, z) [inner] q = Conv (l, w1)"
    result = qdq(tmp_path, branches("p = Conv (a, w1)", inside, "no", "y"))
    assert list(result.form.layers) == ["y_inner"]


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        ("[conv] c = Conv (a, w1) [conv__dequant] y = Relu (c)", "float[1,4,8,8] y"),
        ("[conv] c = Conv (a, w1) [conv__quant__mul] y = Relu (c)", "float[1,4,8,8] y"),
        ("[conv] y = Conv (a, w1)", "float[1,4,8,8] y, float[4,3,1,1] w1"),
        (
            "[conv] c = Conv (a, w1) [y__output] r = Relu (c) k = QuantizeLinear (r, s, z) y = DequantizeLinear (k, s, z)",
            "float[1,4,8,8] y",
        ),
        (
            "[conv] c = Conv (a, w1) [add] e = Add (a, a) [add__0__anti_quant] r = Relu (e) [add__1__anti_quant] t = Neg (r) "
            "y = Concat <axis = 1> (c, t)",
            "float[1,7,8,8] y",
        ),
    ],
    ids=["dequant", "quant", "weight", "output", "anti_quant"],
)
def test_names_of_a_qat_model_may_be_those_that_are_made_here(nodes: str, outputs: str, tmp_path: Path) -> None:
    qdq(tmp_path, nodes, outputs)


def test_outputs_near_zero_behind_a_sigmoid_may_move_as_far_as_onnxruntime_moves_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    model = proto(
        """g (float[1,3,8,8] x) => (float[1,4,8,8] y) {
            [c] c = Conv (x, w) [n] n = BatchNormalization (c, gamma, beta, mean, var) [s] y = Sigmoid (n)
        }""",
        w=noise(9, 4, 3, 1, 1),
        gamma=rng.uniform(0.5, 2, 4).astype(np.float32),
        beta=np.full(4, -17, np.float32),
        mean=noise(10, 4),
        var=rng.uniform(0.5, 2, 4).astype(np.float32),
    )
    result = job(tmp_path, model)
    # More than one rounding of folded weights does to outputs of ordinary size.
    assert result.rewriting_gap > 1e-3
    assert np.abs(outputs(tmp_path / "source.onnx")[0][0]).max() < 1e-4


@pytest.mark.parametrize("place", [0, 1])
def test_output_that_is_nan_in_one_model_only_is_no_small_gap(place: int) -> None:
    before = [np.ones(3, np.float32), np.ones(3, np.float32)]
    after = [array.copy() for array in before]
    after[place][1] = np.nan
    assert np.isnan(rewriting_gap._largest_gap(before, after))
    assert rewriting_gap._largest_gap(before, before) == 0.0


def test_rewriting_that_moves_the_outputs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(*arguments: Any, **options: Any) -> PreparedGraph:
        made = prepare(*arguments, **options)
        made.graph.graph.initializers["w"].const_value = ir.tensor(ARRAYS["w"] * np.float32(1.01))
        return made

    monkeypatch.setattr(prepared_model, "prepare", faulty)
    with pytest.raises(
        ModelError,
        match=r"gives other outputs than .* as exported: by 0\.0\d+ of their largest value, expected at most 0\.001",
    ):
        job(tmp_path, net(f"y = Conv <{SAME}> (x, w)"))
