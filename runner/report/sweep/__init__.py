"""How a sweep is told: in the terminal, as a page, as files to go on with."""
