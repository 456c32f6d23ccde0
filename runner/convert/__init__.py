"""Between a float model with its quantized form and the models that carry it: fake-quant, deploy, and QAT's Q/DQ."""
