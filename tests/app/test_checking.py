"""Configuration values against annotations: what is taken, what is built, and what each refusal says."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import pytest

from runner.app.checking import build, refuse_misplaced, unknown_key
from runner.errors import ConfigError
from runner.search.binary import Binary
from runner.search.plan import Strategy


class Shape(Protocol):
    """Anything that has corners."""

    def corners(self) -> int: ...


@dataclass(frozen=True)
class Inner:
    """A section."""

    size: int
    ratio: float = 0.5


@dataclass(frozen=True)
class Outer:
    """A section with a section and a part of any class."""

    inner: Inner
    strategy: Strategy | None = None
    names: list[str] = field(default_factory=list)
    _private: int = field(default=3, init=False)


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        (3, int, 3),
        (-3, int, -3),
        (0.25, float, 0.25),
        (3, float, 3.0),
        (True, bool, True),
        ("a", str, "a"),
        ("", str, ""),
        (None, type(None), None),
        (None, int | None, None),
        (4, int | None, 4),
        (4, int | str, 4),
        ("4", int | str, "4"),
        ([1, 2], list[int], [1, 2]),
        ([], list[int], []),
        ([1, 2.5], list[float], [1.0, 2.5]),
        (2, float | list[float], 2.0),
        ([2, 3], float | list[float], [2.0, 3.0]),
        ([[1], [2, 3]], list[list[int]], [[1], [2, 3]]),
        ("rgb", Literal["rgb", "bgr"], "rgb"),
        (None, Literal["nchw"] | None, None),
        ({"any": 1}, Any, {"any": 1}),
        ({"input:0": "x"}, dict[str, str] | None, {"input:0": "x"}),
        ({0: 1}, dict[str, float], {"0": 1.0}),
    ],
)
def test_value_that_fits_is_taken(value: object, hint: object, expected: object) -> None:
    built = build(value, hint, "key")
    assert built == expected
    assert type(built) is type(expected)


@pytest.mark.parametrize(
    ("value", "hint", "message"),
    [
        ("3", int, "key: expected a whole number, got '3'."),
        (3.0, int, "key: expected a whole number, got 3.0."),
        (True, int, "key: expected a whole number, got True."),
        (None, int, "key: expected a whole number, got null."),
        (False, float, "key: expected a number, got False."),
        ("abc", float, "key: expected a number, got 'abc'."),
        (1, bool, "key: expected true or false, got 1."),
        ("yes", bool, "key: expected true or false, got 'yes'."),
        (3, str, "key: expected text, got 3."),
        (True, str, "key: expected text, got True."),
        (3, type(None), "key: expected null, got 3."),
        ("a", int | None, "key: expected a whole number or null, got 'a'."),
        (True, int | str, "key: expected a whole number or text, got True."),
        ("a", float | list[float], "key: expected a number or a list, got 'a'."),
        (["a"], float | list[float], "key[0]: expected a number, got 'a'."),
        ({}, float | list[float], "key: expected a number or a list, got {}."),
        ("x", Literal["none", "adds"] | list[int], "key: expected none or adds or a list, got 'x'."),
        ([{"sise": 1}], Literal["none"] | list[Inner], "key[0].sise: no such option. Did you mean key[0].size?"),
        (3, list[int], "key: expected a list, got 3."),
        (["x"], dict[str, str], "key: expected names with values, got ['x']."),
        ({"a": 1}, dict[str, str], "key.a: expected text, got 1."),
        ("x", dict[str, str] | None, "key: expected names with values or null, got 'x'."),
        ([1, "b"], list[int], "key[1]: expected a whole number, got 'b'."),
        ([[1], ["b"]], list[list[int]], "key[1][0]: expected a whole number, got 'b'."),
        ("xyz", Literal["rgb", "bgr"], "key: expected rgb or bgr, got 'xyz'."),
        ({"a": 1}, int, "key: expected a whole number, got {'a': 1}."),
        (3, Shape, "key: expected a part with _target_, got 3."),
        (None, Shape, "key: expected a part with _target_, got null."),
        (3, Inner, "key: expected a section of options, got 3."),
        ("???", int, "key: a value is required. Give it on the command line: key=VALUE."),
        (["???"], list[int], "key[0]: a value is required."),
    ],
)
def test_value_that_does_not_fit_is_refused(value: object, hint: object, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(value, hint, "key")
    assert str(caught.value).startswith(message)


def test_sections_are_built_with_their_sections_and_parts() -> None:
    values = {"inner": {"size": 2}, "strategy": {"_target_": "runner.search.binary.Binary"}, "names": ["a"]}
    assert build(values, Outer, "") == Outer(Inner(2, 0.5), Binary(), ["a"])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"inner": {"size": 2}, "iner": {}},
            "iner: no such option. Did you mean inner? There are inner, names, strategy.",
        ),
        (
            {"inner": {"size": 2, "sise": 1}},
            "inner.sise: no such option. Did you mean inner.size? inner has ratio, size.",
        ),
        ({"inner": {"size": 2, "zzz": 1}}, "inner.zzz: no such option. inner has ratio, size."),
        ({"inner": {"size": 2}, "_private": 1}, "_private: no such option. There are inner, names, strategy."),
        ({}, "inner: a value is required. Give it on the command line: inner=VALUE."),
        ({"inner": {}}, "inner.size: a value is required. Give it on the command line: inner.size=VALUE."),
        ({"inner": {"size": "???"}}, "inner.size: a value is required."),
        ({"inner": {"size": True}}, "inner.size: expected a whole number, got True."),
        (
            {"inner": {"size": 2}, "strategy": {"_target_": "runner.search.binary.Binary", "depth": 1}},
            "strategy.depth: no",
        ),
        ({"inner": {"size": 2}, "strategy": {"depth": 1}}, "strategy: expected Strategy or null, got {'depth': 1}."),
    ],
)
def test_wrong_section_names_the_whole_key(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(values, Outer, "")
    assert str(caught.value).startswith(message)


OWN = """
from __future__ import annotations

