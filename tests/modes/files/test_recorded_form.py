"""Forms built from records made by hand, against the formulas; and each error of AMCT's table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runner.calibration.quantize import Quantization
from runner.convert.fake_quant import fake_quant_model
from runner.errors import RecordError
from runner.modes.files.recorded_form import recorded_form
from runner.modes.prepared_model import PreparedModel, load_prepared
from runner.record_text import parse_record
from runner.targets.qdq.target import Qdq
from tests.data import normal_items
from tests.models import onnx_text, run_plain, save

F = np.float32
W = np.array([[0.5, -1.0], [0.25, 0.75], [1.0, 0.0]], F).reshape(3, 2, 1, 1)
B = np.array([1.0, -2.0, 0.5], F)
G = np.array([[0.5], [-0.25], [1.0]], F)
MODEL = onnx_text(
    """g (float[N,2,4,4] x) => (float[N,1] z) {
        c = Conv (x, w, b)
        r = Relu (c)
        s = Add (r, c)
        a = AveragePool <kernel_shape = [2,2]> (s)
        p = GlobalAveragePool (a)
        f = Flatten (p)
        z = Gemm (f, g)
    }""",
    w=W,
    b=B,
    g=G,
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> PreparedModel:
    return load_prepared(save(MODEL, tmp_path_factory.mktemp("model") / "net.onnx"))


def entry(key: str, value: str) -> str:
    return f'record {{ key: "{key}" value {{ {value} }} }}'


def formed(prepared: PreparedModel, *entries: str) -> Quantization:
    return recorded_form(parse_record("".join(entries), "r.txt"), prepared, "r.txt")


ACT = "scale_d: 0.05 offset_d: -3"
CONV = entry("c", f"{ACT} scale_w: 0.01 scale_w: 0.02 scale_w: 0.004 offset_w: 0 offset_w: 0 offset_w: 0")


def test_integers_follow_the_scales_of_the_record(prepared: PreparedModel) -> None:
    layer = formed(prepared, CONV).form.layers["c"]
    scales = np.array([0.01, 0.02, 0.004], F)
    assert np.array_equal(layer.weight, np.clip(np.rint(W / scales.reshape(3, 1, 1, 1)), -128, 127))
    assert layer.weight[2, 0, 0, 0] == 127  # 250 does not fit: the record's scale counts
    deq = F(0.05) * scales
    assert np.array_equal(layer.bias, np.rint(B.astype(float) / deq.astype(float)))


def test_weights_are_multiplied_by_the_balance_factors(prepared: PreparedModel) -> None:
    layer = formed(
        prepared, entry("c", f"{ACT} scale_w: 0.007 tensor_balance_factor: 0.5 tensor_balance_factor: 0.25")
    ).form.layers["c"]
    assert np.array_equal(layer.weight.reshape(3, 2), [[36, -36], [18, 27], [71, 0]])
    assert layer.record.balance_factors == (0.5, 0.25)


def test_one_scale_serves_a_convolution(prepared: PreparedModel) -> None:
    layer = formed(prepared, entry("c", f"{ACT} scale_w: 0.01")).form.layers["c"]
    assert np.array_equal(layer.weight.reshape(3, 2), [[50, -100], [25, 75], [100, 0]])
    assert layer.record.weight_scales == (float(F(0.01)),)


def test_tensor_entry_rounds_that_input_alone(prepared: PreparedModel) -> None:
    form = formed(prepared, CONV, entry("s:1", "scale_d: 0.5 offset_d: 2 is_tensor_quantize: true")).form
    x = normal_items(3, 2, 4, 4)
    model = fake_quant_model(prepared.runnable, form)
    for r, c, s in run_plain(model, x, ["r", "c", "s"]):
        rounded = (np.clip(np.rint(c / F(0.5) + 2), -128, 127) - 2) * F(0.5)
        np.testing.assert_allclose(s, r + rounded, rtol=1e-6, atol=1e-6)


def test_order_of_the_record_does_not_matter(prepared: PreparedModel) -> None:
    gemm = entry("z", f"{ACT} scale_w: 0.01")
    assert list(formed(prepared, gemm, CONV).form.layers) == ["c", "z"]


def test_layer_whose_bias_exceeds_int32_stays_float(prepared: PreparedModel) -> None:
    found = formed(prepared, entry("c", "scale_d: 1e-6 offset_d: 0 scale_w: 1e-6"))
    assert not found.form.layers and "exceeds int32" in found.impossible[0].reason


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ("", "r.txt: the record holds no layer"),
        ("record {", "r.txt:1: expected a record in protobuf text format"),
        (entry("none", f"{ACT} scale_w: 1"), "r.txt: find none failure in "),
        (entry("r", f"{ACT} scale_w: 1"), "r.txt: layer r cannot be quantized: it is of type Relu."),
        (entry("p", f"{ACT} scale_w: 1"), "r.txt: layer p cannot be quantized: GlobalAveragePool"),
        (entry("c", "offset_d: 0 scale_w: 1"), "r.txt: layer 'c' has no scale_d"),
        (entry("c", "scale_d: 1 scale_w: 1"), "r.txt: layer 'c' has no offset_d"),
        (entry("c", ACT), "r.txt: layer 'c' has no scale_w"),
        (entry("c", f"{ACT} scale_w: 1 scale_w: 1"), "r.txt: scale_w of layer 'c' has 2 entries; expected 1 or 3, one"),
        (
            entry("z", f"{ACT} scale_w: 1 scale_w: 1"),
            "r.txt: scale_w of layer 'z' has 2 entries; expected 1 for a Gemm",
        ),
        (entry("c", f"{ACT} scale_w: 1 shift_bit: 3"), "r.txt: layer 'c' has a nonzero shift_bit"),
        (entry("c", f"{ACT} scale_w: 1 offset_w: 1"), "r.txt: layer 'c' has a nonzero offset_w"),
        (
            entry("c", f"{ACT} scale_w: 1 tensor_balance_factor: 2"),
            "r.txt: tensor_balance_factor of layer 'c' has 1 entries; expected 2, one per input channel.",
        ),
        (
            entry("c", f"{ACT} scale_w: 1 tensor_balance_factor: 2 tensor_balance_factor: 0"),
            "r.txt: layer 'c': balance factors must lie between FLT_EPSILON and 1/FLT_EPSILON, got 0.0.",
        ),
        (
            entry("a", f"{ACT} scale_w: 1 tensor_balance_factor: 2"),
            "r.txt: tensor_balance_factor of layer 'a': AveragePool has no weight to balance its input with; expected none.",
        ),
        (
            entry("c", f'{ACT} scale_w: 1 op_data_type: "INT4"'),
            "r.txt: layer 'c' has op_data_type INT4; expected FLOAT32",
        ),
        (entry("s", f"{ACT} is_tensor_quantize: true"), "r.txt: tensor 's': expected a key <node>:<input index>"),
        (entry("n:0", f"{ACT} is_tensor_quantize: true"), "r.txt: tensor 'n:0': find n failure in "),
        (entry("s:2", f"{ACT} is_tensor_quantize: true"), "r.txt: tensor 's:2': node 's' has no input 2; it has 2."),
        (
            entry("c:1", f"{ACT} is_tensor_quantize: true"),
            "only a float32 activation is quantized as a tensor, got a con",
        ),
    ],
    ids=lambda value: str(value)[-50:],
)
def test_each_error_has_its_message(prepared: PreparedModel, entries: str, message: str) -> None:
    with pytest.raises(RecordError) as error:
        formed(prepared, entries)
    assert message in str(error.value) and str(error.value).startswith("r.txt")


def test_message_names_the_model(prepared: PreparedModel) -> None:
    with pytest.raises(RecordError) as error:
        formed(prepared, entry("none", f"{ACT} scale_w: 1"))
    assert str(Path("net.onnx")) in str(error.value) and "Please match" in str(error.value)


def test_offset_before_a_convolution_over_three_axes_is_refused(tmp_path: Path) -> None:
    volume = onnx_text(
        "g (float[N,1,2,2,2] x) => (float[N,1,2,2,2] y) { y = Conv (x, w) }", w=np.ones((1, 1, 1, 1, 1), F)
    )
    prepared = load_prepared(save(volume, tmp_path / "net.onnx"))
    assert formed(prepared, entry("y", "scale_d: 0.5 offset_d: 0 scale_w: 0.01")).form.layers
    with pytest.raises(
        RecordError, match=r"r\.txt: offset_d of layer 'y' is -3; expected 0 before a convolution over 3"
    ):
        formed(prepared, entry("y", f"{ACT} scale_w: 0.01"))


def test_integers_beside_the_record_are_taken_as_they_are(prepared: PreparedModel) -> None:
    weight, bias = np.full((3, 2, 1, 1), 7, np.int8), np.array([1, 2, 3], np.int32)
    layer = recorded_form(parse_record(CONV, "r.txt"), prepared, "r.txt", {"c": (weight, bias, None)}).form.layers["c"]
    assert layer.weight is weight
    assert layer.bias is bias


@pytest.mark.parametrize("shape", [(3, 2), (4, 2, 1, 1)])
def test_integers_of_another_model_are_refused(prepared: PreparedModel, shape: tuple[int, ...]) -> None:
    expected = (
        r"r\.txt: the integers beside it hold a weight of shape \[.*\] for layer 'c'; expected \[3, 2, 1, 1\]\. .* take"
    )
    with pytest.raises(RecordError, match=expected):
        recorded_form(parse_record(CONV, "r.txt"), prepared, "r.txt", {"c": (np.zeros(shape, np.int8), None, None)})


DENSE = onnx_text(
    "g (float[N,3] x) => (float[N,2] y) { m = MatMul (x, w)\n s = Add (m, b)\n k = MatMul (s, v)\n y = Relu (k) }",
    w=np.ones((3, 2), F),
    b=np.zeros(2, F),
    v=np.ones((2, 2), F),
)


def with_shift(folder: Path, layer: str, shift: list[float]) -> Quantization:
    prepared = load_prepared(save(DENSE, folder / "net.onnx"))
    weight = np.ones((3, 2) if layer == "m" else (2, 2), np.int8)
    integers = {layer: (weight, None, np.array(shift, F))}
    record = parse_record(entry(layer, f"{ACT} scale_w: 0.01"), "r.txt")
    return recorded_form(record, prepared, "r.txt", integers)


def test_shift_beside_the_record_is_taken_as_it_is(tmp_path: Path) -> None:
    shift = with_shift(tmp_path, "m", [0.1, -1e-9]).form.layers["m"].shift
    assert shift is not None and shift.tolist() == [float(F(0.1)), float(F(-1e-9))]


@pytest.mark.parametrize(("layer", "shift"), [("m", [0.1]), ("k", [0.1, 0.2])], ids=["channels", "no Add behind"])
def test_shift_of_another_model_is_refused(tmp_path: Path, layer: str, shift: list[float]) -> None:
    expected = (
        rf"r\.txt: the integers beside it hold a shift of shape \[{len(shift)}\] for layer '{layer}'; expected a MatMul and "
        r"an Add of a constant of 2 values behind it\. They belong to another model; take the file away"
    )
    with pytest.raises(RecordError, match=expected):
        with_shift(tmp_path, layer, shift)


@pytest.fixture(scope="module")
def around_zero(tmp_path_factory: pytest.TempPathFactory) -> PreparedModel:
    path = save(MODEL, tmp_path_factory.mktemp("around_zero") / "net.onnx")
    return load_prepared(path, target=Qdq(for_="tensorrt"))


SYMMETRIC = f"scale_d: 0.05 offset_d: 0 {' '.join(3 * ['scale_w: 0.01 offset_w: 0'])}"


@pytest.mark.parametrize(
    ("entries", "place"),
    [
        ([CONV], "r.txt: offset_d of layer 'c' is -3"),
        (
            [entry("c", SYMMETRIC), entry("s:1", "scale_d: 0.5 offset_d: 2 is_tensor_quantize: true")],
            "r.txt: tensor 's:1': offset_d is 2",
        ),
    ],
)
def test_record_with_offsets_does_not_fit_a_target_around_zero(
    entries: list[str], place: str, around_zero: PreparedModel
) -> None:
    with pytest.raises(RecordError) as error:
        formed(around_zero, *entries)
    assert str(error.value) == (
        f"{place}; expected 0: the target takes no other of any input. Give a record that was made for it, or none."
    )


def test_record_around_zero_fits_such_a_target(around_zero: PreparedModel) -> None:
    form = formed(around_zero, entry("c", SYMMETRIC)).form
    assert list(form.layers) == ["c"]
