"""ONNX models as graphs: reading and writing files, exact rewriting, and finding what can be quantized."""
