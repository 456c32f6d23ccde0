"""The table of Q/DQ files, from figures as the scoring process writes them."""

from benchmarks.qdq_form import quantize

from benchmarks.generated import images, network
from benchmarks.job import parse
from benchmarks.qdq import table
from runner.graph.model_file import model_bytes
from runner.targets.qdq.check import check_against_layers
from runner.targets.qdq.kernels import kernels_of
from runner.targets.qdq.placement import PLACEMENTS
from runner.targets.qdq.write import qdq_model


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


def test_a_model_is_quantized_and_written_as_it_was_quantized(tmp_path):
    """From items to the file, with every layer an integer kernel that another convolution or an average follows."""
    model = network(tmp_path / "net.onnx", layers=3, channels=4)
    x, y = images(tmp_path, 6)
    given = (
        "model=file",
        f"model.path={model}",
        "dataset=npy",
        f"dataset.path={x}",
        f"dataset.labels={y}",
        "quant=fast",
    )
    made = quantize(parse(given), PLACEMENTS["fused"])
    path = tmp_path / "qdq.onnx"
    path.write_bytes(model_bytes(qdq_model(made.model, made.found, made.form)))
    assert check_against_layers(path, made.form, made.found) == []
    assert len(made.form.layers) == len(made.found.layers)
    assert kernels_of(path).float_layers == ()
