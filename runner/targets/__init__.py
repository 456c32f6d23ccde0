"""What a quantized model is made for: how it is simulated, written, checked and proved, and what to do with it next."""
