"""Streams: what passes from step to step, and what a boundary between two steps is made of.

A stream is a named tensor with one row per position, committed window by window (32 rows). A boundary is the state of
all streams of a model; a stream that nobody wrote yet, or that a step reset, has no windows, and whoever reads a window of
it reads zeros (the point at infinity).

Commitments of all this are in stream_commitments.py:

    C_w   commitment to window w. A *placed* stream has 2^n entries per window at place w mod 2^(mu - n) of a chunk of
          2^mu, so that the windows of one chunk add up to the commitment of the chunk
    R_w   running sum: C_w at the first place of a chunk, R_(w-1) + C_w at every other; an unplaced stream has R_w = C_w
    root  Merkle root over keccak(keccak(w, R_w)) for all w; 32 zero bytes without windows
    hash  keccak of the roots of all streams, in the order of STREAM_ORDER

Who reads windows 0..w of a placed stream needs the running sum at the last of them in each chunk only: chunk points.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntFlag

from .tables import WINDOW_BITS

RESIDUAL, SUM = "residual", "sum"
SUMS = (SUM, "query_sum", "key_sum", "value_sum")
"""Exact partial sums of a matrix that is cut into tiles: of one that leads back to the channels, of queries (or their latents), keys and values."""
CHOSEN_LOGIT = "chosen_logit"
"""The logit of the committed next token at every position that has one, else 0: what the head in audit form reads."""
STREAM_ORDER = (
    *(RESIDUAL, "normalised", "query", "keys", "values", "latent", "query_latent", "gates"),
    *SUMS,
    CHOSEN_LOGIT,
)
"""Every stream that an architecture can have, in the order in which boundaries hash their roots; the last is in no boundary of
the layers' steps (architectures/audit_steps.py)."""


class Use(IntFlag):
    """What a step does to one stream: four bits of its access word."""

    READS_OWN = 1
    READS_ALL = 2
    WRITES = 4
    RESETS = 8


NAMES_WINDOW = 1 << 63
"""Bit of an access word: statements of the kind start with the number of their window."""


def access_word(uses: Mapping[int, Use], *, names_window: bool) -> int:
    """What a kind of step does to the streams with these numbers: four bits per stream, from stream 0 on."""
    word = sum(int(use) << (4 * stream) for stream, use in uses.items())
    return word | (NAMES_WINDOW if names_window else 0)


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
