"""One spelling for what exporters write in many, before anything is read."""
