"""A password or token on the command line is in no file that a job, or a sweep, leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.app.conftest import Command, Tiny

ADDRESSES = (
    "++tracking.uri=postgresql://me:opensesame@127.0.0.1:9/runs",
    "model.url='https://opensesame@127.0.0.1:9/net.onnx?X-Amz-Signature=opensesame&v=1'",
)


@pytest.mark.parametrize("sweep", [False, True], ids=["job", "sweep"])
def test_no_file_holds_a_password(tiny: Tiny, run: Command, tmp_path: Path, sweep: bool) -> None:
    ended = run(*(["--multirun", "seed=0,1"] if sweep else []), *tiny.options(), *ADDRESSES)
    assert ended.status == 0
    files = [path for path in (tmp_path / "outputs").rglob("*") if path.is_file()]
    assert [path for path in files if b"opensesame" in path.read_bytes()] == []
    assert "opensesame" not in ended.err + ended.out
    kept = [path for path in files if b"://me@127.0.0.1" in path.read_bytes().replace(b"\\", b"")]
    assert {path.name for path in kept} >= {"events.jsonl", "config.yaml", "overrides.yaml"}
