"""Text that a recogniser reads: decoded from its outputs, judged by its errors."""
