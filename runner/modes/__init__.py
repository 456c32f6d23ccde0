"""The two stories: a float model searched for its int8 form, and a QAT model converted."""
