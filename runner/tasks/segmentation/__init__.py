"""The class of each pixel: read out of a model's outputs, counted against a mask, judged by intersection over union."""