from typing import Protocol

from tests.data import Items


class Named(Protocol):
    def name(self) -> str: ...


class Part:
    def __init__(self, size: int, factors: list[float] | None = None, inner: Named | None = None, loose=None, *more, **rest):
        self.values = (size, factors, loose, more, rest)
        self.inner = inner

    def corners(self) -> int:
        return 4


class Simple:
    def corners(self) -> int:
        return 3


class Inheriting(Named):
    def name(self) -> str:
        return "inheriting"

    def corners(self) -> int:
        return 0


def function(size: int) -> int:
    return size


constant = 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the name of a module of a user's own, beside the place of the command."""
    (tmp_path / "own_parts.py").write_text(OWN, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "own_parts"
    sys.modules.pop("own_parts", None)


def test_own_class_is_built_and_checked_by_its_signature(own: str) -> None:
    values = {"_target_": f"{own}.Part", "size": 3, "factors": [1, 2.5], "loose": {"free": "form"}}
    part = build(values, Shape, "part")
    assert type(part).__name__ == "Part"
    assert part.values == (3, [1.0, 2.5], {"free": "form"}, (), {})


def test_own_classes_nest(own: str) -> None:
    inner = {"_target_": f"{own}.Inheriting"}
    part = build({"_target_": f"{own}.Part", "size": 3, "inner": inner}, Shape, "part")
    assert part.inner.name() == "inheriting"


@pytest.mark.parametrize("name", ["Simple", "Inheriting"])
def test_own_class_without_a_constructor_has_no_options(name: str, own: str) -> None:
    assert type(build({"_target_": f"{own}.{name}"}, Shape, "part")).__name__ == name
    with pytest.raises(ConfigError, match=r"part\.size: no such option\. part has no options\."):
        build({"_target_": f"{own}.{name}", "size": 1}, Shape, "part")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": "big"}, "part.size: expected a whole number, got 'big'."),
        ({}, "part.size: a value is required. Give it on the command line: part.size=VALUE."),
        (
            {"size": 1, "sizes": 1},
            "part.sizes: no such option. Did you mean part.size? part has factors, inner, loose, size.",
        ),
        (
            {"size": 1, "inner": {"_target_": "own_parts.Inheriting", "size": None}},
            "part.inner.size: no such option. part.inner has no options.",
        ),
        (
            {"size": 1, "inner": {"_target_": "own_parts.Absent"}},
            "part.inner._target_: cannot import 'own_parts.Absent'",
        ),
    ],
)
def test_own_class_with_wrong_values_is_refused(values: dict[str, Any], message: str, own: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build({"_target_": f"{own}.Part", **values}, Shape, "part")
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "own_parts.function",
            "part._target_: expected the import path of a class, got 'own_parts.function', a function.",
        ),
        ("own_parts.constant", "part._target_: expected the import path of a class, got 'own_parts.constant', a int."),
        ("own_parts.Absent", "part._target_: cannot import 'own_parts.Absent' (module 'own_parts' has no attribute"),
        ("absent_parts.Part", "part._target_: cannot import 'absent_parts.Part' (No module named 'absent_parts')"),
        ("Part", "part._target_: cannot import 'Part' ("),
        ("", "part._target_: cannot import '' ("),
        (None, "part._target_: cannot import 'None' ("),
        (3, "part._target_: cannot import '3' ("),
    ],
)
def test_target_that_is_no_class_is_refused(path: object, message: str, own: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build({"_target_": path}, Shape, "part")
    assert str(caught.value).startswith(message)


def test_unknown_key_names_the_nearest_and_all_there_are() -> None:
    assert unknown_key("a.colour", ["size", "color"], "colour", "a") == (
        "a.colour: no such option. Did you mean a.color? a has color, size."
    )
    assert unknown_key("x", ["size"], "x") == "x: no such option. There are size."
    assert unknown_key("a.x", [], "x", "a") == "a.x: no such option. a has no options."


CALLED = """
from pathlib import Path
from typing import Any

Path({imported!r}).touch()


class Section:
    pass


class Caller:
    def __init__(self, inner: Section | None = None, loose: Any = None, bare=None, names: dict[str, Any] | None = None):
        Path({called!r}).touch()

    def corners(self) -> int:
        return 1


class Cornerless(Caller):
    corners = 4


def function(*arguments, **options):
    Path({called!r}).touch()
"""


@pytest.fixture
def traces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, Path]]:
    """Return the files that tell whether the module ``traced`` was imported, and whether anything of it was called."""
    imported, called = tmp_path / "imported", tmp_path / "called"
    text = CALLED.format(imported=str(imported), called=str(called))
    (tmp_path / "traced.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield imported, called
    sys.modules.pop("traced", None)


CALLER = {"_target_": "traced.Caller"}


@dataclass(frozen=True)
class Whole:
    """Sections, values and one part."""

    inner: Inner | None = None
    shape: Shape | None = None
    size: int = 0
    names: dict[str, str] = field(default_factory=dict)
    free: dict[str, Any] = field(default_factory=dict)
    list_: list[Inner] = field(default_factory=list)


@pytest.mark.parametrize(
    ("value", "hint", "message"),
    [
        (CALLER, int, "key._target_: no class can be chosen here; expected a whole number."),
        (CALLER, int | None, "key._target_: no class can be chosen here; expected a whole number or null."),
        (CALLER, Any, "key._target_: no class can be chosen here; expected plain values."),
        ([CALLER], list[int], "key[0]._target_: no class can be chosen here; expected a whole number."),
        ({"a": CALLER}, dict[str, str], "key.a._target_: no class can be chosen here; expected text."),
        ({"a": {"b": [CALLER]}}, Any, "key.a.b[0]._target_: no class can be chosen here; expected plain values."),
        ({"a": {"b": [CALLER]}}, dict[str, Any], "key.a.b[0]._target_: no class can be chosen here;"),
        ({"_args_": [1]}, dict[str, Any], "key._args_: Hydra's _args_ is not taken."),
        (CALLER | {"_partial_": True}, Shape, "key._partial_: Hydra's _partial_ is not taken."),
        (CALLER | {"_args_": ["a"]}, Shape, "key._args_: Hydra's _args_ is not taken."),
        (CALLER | {"loose": {"_call_": 1}}, Shape, "key.loose._call_: Hydra's _call_ is not taken."),
        (CALLER | {"loose": CALLER}, Shape, "key.loose._target_: no class can be chosen here; expected plain values."),
        (CALLER | {"bare": CALLER}, Shape, "key.bare._target_: no class can be chosen here; expected plain values."),
        (CALLER | {"names": {"a": CALLER}}, Shape, "key.names.a._target_: no class can be chosen here;"),
        (
            CALLER | {"inner": CALLER},
            Shape,
            "key.inner._target_: 'traced.Caller' cannot be used here; expected Section or a subclass.",
        ),
        (
            {"_target_": "traced.Cornerless"},
            Shape,
            "key._target_: 'traced.Cornerless' cannot be used here; expected a class with corners (Shape).",
        ),
        (
            {"_target_": "subprocess.Popen", "args": ["true"]},
            Shape | None,
            "key._target_: 'subprocess.Popen' cannot be used here; expected a class with corners (Shape).",
        ),
        ({"_target_": "os.system", "command": "true"}, Shape, "key._target_: expected the import path of a class,"),
        ({"_target_": "traced.function"}, Shape, "key._target_: expected the import path of a class,"),
    ],
)
def test_class_in_a_place_of_no_part_is_refused_and_never_called(
    value: object, hint: object, message: str, traces: tuple[Path, Path]
) -> None:
    with pytest.raises(ConfigError) as caught:
        build(value, hint, "key")
    assert str(caught.value).startswith(message)
    assert not traces[1].exists()
    if str(value).startswith("{'_target_': 'traced") and hint is not Shape:
        assert not traces[0].exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": CALLER}, "size._target_: no class can be chosen here; expected a whole number."),
        ({"inner": CALLER}, "inner._target_: no class can be chosen here; expected Inner or null."),
        ({"inner": {"size": CALLER}}, "inner.size._target_: no class can be chosen here; expected a whole number."),
        ({"list_": [{"ratio": CALLER}]}, "list_[0].ratio._target_: no class can be chosen here; expected a number."),
        ({"names": {"a": CALLER}}, "names.a._target_: no class can be chosen here; expected text."),
        ({"free": {"a": [CALLER]}}, "free.a[0]._target_: no class can be chosen here; expected plain values."),
        ({"unknown": CALLER}, "unknown._target_: no class can be chosen here; expected plain values."),
        (CALLER, "_target_: no class can be chosen here; expected Whole."),
        ({"size": {"_call_": 1}}, "size._call_: Hydra's _call_ is not taken."),
    ],
)
def test_class_in_a_section_is_refused_before_anything_is_imported(
    values: dict[str, Any], message: str, traces: tuple[Path, Path]
) -> None:
    with pytest.raises(ConfigError) as caught:
        refuse_misplaced(values, Whole)
    assert str(caught.value).startswith(message)
    assert not traces[0].exists()
    refuse_misplaced({"shape": CALLER, "size": 1, "inner": {"size": 2}, "free": {"a": [1]}}, Whole)
    assert not traces[0].exists()


@dataclass(frozen=True)
class Bent:
    """A shape without the member that its protocol asks for beside methods."""

    def corners(self) -> int:
        return 2


class Named(Shape, Protocol):
    """A shape with a name."""

    @property
    def name(self) -> str: ...


def test_part_without_a_value_that_its_protocol_asks_for_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        build({"_target_": f"{__name__}.Bent"}, Named | None, "key")
    assert str(caught.value) == (
        f"key._target_: '{__name__}.Bent' has no name, which Named asks for. Set it in the class or its constructor."
    )
    assert build({"_target_": f"{__name__}.Bent"}, Shape, "key") == Bent()


def test_annotation_that_cannot_be_read_is_told(own: str, tmp_path: Path) -> None:
    (tmp_path / "own_parts.py").write_text(
        "from __future__ import annotations\n"
        "class Part:\n    def __init__(self, a: Absent = 1): ...\n    def corners(self): ...\n"
    )
    with pytest.raises(
        ConfigError, match=r"part\._target_: the annotations of Part's constructor cannot be read \(name 'Absent'"
    ):
        build({"_target_": f"{own}.Part"}, Shape, "part")
