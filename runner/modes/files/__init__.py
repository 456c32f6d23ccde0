"""The files of a job: those it is given, those it writes, and what re-reading them shows."""
