"""How a dump is called, and the files that are held against it; forms from the vendor's documentation."""

from __future__ import annotations

import re

import pytest

from runner.dumps.names import DumpName, dump_name, file_name, is_raw_dump, parse_name

# The tools' own pattern for what they compare with, <op_name>.<output_index>.<timestamp>.npy.
TOOLS = re.compile(r"^([A-Za-z0-9_-]+\.[0-9]+)\.[0-9]{1,255}\.npy$")


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("Conv2D.conv1.3.2.7161243956333802.output.0.npy", DumpName("Conv2D", "conv1", "output", 0)),
        ("Conv2D.conv1.3.7161243956333802.input.1.npy", DumpName("Conv2D", "conv1", "input", 1)),
        ("AscendQuant.a_quant.1.0.1608983934774491.output.0.1x3x224x224.npy", DumpName("AscendQuant", "a_quant", "output", 0)),
        ("BNUpdate.bn-op5489.137.1608983934774491.input.2.NC1HWC0.npy", DumpName("BNUpdate", "bn-op5489", "input", 2)),
        ("Relu.relu_lxslice0.5.1.1608983934774491.3.0.7.0.output.0.npy", DumpName("Relu", "relu_lxslice0", "output", 0)),
        ("conv1.0.0000000000000000.npy", DumpName("", "conv1", "output", 0)),
        ("Conv2D.conv1.3.2.7161243956333802", None),
        ("index.json", None),
        ("conv1.npy", None),
    ],
)  # fmt: skip
def test_file_name_says_operator_side_and_index(file: str, expected: DumpName | None) -> None:
    assert parse_name(file) == expected


def test_dump_that_was_not_converted_is_known_by_its_name() -> None:
    assert is_raw_dump("Conv2D.conv1.3.2.7161243956333802")
    assert not is_raw_dump("Conv2D.conv1.3.2.7161243956333802.output.0.npy")
    assert not is_raw_dump("mapping.csv")


def test_what_the_chip_replaces_and_what_the_tools_do_not_take_become_underscores() -> None:
    assert dump_name("a/b.c d\\e") == "a_b_c_d_e"
    assert dump_name("input:0-猫") == "input_0-_"


def test_written_names_are_the_tools_form_unique_and_short() -> None:
    taken: set[str] = set()
    nodes = ["a/b", "a.b", "A_B", "x" * 400, "x" * 401, "猫", "犬", "", "../../etc"]
    names = [file_name(node, 0, taken) for node in nodes]
    assert all(TOOLS.match(name) for name in names if name[0] != ".")
    assert len({name.lower() for name in names}) == len(nodes)
    assert max(map(len, names)) < 255
    assert names[:2] == ["a_b.0.0000000000000000.npy", "a_b_1.0.0000000000000000.npy"]
    assert parse_name(names[0]) == DumpName("", "a_b", "output", 0)
