"""Layers: what a source says of each, and how its integers and scales come into a record."""
