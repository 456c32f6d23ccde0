"""Which items have one of their own class among their nearest others."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

# Similarities that are held at a time.
_AT_A_TIME = 4_000_000
_KEPT = 8


def hits(classes: NDArray[np.int64], embeddings: NDArray[np.float64], k: int) -> NDArray[np.bool_]:
    """Return whether an item's ``k`` nearest others hold one of its class, shape (items,); the last few results are kept.

    Nearest by cosine similarity, equally near ones in the order of items. What has no direction, being 0 or not finite, is
    farther than all else, and finds nothing.

    Args:
        classes: shape (items,).
        embeddings: shape (items, values).
        k: at least 1.
    """
    hasher = hashlib.blake2b(repr((k, embeddings.shape)).encode())
    for array in (classes, embeddings):
        hasher.update(np.ascontiguousarray(array).tobytes())
    return _kept.get(hasher.digest(), classes, embeddings, k)


def counted(classes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which items count: those that are not the only one of their class, shape (items,)."""
    _, place, count = np.unique(classes, return_inverse=True, return_counts=True)
    return np.asarray(count[place] > 1, np.bool_)


class _Kept:
    """The last few results: a job asks for the figures of the float model again and again."""

    def __init__(self) -> None:
        self._results: OrderedDict[bytes, NDArray[np.bool_]] = OrderedDict()
        self._lock = threading.Lock()

    def get(
        self, digest: bytes, classes: NDArray[np.int64], embeddings: NDArray[np.float64], k: int
    ) -> NDArray[np.bool_]:
        with self._lock:
            found = self._results.get(digest)
        if found is None:
            found = _computed(classes, embeddings, k)
        with self._lock:
            self._results[digest] = found
            self._results.move_to_end(digest)
            while len(self._results) > _KEPT:
                self._results.popitem(last=False)
        return found


_kept = _Kept()


def _computed(classes: NDArray[np.int64], embeddings: NDArray[np.float64], k: int) -> NDArray[np.bool_]:
    directions, known = _directions(embeddings)
    items = len(classes)
    found = np.zeros(items, np.bool_)
    positions = np.arange(items)
    step = max(1, _AT_A_TIME // max(items, 1))
    for start in range(0, items, step):
        queries = positions[start : start + step]
        similar = directions[queries] @ directions.T
        similar[:, ~known] = -np.inf
        similar[np.arange(len(queries)), queries] = -np.inf
        same = classes[queries, np.newaxis] == classes[np.newaxis]
        of_class = np.where(same, similar, -np.inf)
        # The nearest of the class, the first among equals; and how many others come before it.
        nearest = of_class.argmax(axis=1)
        best = of_class[np.arange(len(queries)), nearest][:, np.newaxis]
        before = (similar > best) | ((similar == best) & (positions < nearest[:, np.newaxis]))
        found[queries] = known[queries] & np.isfinite(best[:, 0]) & (before.sum(axis=1) < k)
    return found


def _directions(embeddings: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return embeddings of length 1, zeros where one has no direction, and which have one."""
    largest = np.abs(embeddings).max(axis=1, initial=0.0)
    known = np.isfinite(largest) & (largest > 0)
    directions = np.zeros_like(embeddings)
    scaled = embeddings[known] / largest[known, np.newaxis]
    directions[known] = scaled / np.sqrt((scaled**2).sum(axis=1, keepdims=True))
    return directions, known
