"""AMCT's configuration files: which layers are quantized, and how; read, written and applied to a model's layers."""
