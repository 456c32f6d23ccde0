"""Files of a job: whole or not at all, and nobody else's are touched."""

from __future__ import annotations

import hashlib
import json
import math
import os
import subprocess
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from runner import job_folder
from runner.errors import OutputError
from runner.job_folder import JobFolder, read_manifest, withdraw_unfinished, write_atomically
from tests.data import normal_items
from tests.models import conv_gemm, run_plain


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_text_is_written_as_utf8_without_changing_line_ends(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path / "a" / "b")
    path = folder.write_text("results/x.txt", "猫\nb\r\n")
    assert path == tmp_path / "a" / "b" / "results" / "x.txt"
    assert path.read_bytes() == "猫\nb\r\n".encode()
    assert folder.files == (path,)


@pytest.mark.parametrize(
    ("compact", "expected"),
    [
        (False, '{\n    "猫": [\n        1,\n        true\n    ]\n}'),
        (True, '{\n    "猫":[\n        1,\n        true\n    ]\n}'),
    ],
    ids=["usual", "as AMCT"],
)
def test_json_has_an_indent_of_four_and_readable_characters(tmp_path: Path, compact: bool, expected: str) -> None:
    path = JobFolder(tmp_path).write_json("x.json", {"猫": [1, True]}, compact_keys=compact)
    assert path.read_text(encoding="utf-8") == expected


def test_number_that_json_cannot_hold_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        JobFolder(tmp_path).write_json("x.json", math.nan)
    assert files(tmp_path) == set()


def test_model_is_written_and_computes_the_same(tmp_path: Path) -> None:
    path = JobFolder(tmp_path).write_model("results/m.onnx", ir.from_proto(conv_gemm()))
    x = normal_items(1, 2, 6, 6)
    (expected,), (got,) = run_plain(conv_gemm(), x, ["logits"])[0], run_plain(onnx.load(path), x, ["logits"])[0]
    assert np.array_equal(expected, got)
    assert files(tmp_path) == {"results/m.onnx", "manifest.json"}


def test_model_too_large_for_one_file_keeps_its_weights_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_folder, "fits_one_file", lambda model: False)
    folder, model = JobFolder(tmp_path), conv_gemm()
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.arange(4096, dtype=np.float32), "large"))
    path = folder.write_model("results/m.onnx", ir.from_proto(model))
    folder.finish()
    assert set(read_manifest(tmp_path)) == {"results/m.onnx", "results/m.onnx.data"}
    loaded = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
    assert np.array_equal(loaded["large"], np.arange(4096))


def test_failing_write_leaves_the_old_file_and_no_temporary_one(tmp_path: Path) -> None:
    target = tmp_path / "x.txt"
    target.write_text("old")

    def half(path: Path) -> None:
        path.write_text("ne")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        write_atomically(target, half)
    assert target.read_text() == "old"
    assert files(tmp_path) == {"x.txt"}


def test_failing_rename_leaves_no_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "x.txt").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_atomically(tmp_path / "x.txt", lambda path: path.write_text("new"))
    assert files(tmp_path) == set()


def test_interrupted_write_is_cleaned_up_too(tmp_path: Path) -> None:
    def interrupted(path: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "x.txt", interrupted)
    assert files(tmp_path) == set()


def test_name_as_long_as_a_file_system_allows_is_written(tmp_path: Path) -> None:
    name = "x" * 250
    assert JobFolder(tmp_path).write_text(name, "a").read_text() == "a"


