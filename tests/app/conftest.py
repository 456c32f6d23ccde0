"""The command line in this process, on a network of three layers and its data."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hydra.core.global_hydra import GlobalHydra
from numpy.typing import NDArray

from runner.app.main import main
from runner.app.places import shipped
from runner.app.sweep.callback import SweepFolder
from tests.command import Ended
from tests.data import normal_items
from tests.models import answers, conv_gemm, save

Command = Callable[..., Ended]


@dataclass(frozen=True)
class Tiny:
    """A network [N, 2, 6, 6] -> 5 logits on disk, with 40 items labelled by its own answers."""

    folder: Path
    model: Path
    data: Path
    x: NDArray[np.float32]
    y: NDArray[np.int64]

    def options(self, **more: object) -> list[str]:
        """Return the command line of a short job that meets its target, with changes."""
        values: dict[str, object] = {
            "model": "file",
            "model.path": self.model,
            "model.name": "net",
            "dataset": "npz",
            "dataset.path": self.data,
            "calibration.count": 6,
            "quant": "amct",
            "observer": "minmax",
            "target_loss": 90,
            "tracking": "none",
        }
        values |= {key.replace("__", "."): value for key, value in more.items()}
        return [f"{key}={value}" for key, value in values.items() if value is not None]


_ONE_BOX = b"""{"images": [{"id": 1, "file_name": "a.png"}], "categories": [{"id": 1, "name": "digit"}],
"annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [8, 8, 16, 16]}]}"""


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """A network and data, made once."""
    folder = tmp_path_factory.mktemp("tiny")
    model = conv_gemm()
    x = normal_items(40, 2, 6, 6)
    y = answers(model, x)
    np.savez(folder / "data.npz", x=x, y=y)
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", y)
    (folder / "bin").mkdir()
    for batch in range(2):
        x[20 * batch : 20 * batch + 20].tofile(folder / "bin" / f"{batch}.bin")
    photo = Path(shipped("data/digits/eval/digit_0000_0.png")).read_bytes()
    pq.write_table(pa.table({"image": [photo] * 3, "label": [0] * 3}), folder / "photos.parquet")
    files = {"photos/a.png": photo, "boxes/a.txt": b"0 0.5 0.5 0.5 0.5", "boxes.json": _ONE_BOX}
    files |= {"masks/a.png": photo, "lines.txt": b"a.png\tdigit"}
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    return Tiny(folder, save(model, folder / "net.onnx"), folder / "data.npz", x, y)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Command]:
    """Run the command line in this process, from an empty directory, with no state left by an earlier one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    # The command adds to it.
    monkeypatch.setattr(sys, "path", list(sys.path))
    # Set by the command itself; setting it here has it put back at the end of the test.
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")

    def forget() -> None:
        GlobalHydra.instance().clear()
        SweepFolder.begun = None

    def started(*arguments: str) -> Ended:
        forget()
        monkeypatch.setattr(sys, "argv", ["runner", *arguments])
        capsys.readouterr()
        try:
            status = main()
        except SystemExit as error:
            # argparse refuses an option in this way.
            status = int(error.code or 0)
        out, err = capsys.readouterr()
        return Ended(status, out, err)

    yield started
    forget()
