"""Every node ends up with a name of its own."""

import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.graph.naming import name_nodes
from tests.models import model


def chain(names):
    """Return a chain of Relu nodes with these names; an empty name leaves a node unnamed."""
    values = ["x", *(f"v{i}" for i in range(1, len(names))), "y"]
    lines = " ".join(f"{values[i + 1]} = Relu({values[i]})" for i in range(len(names)))
    built = model(f"g (float[1] x) => (float[1] y) {{ {lines} }}")
    for node, name in zip(built.graph, names, strict=True):
        node.name = name
    return built


def names_of(built: ir.Model):
    return [node.name for node in built.graph]


@pytest.mark.parametrize(
    ("before", "after", "made"),
    [
        pytest.param(["a", "b"], ["a", "b"], [], id="named_apart"),
        pytest.param(["", "b", ""], ["Relu_0", "b", "Relu_2"], ["Relu_0", "Relu_2"], id="unnamed_by_type_and_place"),
        pytest.param(["a", "a", "a"], ["a", "a_1", "a_2"], ["a_1", "a_2"], id="duplicates_get_a_suffix"),
        pytest.param(["a", "a", "a_1"], ["a", "a_2", "a_1"], ["a_2"], id="a_later_nodes_name_is_not_taken"),
        pytest.param(["", "Relu_0"], ["Relu_0_1", "Relu_0"], ["Relu_0_1"], id="a_made_name_gives_way"),
    ],
)
def test_nodes_get_the_names_of_the_table(before, after, made):
    built = chain(before)
    assert name_nodes(built) == made
    assert names_of(built) == after


@given(st.lists(st.sampled_from(["", "a", "a_1", "a_2", "Relu_0", "Relu_1", "Relu_1_1"]), min_size=1, max_size=8))
def test_names_are_unique_and_the_first_of_each_name_keeps_it(names):
    built = chain(names)
    name_nodes(built)
    after = names_of(built)
    assert len(set(after)) == len(after)
    for index, name in enumerate(names):
        if name and name not in names[:index]:
            assert after[index] == name


@given(st.lists(st.sampled_from(["", "a", "a_1"]), min_size=1, max_size=6))
def test_naming_twice_changes_nothing_more(names):
    built = chain(names)
    name_nodes(built)
    assert name_nodes(built) == []
