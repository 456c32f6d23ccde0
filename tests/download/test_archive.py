"""Archives are unpacked into one folder, and nowhere else."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from runner.download.archive import ArchiveError, unpack


def entry(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def archive(folder: Path, *entries: tuple[zipfile.ZipInfo, bytes]) -> Path:
    path = folder / "a.zip"
    with zipfile.ZipFile(path, "w") as opened:
        for info, content in entries:
            opened.writestr(info, content)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "into").mkdir()
    return tmp_path / "into"


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_entry_of_the_places_name_is_taken_alone(tmp_path: Path, folder: Path) -> None:
    path = archive(
        tmp_path, (entry("images/a.jpg"), b"a"), (entry("images/deep/b.jpg"), b"b"), (entry("other.txt"), b"o")
    )
    assert unpack(path, folder, "images") == folder / "images"
    assert files(folder) == {"images/a.jpg": b"a", "images/deep/b.jpg": b"b"}


def test_archive_without_a_top_folder_becomes_the_folder(tmp_path: Path, folder: Path) -> None:
    path = archive(tmp_path, (entry("a.jpg"), b"a"), (entry("deep/b.jpg"), b"b"), (entry("__MACOSX/a.jpg"), b"x"))
    assert unpack(path, folder, "images") == folder / "images"
    assert files(folder) == {"images/a.jpg": b"a", "images/deep/b.jpg": b"b"}


@pytest.mark.parametrize(
    ("name", "mode", "reason"),
    [
        ("../a", stat.S_IFREG, r"its entry '\.\./a' would leave the folder"),
        ("x/../../a", stat.S_IFREG, "would leave the folder"),
        ("/etc/a", stat.S_IFREG, "would leave the folder"),
        ("..\\a", stat.S_IFREG, "would leave the folder"),
        ("C:/a", stat.S_IFREG, "would leave the folder"),
        ("a\x1b[2J", stat.S_IFREG, r"the name of its entry 'a\\x1b\[2J' holds control characters"),
        ("a\nb", stat.S_IFREG, "holds control characters"),
        ("a", stat.S_IFLNK, "its entry 'a' is a link or a device"),
        ("a", stat.S_IFIFO, "its entry 'a' is a link or a device"),
        ("a", stat.S_IFCHR, "its entry 'a' is a link or a device"),
    ],
)
def test_entry_that_points_elsewhere_stops_everything(
    tmp_path: Path, folder: Path, name: str, mode: int, reason: str
) -> None:
    path = archive(tmp_path, (entry("images/a.jpg"), b"a"), (entry(name, mode | 0o644), b"/etc/passwd"))
    with pytest.raises(ArchiveError, match=reason):
        unpack(path, folder, "images")
    assert list(folder.iterdir()) == []


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_entry_that_stands_there_twice_is_refused(tmp_path: Path, folder: Path) -> None:
    path = archive(tmp_path, (entry("images/a"), b"1"), (entry("images/a"), b"2"))
    with pytest.raises(ArchiveError, match="its entry 'images/a' stands there twice"):
        unpack(path, folder, "images")


def test_file_that_is_a_folder_too_is_refused(tmp_path: Path, folder: Path) -> None:
    path = archive(tmp_path, (entry("images/a"), b"1"), (entry("images/a/b"), b"2"))
    with pytest.raises(ArchiveError, match="an entry is a file and a folder at once"):
        unpack(path, folder, "images")


def test_encrypted_entry_is_refused(tmp_path: Path, folder: Path) -> None:
    path = archive(tmp_path, (entry("images/a"), b"secret"))
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match="its entry 'images/a' is encrypted"):
        unpack(path, folder, "images")


@pytest.mark.parametrize("spoil", ["cut", "damaged", "text", "empty"])
def test_archive_that_is_not_whole_is_refused(tmp_path: Path, folder: Path, spoil: str) -> None:
    path = archive(tmp_path, (entry("images/a"), bytes(1000)))
    whole = path.read_bytes()
    path.write_bytes(
        {"cut": whole[:500], "damaged": whole[:200] + b"!" + whole[201:], "text": b"hi", "empty": b""}[spoil]
    )
    with pytest.raises(ArchiveError, match=r"it is no whole \.zip file"):
        unpack(path, folder, "images")


def test_archive_without_a_file_is_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ArchiveError, match="it holds no file"):
        unpack(archive(tmp_path), folder, "images")


def test_archive_that_does_not_fit_the_disk_is_refused(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = archive(tmp_path, (entry("images/a"), bytes(1000)))
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 999}))
    with pytest.raises(ArchiveError, match="it unpacks to 1000 bytes, and 999 are free"):
        unpack(path, folder, "images")
