"""A sweep: what its jobs are called, where they write, which of them still have to run, and what is told at its end."""
