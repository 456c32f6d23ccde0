"""``doctor``: a command looked at before it runs, and everything that is wrong told at once."""
