"""Boxes of a detector: read out of its outputs, matched to the truth, judged by average precision."""
