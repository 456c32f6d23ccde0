"""What a model's outputs are worth: metrics, and models scored item by item."""
