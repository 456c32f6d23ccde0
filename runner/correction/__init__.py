"""What makes a layer's quantized form better than rounding to nearest: another range, other integers, another bias."""