def test_manifest_lists_the_files_with_their_sha256_and_not_itself(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    folder.write_text("b.txt", "one")
    folder.write_text("results/a.txt", "two")
    folder.write_text("b.txt", "three")
    folder.finish()
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest == {
        "files": {"b.txt": hashlib.sha256(b"three").hexdigest(), "results/a.txt": hashlib.sha256(b"two").hexdigest()}
    }
    assert read_manifest(tmp_path) == manifest["files"]
    assert [path.name for path in folder.files] == ["b.txt", "a.txt"]


def test_no_manifest_is_written_before_the_job_is_finished(tmp_path: Path) -> None:
    JobFolder(tmp_path).write_text("a.txt", "one")
    assert read_manifest(tmp_path) == {}


def test_next_job_removes_what_only_the_old_manifest_lists_and_nothing_else(tmp_path: Path) -> None:
    first = JobFolder(tmp_path)
    for name in ("kept.txt", "results/old_deploy_model.onnx", "gone.txt"):
        first.write_text(name, "first")
    first.finish()
    (tmp_path / "gone.txt").unlink()
    (tmp_path / "results" / "mine_deploy_model.onnx").write_text("the user's")
    (tmp_path / "notes").mkdir()
    second = JobFolder(tmp_path)
    second.write_text("kept.txt", "second")
    second.write_text("new.txt", "second")
    assert (tmp_path / "results" / "old_deploy_model.onnx").exists()  # not before the result is whole
    second.finish()
    assert files(tmp_path) == {"kept.txt", "new.txt", "results/mine_deploy_model.onnx", "manifest.json"}
    assert (tmp_path / "notes").is_dir()
    assert read_manifest(tmp_path) == {
        "kept.txt": sha256(tmp_path / "kept.txt"),
        "new.txt": sha256(tmp_path / "new.txt"),
    }


def old_manifest(folder: Path, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps({"files": dict.fromkeys(names, "0")}))


@pytest.mark.parametrize("how", ["relative", "absolute", "through a folder", "through a link"])
def test_manifest_cannot_make_a_job_remove_files_outside_its_folder(tmp_path: Path, how: str) -> None:
    outside, root = tmp_path / "outside" / "x.txt", tmp_path / "job"
    outside.parent.mkdir()
    outside.write_text("precious")
    root.mkdir()
    (root / "link").symlink_to(outside.parent, target_is_directory=True)
    names = {
        "relative": "../outside/x.txt",
        "absolute": str(outside),
        "through a folder": "results/../../outside/x.txt",
        "through a link": "link/x.txt",
    }
    old_manifest(root, names[how])
    JobFolder(root).finish()
    assert outside.read_text() == "precious"


@pytest.mark.parametrize("name", ["", ".", "results", "results/"], ids=["empty", "dot", "folder", "folder with slash"])
def test_folder_in_an_old_manifest_stays(tmp_path: Path, name: str) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "mine.txt").write_text("a")
    old_manifest(tmp_path, name)
    JobFolder(tmp_path).finish()
    assert (tmp_path / "results" / "mine.txt").exists()
    assert read_manifest(tmp_path) == {}


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", '{"files": 3}', '{"files": ["a"]}', "null", '{"files": null}', "[" * 100_000],
    ids=lambda content: repr(content[:20]),
)
def test_unreadable_manifest_lists_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    assert read_manifest(tmp_path) == {}
    folder = JobFolder(tmp_path)
    folder.write_text("a.txt", "one")
    folder.finish()
    assert set(read_manifest(tmp_path)) == {"a.txt"}


def test_folder_that_cannot_be_made_is_named_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError) as error:
        JobFolder(tmp_path / "file" / "job")
    assert str(error.value) == (
        f"paths.output: {tmp_path}/file/job cannot be written: Not a directory. Set paths.output to a folder that can."
    )


def test_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "job").write_text("in the way")
    with pytest.raises(OutputError, match=r"paths\.output: .*/job cannot be written: File exists"):
        JobFolder(tmp_path / "job")


@pytest.mark.parametrize("external", [False, True], ids=["one file", "weights beside"])
def test_file_in_the_place_of_a_sub_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, external: bool
) -> None:
    monkeypatch.setattr(job_folder, "fits_one_file", lambda model: not external)
    (tmp_path / "results").write_text("in the way")
    folder = JobFolder(tmp_path)
    with pytest.raises(OutputError, match=r"paths\.output: .*/results/m\.onnx cannot be written: .* Set paths\.output"):
        folder.write_model("results/m.onnx", ir.from_proto(conv_gemm()))
    assert folder.files == ()


