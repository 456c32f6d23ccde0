"""Speed, memory and accuracy beside other tools; nothing here is imported by the runner or timed by its tests.

    python -m benchmarks.compare      one table: ours, NNCF, onnxruntime
    python -m benchmarks.scaling      how time and memory grow with items, layers and model size
    python -m benchmarks.accuracy     how much each tool's all-int8 model loses, and what each correction brings

Every tool runs in a process of its own, one at a time. Peers need the extra `bench` (`pip install -e '.[bench]'`); a peer
that is not installed is named and left out. Real models are read from the folder that RUNNER_ZOO names; without it the shipped
digits stand in.
"""
