"""A deploy file held against what ATC takes, with nothing but the file: any file, ours or AMCT's."""
