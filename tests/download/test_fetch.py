"""What is missing is fetched whole or not at all, once, and in finite time."""

from __future__ import annotations

import hashlib
import io
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import requests
from filelock import FileLock

from runner.download.fetch import fetch
from runner.download.source import DownloadOptions, Remote
from runner.download.stream import TransferError, _Session
from runner.errors import ConfigError, DownloadError
from tests.command import environment
from tests.http_server import WebServer

CONTENT = bytes(range(256)) * 4096
QUICK = DownloadOptions(connect_seconds=5, read_seconds=0.3, total_seconds=20)


def quiet(done: int, total: int | None) -> None:
    """Hear of bytes and say nothing."""


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def left(folder: Path) -> list[str]:
    """Return what lies in a folder, but for locks."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def zipped(**files: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


IMAGES = {"images/a.jpg": b"A" * 100, "images/image_label.txt": b"a.jpg 1\n", "__MACOSX/images/._a.jpg": b"x"}


def test_missing_file_is_fetched_whole_and_its_bytes_are_told(server: WebServer, tmp_path: Path) -> None:
    server.files["net.onnx"] = CONTENT
    heard: list[tuple[int, int | None]] = []
    place = tmp_path / "model" / "net.onnx"
    remote = Remote(server.url("/net.onnx"), place, "model.path", sha256(CONTENT).upper())
    assert fetch(remote, QUICK, lambda done, total: heard.append((done, total)))
    assert place.read_bytes() == CONTENT
    assert place.stat().st_mode & 0o777 == 0o644
    assert left(tmp_path / "model") == ["net.onnx"]
    assert heard[0] == (0, len(CONTENT)) and heard[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in heard] == sorted(done for done, _ in heard)


def test_file_that_is_there_is_not_asked_for(server: WebServer, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"mine")
    assert not fetch(Remote(server.url("/net.onnx"), tmp_path / "net.onnx", "model.path"), QUICK, quiet)
    assert server.requests == [] and (tmp_path / "net.onnx").read_bytes() == b"mine"


def test_redirect_to_another_address_is_followed(server: WebServer, tmp_path: Path) -> None:
    server.files["net.onnx"] = CONTENT
    server.redirects["/old"] = server.url("/net.onnx")
    assert fetch(Remote(server.url("/old"), tmp_path / "net.onnx", "model.path"), QUICK, quiet)
    assert (tmp_path / "net.onnx").read_bytes() == CONTENT


FAULTS = {
    "half": (
        "/half/net.onnx",
        {},
        rf"cannot be downloaded: it broke off after {len(CONTENT) // 2} of {len(CONTENT)} bytes\.",
    ),
    "half of chunks": (
        "/chunked/net.onnx",
        {},
        rf"cannot be downloaded: it broke off after {len(CONTENT) // 2} bytes\.",
    ),
    "mute": ("/mute/net.onnx", {}, r"cannot be downloaded: nothing came for download\.read_seconds=0\.3\."),
    "drip": (
        "/drip/net.onnx",
        {"total_seconds": 0.2},
        r"cannot be downloaded: only \d+ bytes came within download\.total_seconds=0\.2\.",
    ),
    "dripping head": (
        "/head/net.onnx",
        {"total_seconds": 0.2},
        r"cannot be downloaded: only 0 bytes came within download\.total_seconds=0\.2\.",
    ),
    "empty 204": ("/empty/net.onnx", {}, "cannot be downloaded: the server answers 204 No Content"),
    "empty 200": ("/empty/200", {}, "cannot be downloaded: the server gives a file of 0 bytes"),
    "404": ("/gone.onnx", {}, "cannot be downloaded: the server answers 404 Not Found"),
    "web page": ("/page/net.onnx", {}, "cannot be downloaded: the server answers with a web page instead of the file"),
    "redirect to a file": (
        "/to-file",
        {},
        "cannot be downloaded: it redirects to an address that is not http or https .*file:///etc/hostname",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_failed_download_leaves_nothing_and_says_what_to_do(server: WebServer, tmp_path: Path, fault: str) -> None:
    path, options, reason = FAULTS[fault]
    server.files |= {"net.onnx": CONTENT, "200": b""}
    server.redirects["/to-file"] = "file:///etc/hostname"
    place = tmp_path / "net.onnx"
    quick = DownloadOptions(**{"connect_seconds": 5, "read_seconds": 0.3, **options})
    with pytest.raises(DownloadError, match=reason) as error:
        fetch(Remote(server.url(path), place, "model.path"), quick, quiet)
    message = str(error.value)
    assert message.startswith(f"model.path: {place} does not exist, and {server.url(path)} cannot be downloaded: ")
    assert message.endswith(
        f". Get the file from {server.url(path)} by hand and put it at {place}, or set model.path to where it is."
    )
    assert left(tmp_path) == []


def redirected(location: str, *, checked: bool) -> str | None:
    """Return where a client goes that an https server sends elsewhere."""
    answer = requests.Response()
    answer.status_code, answer.url, answer.headers["Location"] = 302, "https://host/net.onnx", location
    return _Session(checked=checked).get_redirect_target(answer)


@pytest.mark.parametrize("location", ["http://host/net.onnx", "HTTP://other/x", "http://me:secret@other/x?token=abc"])
def test_redirect_that_gives_up_https_is_followed_for_known_bytes_only(location: str) -> None:
    with pytest.raises(TransferError, match=r"it redirects from https to (http|HTTP)://") as error:
        redirected(location, checked=False)
    assert "secret" not in str(error.value) and "abc" not in str(error.value)
    assert redirected(location, checked=True) == location


@pytest.mark.parametrize("location", ["https://other/net.onnx", "/there/net.onnx", "//other/net.onnx"])
def test_redirect_that_keeps_https_is_followed(location: str) -> None:
    assert redirected(location, checked=False) == location


def test_password_and_token_of_an_address_are_in_no_message(
    server: WebServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    address = server.url("").replace("://", "://me:secret@")
    server.files["net.onnx?X-Amz-Signature=abc"] = CONTENT
    with pytest.raises(DownloadError) as error:
        fetch(Remote(f"{address}/gone.onnx?token=abc", tmp_path / "net.onnx", "model.path"), QUICK, quiet)
    assert f"{server.url('/gone.onnx')}?token=*** cannot be downloaded: the server answers 404" in str(error.value)
    with caplog.at_level("INFO"):
        assert fetch(
            Remote(f"{address}/net.onnx?X-Amz-Signature=abc", tmp_path / "net.onnx", "model.path"), QUICK, quiet
        )
    assert "fetched" in caplog.text
    assert not any(word in caplog.text + str(error.value) for word in ("secret", "abc"))


def test_other_bytes_than_configured_are_refused_with_both_digests(server: WebServer, tmp_path: Path) -> None:
    server.files["net.onnx"] = CONTENT
    remote = Remote(server.url("/net.onnx"), tmp_path / "net.onnx", "model.path", "ab" * 32)
    with pytest.raises(DownloadError) as error:
        fetch(remote, QUICK, quiet)
    assert f"gives other bytes than model.sha256 says: expected {'ab' * 32}, got {sha256(CONTENT)}. Get" in str(
        error.value
    )
    assert left(tmp_path) == []


def test_file_put_there_by_hand_has_to_have_the_configured_digest(server: WebServer, tmp_path: Path) -> None:
    place = tmp_path / "net.onnx"
    place.write_bytes(CONTENT)
    assert not fetch(Remote(server.url("/net.onnx"), place, "model.path", sha256(CONTENT)), QUICK, quiet)
    with pytest.raises(DownloadError) as error:
        fetch(Remote(server.url("/net.onnx"), place, "model.path", "ab" * 32), QUICK, quiet)
    assert str(error.value) == (
        f"model.sha256: expected {'ab' * 32}, but {place} has {sha256(CONTENT)}. "
        "Remove the file to have it fetched again, or set model.sha256 to null."
    )


def test_without_a_network_one_message_names_address_key_and_path(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/images.zip"
    place = tmp_path / "data" / "images"
    with pytest.raises(DownloadError) as error:
        fetch(Remote(url, place, "dataset.images"), QUICK, quiet)
    assert str(error.value) == (
        f"dataset.images: {place} does not exist, and {url} cannot be downloaded: [Errno 111] Connection refused. "
        f"Get the file from {url} by hand and put it at {tmp_path}/data/images.zip (it is unpacked to {place}), "
        "or set dataset.images to where it is."
    )


def test_never_asks_nobody(server: WebServer, tmp_path: Path) -> None:
    place = tmp_path / "model" / "net.onnx"
    with pytest.raises(DownloadError) as error:
        fetch(Remote(server.url("/net.onnx"), place, "model.path"), DownloadOptions("never"), quiet)
    assert f"{place} does not exist, and download=never forbids to fetch {server.url('/net.onnx')}. Get" in str(
        error.value
    )
    assert server.requests == [] and not (tmp_path / "model").exists()


def test_archive_becomes_the_folder_that_it_holds(server: WebServer, tmp_path: Path) -> None:
    server.files["images.zip"] = zipped(**IMAGES)
    (tmp_path / "data" / "images").mkdir(parents=True)
    remote = Remote(server.url("/images.zip"), tmp_path / "data" / "images", "dataset.images")
    assert fetch(remote, QUICK, quiet)
    assert left(tmp_path / "data") == ["images"]
    assert left(tmp_path / "data" / "images") == ["a.jpg", "image_label.txt"]


def test_archive_put_there_by_hand_is_unpacked_without_a_network(tmp_path: Path) -> None:
    (tmp_path / "images.zip").write_bytes(zipped(**IMAGES))
    remote = Remote("http://127.0.0.1:1/some/images.zip", tmp_path / "images", "dataset.images")
    assert fetch(remote, DownloadOptions("never"), quiet)
    assert left(tmp_path) == ["images", "images.zip"]


@pytest.mark.parametrize("name", ["../evil.txt", "images/../../evil.txt", "/tmp/evil.txt"])
def test_archive_that_would_leave_its_folder_is_refused_whole(server: WebServer, tmp_path: Path, name: str) -> None:
    server.files["images.zip"] = zipped(**IMAGES, **{name: b"evil"})
    folder = tmp_path / "data"
    with pytest.raises(DownloadError) as error:
        fetch(Remote(server.url("/images.zip"), folder / "images", "dataset.images"), QUICK, quiet)
    assert str(error.value) == (
        f"dataset.images: {folder}/images is missing, and {server.url('/images.zip')} is not unpacked: "
        f"its entry '{name}' would leave the folder. Set dataset.images to a folder that you trust."
    )
    assert left(folder) == [] and sorted(p.name for p in tmp_path.iterdir()) == ["data"]


PROCESS = """
import sys
from pathlib import Path
from runner.download.fetch import fetch
from runner.download.source import DownloadOptions, Remote
print(fetch(Remote(sys.argv[1], Path(sys.argv[2]), "model.path"), DownloadOptions(), lambda done, total: None))
"""


def test_several_processes_fetch_once(server: WebServer, tmp_path: Path) -> None:
    server.files["net.onnx"] = CONTENT
    line = [sys.executable, "-c", PROCESS, server.url("/late/net.onnx"), str(tmp_path / "net.onnx")]
    started = [subprocess.Popen(line, env=environment(), stdout=-1, stderr=-1, text=True) for _ in range(3)]
    ends = [process.communicate(timeout=60) for process in started]
    assert sorted(out.strip() for out, _ in ends) == ["False", "False", "True"], ends
    assert server.requests == ["/late/net.onnx"]
    assert (tmp_path / "net.onnx").read_bytes() == CONTENT


def test_waiting_for_another_process_ends(server: WebServer, tmp_path: Path) -> None:
    options = DownloadOptions(total_seconds=0.1)
    with (
        FileLock(tmp_path / ".net.onnx.lock"),
        pytest.raises(
            DownloadError, match=r"another process has fetched .* for download\.total_seconds=0\.1\. Get the"
        ),
    ):
        fetch(Remote(server.url("/net.onnx"), tmp_path / "net.onnx", "model.path"), options, quiet)


def test_place_that_cannot_be_written_is_named(server: WebServer, tmp_path: Path) -> None:
    (tmp_path / "model").write_text("a file")
    place = tmp_path / "model" / "net.onnx"
    with pytest.raises(DownloadError) as error:
        fetch(Remote(server.url("/net.onnx"), place, "model.path"), QUICK, quiet)
    assert str(error.value) == (
        f"model.path: {place} is missing and cannot be written: File exists. "
        "Set model.path to a place that can, or to where the file is."
    )


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://host/net.onnx", "net.onnx", "http:///net.onnx"])
def test_address_that_is_not_of_the_web_is_refused(url: str) -> None:
    with pytest.raises(ConfigError) as error:
        Remote(url, Path("net.onnx"), "model.path")
    assert str(error.value) == f"model.url: expected an address that begins with http:// or https://, got '{url}'."


@pytest.mark.parametrize("digest", ["", "ab", "g" * 64, "sha256:" + "ab" * 32])
def test_digest_that_is_none_is_refused(digest: str) -> None:
    with pytest.raises(ConfigError, match=r"dataset\.sha256: expected 64 hex digits or null, got"):
        Remote("http://host/a", Path("a"), "dataset.images", digest)


@pytest.mark.parametrize("name", ["connect_seconds", "read_seconds", "total_seconds"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_every_wait_is_finite(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"download\.{name}: expected a finite number above 0, got"):
        DownloadOptions(**{name: value})
