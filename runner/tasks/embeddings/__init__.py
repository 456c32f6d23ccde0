"""Embeddings: how far they turn away from the float model's, and whether the nearest ones are still of the same class."""
