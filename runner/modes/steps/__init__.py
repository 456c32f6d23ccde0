"""The steps of a job, each from the values of those before it to a value of its own."""
