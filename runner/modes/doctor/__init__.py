"""A job looked at before it runs: everything that would stop it, or spoil its figures, in one list."""
