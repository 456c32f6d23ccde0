"""Files that are models, and everything else that a path can name."""

import hashlib

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.errors import ModelError
from runner.graph.model_file import file_sha256, fits_one_file, load_model, model_bytes, weights_size
from tests.data import noise
from tests.models import model, proto, run_plain

GRAPH = "g (float[1,8] x) => (float[1,4] y) { [head] y = Gemm(x, w, b) }"


def gemm(make=model):
    return make(GRAPH, w=noise(0, 8, 4), b=noise(1, 4))


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(gemm(proto).SerializeToString())
    return path


def test_a_model_is_read_with_its_path_and_hash(stored):
    source = load_model(str(stored))
    assert source.path == stored
    assert source.sha256 == hashlib.sha256(stored.read_bytes()).hexdigest()
    assert [node.name for node in source.graph.graph] == ["head"]


def test_nodes_that_stand_behind_their_readers_are_put_before_them(tmp_path):
    made = proto("g (float[1,8] x) => (float[1,8] y) { [a] h = Relu(x) [b] i = Neg(h) [c] y = Exp(i) }")
    nodes = list(made.graph.node)
    del made.graph.node[:]
    made.graph.node.extend([nodes[2], nodes[0], nodes[1]])
    path = tmp_path / "model.onnx"
    path.write_bytes(made.SerializeToString())
    read = load_model(path).graph.clone()
    assert [node.op_type for node in read.graph] == ["Relu", "Neg", "Exp"]
    x = noise(3, 2, 8)
    np.testing.assert_allclose(run_plain(read, x, ["y"])[1][0], np.exp(-np.maximum(x[1:], 0)), rtol=1e-6)


def test_graph_in_a_circle_is_refused(tmp_path):
    made = proto("g (float[1,8] x) => (float[1,8] y) { [a] h = Add(x, x) [b] y = Exp(h) }")
    made.graph.node[0].input[1] = "y"
    path = tmp_path / "model.onnx"
    path.write_bytes(made.SerializeToString())
    with pytest.raises(ModelError, match=r"cannot be read as ONNX: .*cycle"):
        load_model(path)


def test_a_model_comes_back_from_its_bytes(tmp_path):
    path = tmp_path / "copy.onnx"
    path.write_bytes(model_bytes(gemm()))
    assert onnx.load(path) == ir.to_proto(gemm())


def test_the_same_model_gives_the_same_bytes():
    assert model_bytes(gemm()) == model_bytes(gemm().clone())


def test_hash_of_a_long_file_is_that_of_all_its_bytes(tmp_path):
    data = np.random.default_rng(0).bytes(3 * 2**20 + 17)
    (tmp_path / "long").write_bytes(data)
    assert file_sha256(tmp_path / "long") == hashlib.sha256(data).hexdigest()


def test_size_of_the_weights_is_counted_in_bytes():
    assert weights_size(gemm()) == (8 * 4 + 4) * 4
    assert fits_one_file(gemm())


def test_missing_file_is_named_with_the_option_to_set(tmp_path):
    with pytest.raises(ModelError, match=r"model\.path: .*none\.onnx does not exist; .*Set model\.path=FILE\.onnx"):
        load_model(tmp_path / "none.onnx")


def test_folder_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"model\.path: .* is a folder; expected an ONNX file"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", r"holds no ONNX graph \(no nodes or no opset\)", id="empty"),
        pytest.param(
            b"just some text\n", r"\(15 bytes\) cannot be read as ONNX: .* truncated or of another", id="text"
        ),
        pytest.param(b"\x89PNG\r\n\x1a\n" * 9, r"\(72 bytes\) cannot be read as ONNX: ", id="image"),
        pytest.param(np.random.default_rng(0).bytes(1000), r"\(1000 bytes\) cannot be read as ONNX: ", id="random"),
        pytest.param(b"\x08\x08", r"holds no ONNX graph", id="header_only"),
    ],
)
def test_file_of_another_kind_is_refused(tmp_path, content, message):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        load_model(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_truncated_file_is_refused(stored, share):
    data = stored.read_bytes()
    stored.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ModelError, match=r"truncated or of another kind; export or copy it again|holds no ONNX graph"):
        load_model(stored)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_file_is_read_or_refused_but_never_a_crash(tmp_path, data):
    content = bytearray(gemm(proto).SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.onnx"
    path.write_bytes(content)
    try:
        load_model(path)
    except ModelError as error:
        assert "model.path" in str(error)


def test_file_that_may_not_be_read_is_refused(stored, monkeypatch):
    def refuse(path, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(onnx, "load", refuse)
    with pytest.raises(ModelError, match=r"cannot be read as ONNX: .*Permission denied"):
        load_model(stored)


@pytest.fixture
def external(tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save(gemm(proto), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    return path


def test_weights_beside_the_model_are_found(external):
    weight = load_model(external).graph.graph.initializers["w"].const_value.numpy()
    assert np.array_equal(weight, noise(0, 8, 4))


def test_missing_weights_beside_the_model_are_named(external):
    (external.parent / "weights.bin").unlink()
    with pytest.raises(ModelError, match=r"keeps the weight '[wb]' in .*weights\.bin, which does not exist"):
        load_model(external)


def test_graph_without_an_opset_is_refused(tmp_path):
    bare = gemm(proto)
    del bare.opset_import[:]
    (tmp_path / "bare.onnx").write_bytes(bare.SerializeToString())
    with pytest.raises(ModelError, match=r"holds no ONNX graph \(no nodes or no opset\)"):
        load_model(tmp_path / "bare.onnx")
