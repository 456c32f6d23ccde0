"""Constants that a source stores as integers or rounds: weights, biases and what operators make of them."""
