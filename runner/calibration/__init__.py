"""From a float model and calibration items to the quantized form of every layer."""
