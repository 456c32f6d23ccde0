"""A deploy file, its integers executed as written, against the fake-quant file. Reads files only: no record, no plan."""
