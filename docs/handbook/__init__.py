"""How the pages of docs/ become a site, and those of them that are generated are written: ``python -m docs.handbook``."""
