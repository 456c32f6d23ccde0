"""The table of Q/DQ files, from figures as the scoring process writes them."""

from benchmarks.qdq import table


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