def test_published_files_appear_together_with_their_manifest(tmp_path: Path) -> None:
    first = JobFolder(tmp_path)
    for name in ("a.txt", "old.txt"):
        first.write_text(name, "old")
    first.finish()
    second = JobFolder(tmp_path)
    with second.published():
        second.write_text("a.txt", "new")
        second.write_text("b.txt", "new")
        assert (tmp_path / "a.txt").read_text() == "old" and not (tmp_path / "b.txt").exists()
    names = ("a.txt", "b.txt")
    assert files(tmp_path) == {*names, "manifest.json"}
    assert read_manifest(tmp_path) == {name: sha256(tmp_path / name) for name in names}
    second.write_text("c.txt", "later")
    assert set(read_manifest(tmp_path)) == set(names)  # what is not whole yet does not count
    second.finish()
    assert set(read_manifest(tmp_path)) == {*names, "c.txt"}


def test_failure_before_publishing_leaves_the_old_files(tmp_path: Path) -> None:
    first = JobFolder(tmp_path)
    first.write_text("a.txt", "old")
    first.finish()
    second = JobFolder(tmp_path)

    def half() -> None:
        with second.published():
            second.write_text("a.txt", "new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half()
    assert files(tmp_path) == {"a.txt", "manifest.json"}
    assert (
        read_manifest(tmp_path) == {"a.txt": sha256(tmp_path / "a.txt")} and (tmp_path / "a.txt").read_text() == "old"
    )


def test_what_a_killed_process_left_of_a_file_is_removed_when_the_file_is_written_again(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    left, living = tmp_path / f".x.txt.{ended.pid}.ab12.part", tmp_path / f".x.txt.{os.getppid()}.ab12.part"
    others = [tmp_path / ".x.txt.mine.part", tmp_path / f".y.txt.{ended.pid}.ab12.part"]
    for path in (left, living, *others):
        path.write_text("half")
    JobFolder(tmp_path).write_text("x.txt", "whole")
    assert files(tmp_path) == {"x.txt", "manifest.json", living.name, *(path.name for path in others)}


@pytest.mark.parametrize(("listed", "stays"), [(["a.txt"], False), (["a.txt", "last.txt"], True), ([], True)])
def test_manifest_of_an_unfinished_job_is_withdrawn_and_no_other(
    tmp_path: Path, listed: list[str], stays: bool
) -> None:
    old_manifest(tmp_path, *listed)
    withdraw_unfinished(tmp_path, "last.txt")
    assert (tmp_path / "manifest.json").exists() == stays


def test_models_of_an_unfinished_job_go_with_its_manifest(tmp_path: Path) -> None:
    old_manifest(tmp_path, "a.txt", "net.onnx", "net.onnx.data")
    for name in ("a.txt", "net.onnx", "net.onnx.data", "mine.onnx"):
        (tmp_path / name).write_text("mine.onnx is not listed")
    withdraw_unfinished(tmp_path, "last.txt")
    assert files(tmp_path) == {"a.txt", "mine.onnx", "manifest.json"}
    assert json.loads((tmp_path / "manifest.json").read_text()) == {"files": {}, "left": ["a.txt"]}
    JobFolder(tmp_path).finish()  # the next job tidies up
    assert files(tmp_path) == {"mine.onnx", "manifest.json"}


def test_whole_folder_appears_at_the_end_with_its_files_in_the_manifest(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    with folder.whole_folder("log/temp1", told=("index.json",)) as inside:
        inside.write_text("index.json", "{}")
        inside.write_array("item0/a.npy", np.arange(3))
        assert not (tmp_path / "log" / "temp1").exists()
    assert files(tmp_path / "log") == {"temp1/index.json", "temp1/item0/a.npy"}
    np.testing.assert_array_equal(np.load(tmp_path / "log/temp1/item0/a.npy"), np.arange(3))
    listed = {name: sha256(tmp_path / name) for name in ("log/temp1/index.json", "log/temp1/item0/a.npy")}
    # At once, so that a job that is killed now leaves nothing that nobody knows of.
    assert read_manifest(tmp_path) == listed
    folder.write_text("x.txt", "x")
    folder.finish()
    assert read_manifest(tmp_path) == {**listed, "x.txt": sha256(tmp_path / "x.txt")}
    assert folder.files == (tmp_path / "log/temp1/index.json", tmp_path / "x.txt")


def test_whole_folder_keeps_what_an_earlier_manifest_lists_until_the_job_is_done(tmp_path: Path) -> None:
    first = JobFolder(tmp_path)
    first.write_text("results/model.txt", "old")
    first.finish()
    second = JobFolder(tmp_path)
    with second.whole_folder("log/temp2") as inside:
        inside.write_text("a.txt", "a")
    assert read_manifest(tmp_path).keys() == {"results/model.txt", "log/temp2/a.txt"}
    second.finish()
    assert files(tmp_path) == {"log/temp2/a.txt", "manifest.json"}
    # What is left of a folder when all its files are gone.
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("fault", [KeyboardInterrupt, ValueError])
def test_whole_folder_that_is_not_finished_leaves_nothing(tmp_path: Path, fault: type[BaseException]) -> None:
    folder = JobFolder(tmp_path)
    with pytest.raises(fault), folder.whole_folder("log/temp1") as inside:
        inside.write_text("index.json", "{}")
        raise fault
    assert files(tmp_path) == set()
    assert folder.files == ()


def test_what_a_killed_job_left_of_a_folder_is_removed_by_the_next(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    dead, alive = tmp_path / f".folder.{ended.pid}.abc.part", tmp_path / f".folder.{os.getpid()}.abc.part"
    for folder in (dead, alive):
        folder.mkdir()
        (folder / "a.npy").write_bytes(b"half")
    JobFolder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [alive.name]


def test_whole_folder_that_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = JobFolder(tmp_path)

    def full(*given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", lambda *given, **more: full())
    with (
        pytest.raises(OutputError, match=r"a\.npy cannot be written: No space left on device\. Set paths\.output"),
        folder.whole_folder("log/temp1") as inside,
    ):
        inside.write_array("a.npy", np.zeros(2))
    assert files(tmp_path) == set()


def test_first_file_that_is_replaced_takes_the_whole_earlier_result_off_the_list(tmp_path: Path) -> None:
    first = JobFolder(tmp_path)
    for name in ("a.txt", "summary.json"):
        first.write_text(name, "old")
    first.finish()
    JobFolder(tmp_path).write_text("a.txt", "new")
    assert json.loads((tmp_path / "manifest.json").read_text()) == {"files": {}, "left": ["a.txt", "summary.json"]}


def test_link_to_another_folder_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    root = tmp_path / "job"
    root.mkdir()
    (root / "results").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    folder = JobFolder(root)
    for write in (
        lambda: folder.write_text("results/a.txt", "a"),
        lambda: folder.write_text("results/deep/a.txt", "a"),
        lambda: folder.write_model("results/m.onnx", ir.from_proto(conv_gemm())),
    ):
        with pytest.raises(OutputError, match=r"paths\.output: .*/job/results is a link, .*\. Remove the link\."):
            write()
    assert files(tmp_path / "elsewhere") == set()


def test_link_in_the_place_of_a_file_is_replaced_and_what_it_names_stays(tmp_path: Path) -> None:
    precious, root = tmp_path / "precious.txt", tmp_path / "job"
    precious.write_text("precious")
    root.mkdir()
    for name in ("summary.json", "manifest.json"):
        (root / name).symlink_to(precious)
    folder = JobFolder(root)
    folder.write_text("summary.json", "{}")
    folder.finish()
    assert precious.read_text() == "precious"
    assert not any((root / name).is_symlink() for name in ("summary.json", "manifest.json"))


def test_folder_of_jobs_that_is_itself_a_link_is_used(tmp_path: Path) -> None:
    (tmp_path / "large disk").mkdir()
    (tmp_path / "outputs").symlink_to(tmp_path / "large disk", target_is_directory=True)
    folder = JobFolder(tmp_path / "outputs" / "job")
    folder.write_text("results/a.txt", "a")
    folder.finish()
    assert files(tmp_path / "large disk" / "job") == {"results/a.txt", "manifest.json"}
