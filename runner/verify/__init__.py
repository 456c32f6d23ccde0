"""A deploy file, executed with the device's arithmetic, against the fake-quant file. Reads files only: no record, no plan."""
