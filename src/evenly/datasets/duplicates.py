"""Identical payloads: copies within and across parts, and copies that disagree about the label."""

from __future__ import annotations

import numpy as np


def first_copies(fingerprints: np.ndarray, *keys: np.ndarray) -> np.ndarray:
    """For each row, the first row by position with the same fingerprint and the same `keys`; int64 (n,)."""
    _, combined = np.unique(fingerprints, return_inverse=True)
    for key in keys:
        codes = key.astype(np.int64)
        _, combined = np.unique(combined * (int(codes.max(initial=0)) + 1) + codes, return_inverse=True)
    _, first = np.unique(combined, return_index=True)
    firsts: np.ndarray = first[combined]
    return firsts


def leaked_copies(fingerprints: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """For each row, a row with the same payload in a later part, or −1; int64 (n,).

    Later means test after validation after train: such a row has to leave its part, so that nothing is
    trained or tuned on what is tested.
    """
    order = np.lexsort((-parts, fingerprints))
    _, first, payload = np.unique(fingerprints[order], return_index=True, return_inverse=True)
    latest = order[first][payload]
    copies = np.full(len(parts), -1, dtype=np.int64)
    copies[order] = np.where(parts[latest] > parts[order], latest, -1)
    return copies


def conflicting(fingerprints: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Mask of rows whose payload also occurs with another label; bool (n,)."""
    _, inverse = np.unique(fingerprints, return_inverse=True)
    size = int(inverse.max(initial=-1)) + 1
    least = np.full(size, np.iinfo(np.int64).max)
    most = np.full(size, -1)
    np.minimum.at(least, inverse, codes)
    np.maximum.at(most, inverse, codes)
    mask: np.ndarray = (least != most)[inverse]
    return mask
