"""Settings of jobs tried one after the other, in a study that can go on: ``python -m runner.tune``."""
