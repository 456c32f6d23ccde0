"""The pictures of docs/explanation, drawn from runs over the shipped model and data: ``python -m benchmarks.pictures``."""
