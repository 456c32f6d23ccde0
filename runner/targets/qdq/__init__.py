"""Standard QuantizeLinear and DequantizeLinear: one file for onnxruntime, TensorRT and OpenVINO."""
