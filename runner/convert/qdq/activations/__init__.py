"""Activations that a source rounds: the pairs, how far their rounding reaches, who reads them, what is left without them."""
