"""What is told of a result: a file a section, each a function from the typed result to figures."""
