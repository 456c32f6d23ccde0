"""Verdicts from fewer than all items, where those settle them: a judge around another, which can be left out."""
