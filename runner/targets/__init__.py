"""Where a quantized model can run: what each target holds, and how its file is written and checked."""
