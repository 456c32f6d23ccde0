"""Labelled data as items by index: one array (or several), one label, one fingerprint."""
