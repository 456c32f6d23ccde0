"""Which layers stay int8: sensitivity, strategies, and the search that tries plans and keeps a log of them."""
