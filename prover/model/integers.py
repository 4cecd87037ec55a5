"""Rounding floats to integers at power-of-two scales."""

from __future__ import annotations

import numpy as np

WEIGHT_LIMIT = 2**15 - 1
USUAL_RESIDUAL_SCALE = 12


def round_half_up(values: np.ndarray, scale: int) -> np.ndarray:
    """floor(values·2^scale + 1/2) as float64 integers."""
    return np.floor(np.ldexp(values, scale) + 0.5)


def largest_scale(values: np.ndarray, limit: int, largest: int = WEIGHT_LIMIT) -> int:
    """The largest scale, at most `limit`, at which no absolute value exceeds `largest` after rounding."""
    extremes = np.array([values.min(), values.max()], dtype=np.float64)
    scale = limit
    while np.abs(round_half_up(extremes, scale)).max() > largest:
        scale -= 1
    return scale


def largest_residual_scale(embedding: np.ndarray, factor: float, limit: int = USUAL_RESIDUAL_SCALE) -> int:
    """The largest residual scale, at most `limit`, at which all embedding rows fit 16 bits.

    It depends on the embedding alone, so that everybody who imports a file derives the same integers.
    """
    extremes = np.array([embedding.min(), embedding.max()], dtype=np.float64)
    return largest_scale(extremes * factor, limit)
