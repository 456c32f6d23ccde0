"""Damaged inputs by the thousand: whatever a file holds, the program refuses it in a sentence or reads it."""
