"""What a file says in another spelling is the same model, against onnxruntime on the file as it is."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import set_external_data

from runner.errors import ModelError
from runner.graph import spelling
from runner.graph.model_file import load_model
from runner.session import REFERENCE, Session
from tests.data import noise
from tests.models import proto

X = noise(7, 2, 6)


def ours(path):
    """Return the outputs of the model as it was read."""
    return Session(load_model(path).graph, REFERENCE).run({"x": X})


def as_it_is(path):
    return ort.InferenceSession(str(path)).run(None, {"x": X})


def saved(tmp_path, model):
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def sparse(array, name, *, linear, places=None):
    """Return a SparseTensorProto of what is not zero in ``array``."""
    found = np.flatnonzero(array) if linear else np.argwhere(array)
    indices = numpy_helper.from_array(np.asarray(found if places is None else places, np.int64), f"{name}.places")
    values = numpy_helper.from_array(array[array != 0], name)
    return helper.make_sparse_tensor(values, indices, list(array.shape))


def holes(seed, *shape):
    array = noise(seed, *shape)
    return np.where(np.abs(array) < 0.8, 0, array).astype(np.float32)


def with_sparse_weight(*, linear):
    model = proto("g (float[2,6] x) => (float[2,4] y) { [mm] y = MatMul(x, w) }")
    model.graph.sparse_initializer.append(sparse(holes(1, 6, 4), "w", linear=linear))
    return model


@pytest.mark.parametrize("linear", [True, False])
def test_sparse_initializer_is_read_as_the_dense_tensor_it_means(tmp_path, linear):
    path = saved(tmp_path, with_sparse_weight(linear=linear))
    graph = load_model(path).graph.graph
    assert np.array_equal(graph.initializers["w"].const_value.numpy(), holes(1, 6, 4))
    assert np.array_equal(ours(path)[0], as_it_is(path)[0])


def test_sparse_value_of_a_constant_node_is_read_as_the_dense_tensor_it_means(tmp_path):
    model = proto("g (float[2,6] x) => (float[2,4] y) { [mm] y = MatMul(x, w) }")
    node = helper.make_node("Constant", [], ["w"], "w", sparse_value=sparse(holes(1, 6, 4), "", linear=True))
    model.graph.node.insert(0, node)
    path = saved(tmp_path, model)
    attribute = load_model(path).graph.graph[0].attributes["value"]
    assert np.array_equal(attribute.as_tensor().numpy(), holes(1, 6, 4))
    np.testing.assert_allclose(ours(path)[0], X @ holes(1, 6, 4), atol=1e-6)


def test_sparse_initializer_of_a_body_is_read_too(tmp_path):
    model = proto(
        """g (float[2,6] x, bool c) => (float[2,6] y) {
            y = If(c) <then_branch = t () => (float[2,6] a) { a = Mul(x, k) },
                       else_branch = e () => (float[2,6] b) { b = Neg(x) }>
        }"""
    )
    (then,) = [a.g for a in model.graph.node[0].attribute if a.name == "then_branch"]
    then.sparse_initializer.append(sparse(holes(2, 2, 6), "k", linear=False))
    got = Session(load_model(saved(tmp_path, model)).graph, REFERENCE).run({"x": X, "c": np.array(True)})
    assert np.array_equal(got[0], X * holes(2, 2, 6))


def test_sparse_values_in_a_file_of_their_own_are_read(tmp_path):
    model = with_sparse_weight(linear=True)
    values = model.graph.sparse_initializer[0].values
    (tmp_path / "w.bin").write_bytes(values.raw_data)
    set_external_data(values, "w.bin")
    values.ClearField("raw_data")
    values.data_location = TensorProto.EXTERNAL
    assert np.array_equal(
        load_model(saved(tmp_path, model)).graph.graph.initializers["w"].const_value.numpy(), holes(1, 6, 4)
    )


@pytest.mark.parametrize(
    ("places", "linear"), [([24], True), ([-1], True), ([[6, 0]], False), ([0, 1], True), ([[0, 0, 0]], False)]
)
def test_places_that_do_not_fit_the_shape_are_refused(tmp_path, places, linear):
    one = np.zeros((6, 4), np.float32)
    one[0, 0] = 1
    model = proto("g (float[2,6] x) => (float[2,4] y) { [mm] y = MatMul(x, w) }")
    model.graph.sparse_initializer.append(sparse(one, "w", linear=linear, places=places))
    with pytest.raises(
        ModelError, match=r"the sparse constant 'w' of shape \[6, 4\] has 1 values at .* indices; expected"
    ):
        load_model(saved(tmp_path, model))


def test_sparse_constant_that_no_memory_holds_is_refused_with_its_size(tmp_path, monkeypatch):
    model = with_sparse_weight(linear=True)
    del model.graph.sparse_initializer[0].dims[:]
    model.graph.sparse_initializer[0].dims.extend([3_000_000, 1_000_000])
    with pytest.raises(
        ModelError, match=r"shape \[3000000, 1000000\] takes 12,000 GB .*; expected at most 8 GB\. Keep"
    ):
        load_model(saved(tmp_path, model))
    monkeypatch.setattr(spelling, "LARGEST_DENSE", 96)
    assert load_model(saved(tmp_path, with_sparse_weight(linear=True))) is not None


def in_both_names(*, nodes, twice):
    """Return a model with a body and a function that call the default domain ``ai.onnx``."""
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17, "f" : 1]>
        g (float[2,6] x) => (float[2,6] y) {
            m = ReduceMean <keepdims = 0> (x)
            c = Greater (m, zero)
            i = If (c) <then_branch = t () => (float[2,6] a) { a = Abs (x) },
                        else_branch = e () => (float[2,6] b) { b = Neg (x) }>
            y = f.Twice (i)
        }
        <domain: "f", opset_import: ["" : 17]>
        Twice (q) => (r) { r = Add (q, q) }"""
    )
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0), "zero"))
    for holder in (model, model.functions[0]):
        entry = next(entry for entry in holder.opset_import if entry.domain == "")
        if twice:
            holder.opset_import.append(helper.make_opsetid("ai.onnx", entry.version))
        else:
            entry.domain = "ai.onnx"
    if nodes:
        bodies = [a.g for node in model.graph.node for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]
        for holder in (model.graph, model.functions[0], *bodies):
            for node in holder.node:
                node.domain = node.domain or "ai.onnx"
    return model


