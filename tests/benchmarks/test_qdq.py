"""The table of Q/DQ files, from figures as the scoring process writes them."""

import json

from benchmarks.generated import images, network
from benchmarks.process import python
from benchmarks.qdq import table
from runner.targets.qdq.kernels import kernels_of


def test_a_row_says_what_a_file_is_worth_and_why_another_does_not_load():
    ours = {
        "kl": 0.0029,
        "sqnr_db": 30.4,
        "agreement": 99.5,
        "float_top1": 89.0,
        "top1": 88.5,
        "ratio": 0.76,
        "kib": 3703.4,
    }
    found = {
        "ours": {**ours, "integer": 52, "float": ["last"], "seconds": 50.2},
        "a peer": {"error": "Invalid graph"},
        "float": {"ratio": 1.0, "kib": 13681.0},
    }
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table(found).splitlines()[2:]]
    assert rows[0] == ["ours", "0.0029", "30.4", "99.5", "0.50", "0.76", "3703", "52 / 1", "50.2", ""]
    assert rows[1][0] == "a peer" and rows[1][-1] == "Invalid graph"
    assert rows[2][5:7] == ["1.00", "13681"]


def test_a_model_is_quantized_whole_and_its_file_measured(tmp_path):
    """From items to the file, with every layer an integer kernel that another convolution or an average follows."""
    model = network(tmp_path / "net.onnx", layers=3, channels=4)
    x, y = images(tmp_path, 6)
    given = ["model=file", f"model.path={model}", "dataset=npy", f"dataset.path={x}", f"dataset.labels={y}"]
    folder = tmp_path / "ours"
    made = python(["-m", "benchmarks.qdq_make", "fused", str(folder), *given, "quant=fast", "calibration.count=2"])
    assert made.status == 0, made.output
    told = json.loads((folder / "peer.json").read_text())
    assert told["seconds"] > 0 and told["tensors"] > 0
    kernels = kernels_of(folder / "model.onnx")
    assert (kernels.integer, kernels.float_layers) == (4, ())
