"""Commitments to streams: running sums, their Merkle trees, and the hash of a boundary (streams.py has the definitions)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from eth_hash.auto import keccak

from .curve.g1 import Point, add, point_to_bytes
from .field.arrays import MODULUS
from .merkle import MerkleTree, leaf_hash

NO_WINDOWS = bytes(32)
"""Root of a stream without windows."""
CLAIM_LEAF_BYTES, CLAIM_GROUP = 16, 32
"""Of a window in a challenger's claim, which a proof shows by groups of so many windows (contracts/protocol/claims.py)."""


_Term = TypeVar("_Term")


def running_sums(windows: Sequence[Point], per_chunk_bits: int) -> list[Point]:
    """R_w of the commitments C_w of windows 0, 1, ..."""
    return _running(windows, per_chunk_bits, add)


def running_blindings(windows: Sequence[int], per_chunk_bits: int) -> list[int]:
    """b of the running sums, from those of the windows."""
    return _running(windows, per_chunk_bits, lambda left, right: (left + right) % MODULUS)


def _running(
    windows: Sequence[_Term], per_chunk_bits: int, plus: Callable[[_Term, _Term], _Term]
) -> list[_Term]:
    sums: list[_Term] = []
    for number, term in enumerate(windows):
        first = number & ((1 << per_chunk_bits) - 1) == 0
        sums.append(term if first else plus(sums[-1], term))
    return sums


def chunk_points(sums: Sequence[_Term], window: int, per_chunk_bits: int) -> list[_Term]:
    """The commitments that windows 0..window are read through, or their blindings: the last running sum of every chunk."""
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
