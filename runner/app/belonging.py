"""What to say of an option that another mode has."""

from __future__ import annotations


def belongs(mode: str, section: str | None = None) -> str:
    """Return what to do about an option, or the section it is in, that belongs to another mode."""
    return f"{section or 'It'} belongs to mode={mode}; leave it out, or choose that mode."
