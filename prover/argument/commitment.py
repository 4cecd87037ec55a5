"""Chunked KZG commitments: the evaluations of a chunk are coefficients, C = sum_i f_i [tau^i]_1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..curve.combinations import combine
from ..curve.g1 import INFINITY, Point
from ..curve.group_sums import group_sums
from ..curve.msm import msm_field, msm_int
from ..quads import POWERS, QUAD


def commit_field(bases: np.ndarray, coefficients: np.ndarray) -> Point:
    """Commit a field array of at most len(bases) entries; zeros cost nothing."""
    nonzero = np.flatnonzero(coefficients.any(axis=1))
    if len(nonzero) == 0:
        return INFINITY
    if 2 * len(nonzero) < len(coefficients):
        return msm_field(np.ascontiguousarray(bases[nonzero]), np.ascontiguousarray(coefficients[nonzero]))
    return msm_field(bases[: len(coefficients)], coefficients)


def commit_repeated(
    bases: np.ndarray,
    members: Sequence[tuple[int, np.ndarray]],
    values: np.ndarray,
    others: np.ndarray,
    coefficients: np.ndarray,
) -> Point:
    """Commit a field array that is a sum of repeated values, but for the entries `others`.

    Every member (start, numbers) adds values[numbers[i]] to entry start + i, nothing where numbers[i] = len(values); coefficients has
    the whole array.
    """
    used, sums = group_sums(bases[: len(coefficients)], members, len(values))
    others = others[coefficients[others].any(axis=1)]
    points = np.concatenate([sums, bases[others]])
    return commit_field(points, np.concatenate([values[used], coefficients[others]]))


def commit_integers(bases: np.ndarray, coefficients: np.ndarray) -> Point:
    """Commit a flat int64 array of at most len(bases) entries."""
    return msm_int(bases[: len(coefficients)], np.ascontiguousarray(coefficients, dtype=np.int64))


def commit_with_digits(bases: np.ndarray, chunks: Sequence[np.ndarray]) -> list[Point]:
    """Commit chunks of integers (n,), or of numbers by their digits (n, 4): sum_t B^t [digit t], which costs what small integers do (quads.py)."""
    return [
        commit_integers(bases, chunk)
        if chunk.ndim == 1
        else combine([commit_integers(bases, chunk[:, t]) for t in range(QUAD)], POWERS)
        for chunk in chunks
    ]


def split_chunks(values: np.ndarray, count: int, chunk_bits: int) -> list[np.ndarray]:
    """The first `count` chunks of 2^chunk_bits entries of a flat table (a shorter table is one short chunk)."""
    size = 1 << chunk_bits
    return [values[i * size : (i + 1) * size] for i in range(count)]


def commit_chunks(bases: np.ndarray, chunks: Sequence[np.ndarray]) -> list[Point]:
    """Commit integer (1-D) or field (2-D) chunks."""
    return [commit_integers(bases, c) if c.ndim == 1 else commit_field(bases, c) for c in chunks]
