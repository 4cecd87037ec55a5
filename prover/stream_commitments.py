"""Commitments to streams: running sums, their Merkle trees, and the hash of a boundary (streams.py has the definitions)."""

from __future__ import annotations

from collections.abc import Sequence

from eth_hash.auto import keccak

from .curve.g1 import Point, add, point_to_bytes
from .merkle import MerkleTree, leaf_hash

NO_WINDOWS = bytes(32)
"""Root of a stream without windows."""


def running_sums(windows: Sequence[Point], per_chunk_bits: int) -> list[Point]:
    """R_w of the commitments C_w of windows 0, 1, ..."""
    sums: list[Point] = []
    for number, point in enumerate(windows):
        first = number & ((1 << per_chunk_bits) - 1) == 0
        sums.append(point if first else add(sums[-1], point))
    return sums


def chunk_points(sums: Sequence[Point], window: int, per_chunk_bits: int) -> list[Point]:
    """The commitments that windows 0..window are read through: the last running sum of every chunk."""
    per_chunk = 1 << per_chunk_bits
    return [sums[min(first + per_chunk - 1, window)] for first in range(0, window + 1, per_chunk)]


def window_leaf(window: int, point: Point) -> bytes:
    """Leaf of one running sum."""
    return leaf_hash(window.to_bytes(32, "big") + point_to_bytes(point))


def window_tree(sums: Sequence[Point]) -> MerkleTree:
    """The tree of a stream with at least one window."""
    return MerkleTree([window_leaf(window, point) for window, point in enumerate(sums)])


def stream_root(sums: Sequence[Point]) -> bytes:
    """Root of a stream; NO_WINDOWS when it has none."""
    return window_tree(sums).root if sums else NO_WINDOWS


def boundary_hash(roots: Sequence[bytes]) -> bytes:
    """Hash of the state of all streams."""
    return keccak(b"".join(roots))
