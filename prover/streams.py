"""Streams: what passes from step to step, and what a boundary between two steps is made of.

A stream is a named tensor with one row per position, committed window by window (32 rows). A boundary is the state of
all streams of a model; a stream that nobody wrote yet, or that a step reset, has no windows, and whoever reads a window of
it reads zeros (the point at infinity).

    C_w   commitment to window w. A *placed* stream has 2^n entries per window at place w mod 2^(mu - n) of a chunk of
          2^mu, so that the windows of one chunk add up to the commitment of the chunk
    R_w   running sum: C_w at the first place of a chunk, R_(w-1) + C_w at every other; an unplaced stream has R_w = C_w
    root  Merkle root over keccak(keccak(w, R_w)) for all w; 32 zero bytes without windows
    hash  keccak of the roots of all streams, in the order of STREAM_ORDER

Who reads windows 0..w of a placed stream needs the running sum at the last of them in each chunk only: chunk points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eth_hash.auto import keccak

from .curve.g1 import Point, add, point_to_bytes
from .merkle import MerkleTree, leaf_hash
from .tables import WINDOW_BITS

RESIDUAL, SUM = "residual", "sum"
STREAM_ORDER = (RESIDUAL, "normalised", "keys", "values", "latent", "gates", SUM)
"""Every stream that an architecture can have, in the order in which boundaries hash their roots."""
NO_WINDOWS = bytes(32)
"""Root of a stream without windows."""


@dataclass(frozen=True)
class Stream:
    """A stream of a model: 2^row_bits entries per position."""

    name: str
    row_bits: int
    placed: bool = False

    @property
    def window_bits(self) -> int:
        """n: log2 of the entries of a window."""
        return WINDOW_BITS + self.row_bits

    def chunk_windows_bits(self, chunk_bits: int) -> int:
        """log2 of the windows that share a chunk: mu - n for a placed stream, 0 for any other."""
        return max(0, chunk_bits - self.window_bits) if self.placed else 0

    def place(self, window: int, chunk_bits: int) -> int:
        """Where a window lies in its chunk."""
        return window & ((1 << self.chunk_windows_bits(chunk_bits)) - 1)


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
