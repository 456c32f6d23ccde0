"""Items scored on other machines: an engine that sends what a caller does with each item to where workers are."""
