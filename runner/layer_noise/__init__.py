"""What int8 does inside the model: noise from layer to layer, and the values that are rounded."""
