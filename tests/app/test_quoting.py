"""What Hydra can read is left alone; what it cannot and is plainly a path arrives as it was typed."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hydra.core.override_parser.types import QuotedString
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from runner.app.quoting import parsed, readable, to_copy

PATHS = [
    *("模型.onnx", "~/net.onnx", "net (1).onnx", "epoch=9-step=88.onnx", "it's.onnx", 'a"b.onnx', "[1] net.onnx"),
    *("net[1].onnx", "net{1}.onnx", "$x!.onnx", "a&b;c.onnx", "#1.onnx", "a\nb.onnx", "net(1)"),
    *(
        "C:\\数据 (1)\\net.onnx",
        "C:\\数据\\",
        "\\\\server\\模型 (1).onnx",
        "a\\'模.onnx",
        "数，据.onnx",
        "模,型 (1).onnx",
    ),
]
READ = [
    *(
        "a,b",
        "[a,b]",
        "{a:b}",
        "${oc.env:HOME}/x",
        "choice(a,b)",
        "glob(*)",
        "'a b'",
        '"a,b"',
        "null",
        "a b.onnx",
    ),
    *("range(1,3)", "a\\,b", "C:\\data\\net.onnx", "100%.onnx", ""),
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("key", ["model.path", "+dataset.images", "record", "calibration.dataset.labels"])
def test_path_that_cannot_be_read_arrives_as_typed(key: str, path: str) -> None:
    assert parsed(f"{key}={path}") is None
    override = parsed(readable(f"{key}={path}"))
    assert override is not None and override.value() == path


@pytest.mark.parametrize("value", READ)
@pytest.mark.parametrize("sweep", [False, True])
def test_what_can_be_read_is_left_alone(value: str, sweep: bool) -> None:
    assert readable(f"model.path={value}", sweep=sweep) == f"model.path={value}"


@pytest.mark.parametrize(
    "argument", ["seed=choice(a,b", "target_loss=0.1,", "model.path=${x", "skip_layers=[a,b", "seed=a:b=", 'record="a']
)
def test_what_means_nothing_plain_is_left_to_a_message(argument: str) -> None:
    assert readable(argument) == argument


@pytest.mark.parametrize("number", ["2024", "1e5", "1_000", "true"])
def test_number_that_names_a_file_stays_a_text_and_else_a_number(number: str) -> None:
    path, count = parsed(readable(f"model.path={number}")), parsed(readable(f"calibration.count={number}"))
    assert path is not None and path.value() == number
    assert count is not None and not isinstance(count.value(), str)


def test_sweep_over_paths_has_each_quoted_by_itself() -> None:
    override = parsed(readable("model.path=模型.onnx,b.onnx,net (1, 2).onnx", sweep=True))
    assert override is not None
    values = [value.text if isinstance(value, QuotedString) else value for value in override.sweep_iterator()]
    assert values == ["模型.onnx", "b.onnx", "net (1, 2).onnx"]


def test_lists_and_mappings_have_their_texts_quoted() -> None:
    listed, mapping = parsed(readable("skip_layers=[卷积,b]")), parsed(readable("dataset.inputs={x:数据.npy,y:b.npy}"))
    assert listed is not None and listed.value() == ["卷积", "b"]
    assert mapping is not None and mapping.value() == {"x": "数据.npy", "y": "b.npy"}


def test_what_is_there_is_one_path_also_behind_a_dollar(tmp_path: Path) -> None:
    folder = tmp_path / "a,b (1) ${x}"
    folder.mkdir()
    override = parsed(readable(f"dataset.root={folder}", sweep=True))
    assert override is not None
    assert OmegaConf.create({"a": override.value()}).a == str(folder)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12))
def test_any_text_can_be_copied(text: str) -> None:
    (argument,) = shlex.split(to_copy("model.path", text))
    override = parsed(argument)
    assert override is not None and override.value() == text


@given(st.text(st.sampled_from("ab模 .,=()[]{}'\"\\~$:/-1"), min_size=1, max_size=12), st.booleans())
def test_no_text_is_changed_that_can_be_read_and_none_fails(text: str, sweep: bool) -> None:
    argument = f"model.name={text}"
    before, form = parsed(argument), readable(argument, sweep=sweep)
    if before is not None and not isinstance(before.value(), int | float):
        assert form == argument
