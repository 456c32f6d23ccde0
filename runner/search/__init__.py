"""Which layers stay int8: sensitivity, strategies, and the driver that tries plans."""
