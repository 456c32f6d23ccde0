"""Files that are fetched where they are missing: whole or not at all, never outside their folder."""