@pytest.mark.parametrize("nodes", [True, False])
@pytest.mark.parametrize("twice", [True, False])
def test_default_domain_by_its_other_name_is_the_default_domain(tmp_path, nodes, twice):
    path = saved(tmp_path, in_both_names(nodes=nodes, twice=twice))
    model = load_model(path).graph
    assert model.opset_imports == {"": 17, "f": 1}
    assert [dict(function.opset_imports) for function in model.functions.values()] == [{"": 17}]
    every = [*model.graph.all_nodes(), *(node for function in model.functions.values() for node in function)]
    assert {node.domain for node in every} == {"", "f"}
    # onnxruntime itself reads the other name in a model's imports, but not in a function's.
    np.testing.assert_array_equal(ours(path)[0], 2 * (np.abs(X) if X.mean() > 0 else -X))


def test_two_versions_of_the_default_domain_are_refused(tmp_path):
    model = in_both_names(nodes=False, twice=True)
    model.opset_import[-1].version = 13
    with pytest.raises(
        ModelError, match="the model imports the default domain in the versions 13 and 17, as '' and as"
    ):
        load_model(saved(tmp_path, model))


def test_missing_data_of_a_body_is_named(tmp_path):
    model = proto(
        """g (float[2,6] x, bool c) => (float[2,6] y) {
            y = If(c) <then_branch = t () => (float[2,6] a) { a = Mul(x, k) },
                       else_branch = e () => (float[2,6] b) { b = Neg(x) }>
        }"""
    )
    (then,) = [a.g for a in model.graph.node[0].attribute if a.name == "then_branch"]
    then.initializer.append(numpy_helper.from_array(noise(1, 2, 6), "k"))
    set_external_data(then.initializer[0], "k.bin")
    then.initializer[0].ClearField("raw_data")
    then.initializer[0].data_location = TensorProto.EXTERNAL
    with pytest.raises(ModelError, match=r"keeps the weight 'k' in .*k\.bin, which does not exist"):
        load_model(saved(tmp_path, model))


def test_size_of_minus_one_is_one_left_open(tmp_path):
    model = proto("g (float[2,6] x) => (float[2,3] y) { y = MatMul(x, w) }", w=noise(1, 6, 3))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = -1
    path = saved(tmp_path, model)
    read = load_model(path).graph
    assert [spec.shape for spec in Session(read).inputs] == [(None, 6)]
    np.testing.assert_array_equal(ours(path)[0], as_it_is(path)[0])
