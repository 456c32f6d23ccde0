"""Reading quantization-aware-trained models: what their QuantizeLinear/DequantizeLinear say, and what becomes of each."""
