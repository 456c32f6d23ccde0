"""Ascend NPUs: the deploy model that ATC takes, and the fake-quant model that has the same bits."""
