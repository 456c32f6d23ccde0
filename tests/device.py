"""The device's integers, computed with exact int64 arithmetic: what every written model is held against.

Nothing here comes from ``runner``. A product of two float32 and the sum of a float32 and a small integer are exact in
float64, so one cast to float32 is the device's one rounding.
"""

from __future__ import annotations

import numpy as np


def centred(x, scale, zero_point):
    """Return the codes of float32 ``x`` less the zero point, int64, shape as ``x``."""
    r = np.float32(1 / np.float64(np.float32(scale)))
    scaled = (x.astype(np.float64) * np.float64(r)).astype(np.float32)
    shifted = (scaled.astype(np.float64) + zero_point).astype(np.float32)
    return np.clip(np.round(shifted), -128, 127).astype(np.int64) - zero_point


def conv(q, weight, bias, *, strides=(1, 1), pads=(0, 0, 0, 0), dilations=(1, 1), group=1):
    """Return the exact sums of a 2-D convolution of centred codes [N,C,H,W] with integers [O,C/group,kh,kw], int64."""
    top, left, bottom, right = pads
    q = np.pad(q, ((0, 0), (0, 0), (top, bottom), (left, right)))
    out_channels, in_group, kernel_h, kernel_w = weight.shape
    height = (q.shape[2] - dilations[0] * (kernel_h - 1) - 1) // strides[0] + 1
    width = (q.shape[3] - dilations[1] * (kernel_w - 1) - 1) // strides[1] + 1
    sums = np.zeros((q.shape[0], out_channels, height, width), np.int64)
    per_group = out_channels // group
    for o in range(out_channels):
        first = o // per_group * in_group
        for i in range(kernel_h):
            for j in range(kernel_w):
                rows = slice(i * dilations[0], i * dilations[0] + (height - 1) * strides[0] + 1, strides[0])
                columns = slice(j * dilations[1], j * dilations[1] + (width - 1) * strides[1] + 1, strides[1])
                window = q[:, first : first + in_group, rows, columns]
                taps = weight[o, :, i, j].astype(np.int64)
                sums[:, o] += np.einsum("nchw,c->nhw", window, taps)
    return sums if bias is None else sums + bias.astype(np.int64).reshape(1, -1, 1, 1)


def conv_transposed(q, weight, bias, *, pads, group=1):
    """Return the exact sums of a 2-D transposed convolution, strides 1, with integers [C,O/group,kh,kw], int64."""
    n, channels, height, width = q.shape
    _, per_group, kernel_h, kernel_w = weight.shape
    sums = np.zeros((n, per_group * group, height + kernel_h - 1, width + kernel_w - 1), np.int64)
    for c in range(channels):
        first = c // (channels // group) * per_group
        for i in range(kernel_h):
            for j in range(kernel_w):
                spread = q[:, c, None] * weight[c, :, i, j].astype(np.int64).reshape(1, -1, 1, 1)
                sums[:, first : first + per_group, i : i + height, j : j + width] += spread
    top, left, bottom, right = pads
    sums = sums[:, :, top : sums.shape[2] - bottom, left : sums.shape[3] - right]
    return sums if bias is None else sums + bias.astype(np.int64).reshape(1, -1, 1, 1)


def average(q, scale, *, kernel, strides, pads, include_pad):
    """Return ``fl32(fl32(fl32(sum) / count) * scale)`` of each window of centred codes [N,C,H,W]."""
    top, left, bottom, right = pads
    edges = ((0, 0), (0, 0), (top, bottom), (left, right))
    inside = np.ones_like(q) if include_pad else np.pad(np.ones_like(q), edges)
    inside = np.pad(inside, edges, constant_values=1) if include_pad else inside

    def windows(array):
        steps = (slice(None), slice(None), slice(None, None, strides[0]), slice(None, None, strides[1]))
        return np.lib.stride_tricks.sliding_window_view(array, kernel, axis=(2, 3))[steps].sum(axis=(4, 5))

    mean = windows(np.pad(q, edges)).astype(np.float32) / windows(inside).astype(np.float32)
    return mean * np.float32(scale)


def matmul(q, weight, bias=None):
    """Return the exact sums of centred codes [..., K] times integers [K, N], int64."""
    sums = q @ weight.astype(np.int64)
    return sums if bias is None else sums + bias.astype(np.int64)


def real(sums, scale, weight_scales, channel_axis):
    """Return ``fl32(fl32(sums) * fl32(scale * scale_w))``, the scales along ``channel_axis``."""
    weight_scales = np.asarray(weight_scales, np.float32).astype(np.float64)
    deq = (np.float64(np.float32(scale)) * weight_scales).astype(np.float32)
    shape = [1] * sums.ndim
    shape[channel_axis] = -1
    return (sums.astype(np.float32).astype(np.float64) * deq.reshape(shape)).astype(np.float32)
