"""Commands of the pages that no test runs as they stand, and why; and pages that have a test of their own."""

from __future__ import annotations

import re

# Beginning of a statement, or a part of it -> why it is not run here.
NOT_RUN = {
    r"^(pip install|python -m venv|\. \.venv)": "changes the environment",
    r"^(git clone|cd quant-runner$)": "needs the address of a repository",
    r"data_dir=batches": "needs a folder of the reader's; tests/dataset/test_bin_batches.py",
    r"^(atc|msaccucmp\.py|python3? \S*msaccucmp)": "needs Ascend's toolkit",
    r"^trtexec": "needs TensorRT",
    r"^yolo ": "needs ultralytics",
    r"^docker": "needs Docker",
    r"^ray ": "needs the extra 'ray', and machines",
    r"^mlflow (ui|server)": "serves until it is stopped",
    r"^eval ": "is for an interactive shell; tests/app/test_completion.py",
    r"tf2onnx": "needs TensorFlow's converter",
    r"scripts/\w+\.py|net_qat\.onnx|conversion_report\.json": "needs PyTorch, and what its script makes",
    r"_quant_qdq\.onnx": "needs what TensorFlow's converter makes",
    r"deeplab\.onnx": "needs a network that is fetched; tests/tasks/segmentation/",
    r"rec\.onnx": "needs a network that is fetched; tests/tasks/text/",
    r"yolov8n\.onnx": "needs a network that is fetched; tests/app/test_howto_yolo.py",
    r"^quant-check-deploy net_|net_deploy_model\.onnx": "needs a file of the reader's; tests/app/test_check_deploy.py",
    r"runs/detect": "needs what ultralytics trains",
    r"benchmarks\.\w+": "takes minutes; tests/benchmarks/",
    r"^createdb|tracking\.uri=http|MLFLOW_TRACKING_URI=": "needs a server; tests/app/tracking/",
    r"target_los=": "is wrong on purpose, and refused; tests/app/doctor/",
    r"engine=ray": "needs the extra 'ray'; tests/app/test_engine_ray.py",
    r"launcher=(joblib|ray|submitit)": "needs an extra; tests/app/test_sweeps_page.py",
    r"runner\.tune|quant-tune|\+tuned=": "needs the extra 'tune'; tests/tune/test_tuning_page.py",
    r"imagenet_sample|classification_jpg": "is fetched from the network; tests/download/",
    r"…|\.\.\. ": "is shown in part",
}
# The same, wherever it may come to stand.
NEVER_RUN = {r"^(pytest|\.ci/)": "is this suite"}
# Page -> the test that runs its commands.
OWN_TEST = {
    "docs/howto/sweeps.md": "tests/app/test_sweeps_page.py",
    "docs/howto/sweeps-ray.md": "tests/app/test_sweeps_page.py",
    "docs/howto/sweeps-slurm.md": "tests/app/test_sweeps_page.py",
    "docs/howto/tuning.md": "tests/tune/test_tuning_page.py",
    "docs/howto/detector.md": "tests/app/test_howto_yolo.py",
    "docs/howto/compare-dumps.md": "tests/app/test_comparing_dumps.py",
    "docs/howto/extend-dataset.md": "tests/app/test_data.py",
    "docs/howto/extend-detector.md": "tests/app/test_extending_detector.py",
    "docs/howto/extend-evaluator.md": "tests/app/test_extending_detector.py",
    "docs/migration.md": "tests/app/test_amct_files.py",
}


def why_not(statement: str) -> str | None:
    """Return why a statement is not run; None where it is."""
    return next((why for pattern, why in (NOT_RUN | NEVER_RUN).items() if re.search(pattern, statement)), None)


# Page -> what it speaks of as the reader's own without making it: a float model, a QAT model, arrays, photos with their labels.
GIVEN = {
    "README.md": ("large net.onnx", "large photos"),
    "docs/explanation/targets.md": ("net.onnx", "qat.onnx", "data.npz"),
    "docs/reference/amct-keys.md": ("net.onnx", "data.npz"),
    "docs/reference/records.md": ("net.onnx", "data.npz"),
}
# Page -> what has run before.
BEFORE = {
    "docs/reference/deploy-check.md": "python -m runner",
    "docs/reference/records.md": "python -m runner model=file model.path=net.onnx dataset=npz dataset.path=data.npz "
    "&& cp outputs/acc_auto/tmp/scale_offset_record.txt .",
}
