"""Streams: named tensors of one row per position, that steps read and write window by window. The mirror of Streams.sol.

2^p windows of a stream share a chunk of the commitment's powers: window w is committed at place w mod 2^p. What is known of a
stream at a boundary is the running sum R_w of every window: the sum of the window commitments of its chunk up to and with
window w, so that R_w is the commitment C_w where w mod 2^p = 0, and C_w = R_w - R_{w-1} elsewhere.

    leaf(w) = keccak(keccak(w, R_w.x, R_w.y)), root = Merkle root over all W leaves, boundary hash = keccak(roots)

A stream that was never written, or was reset, has no windows: its sums are [] here, its root is zero, and whoever reads it
reads infinity.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prover.curve.g1 import add, negate
from prover.errors import BadInputError
from prover.stream_commitments import NO_WINDOWS, boundary_hash, running_sums, stream_root, window_leaf
from prover.stream_commitments import window_tree as stream_tree
from prover.streams import NAMES_WINDOW, Use
from prover.streams import access_word as word_of

Point = tuple[int, int]

MOST_STREAMS = 15
_INFINITY: Point = (0, 0)


class StreamsInvalid(BadInputError, ValueError):
    """Streams, or what a kind of step does to them, that the registry does not take."""


def pack_streams(chunk_bits: Sequence[int]) -> int:
    """p + 1 of every stream in eight bits each, from stream 0 on. Raises `StreamsInvalid`."""
    if not 1 <= len(chunk_bits) <= MOST_STREAMS:
        raise StreamsInvalid(
            f"A model has 1 to {MOST_STREAMS} streams, not {len(chunk_bits)}; change its list of streams."
        )
    if chunk_bits[0] != 0:
        raise StreamsInvalid(
            f"Stream 0 has 2^{chunk_bits[0]} windows per chunk; the residual stream has one: set its bits to 0."
        )
    if bad := [bits for bits in chunk_bits if not 0 <= bits < 255]:
        raise StreamsInvalid(f"A stream has 2^{bad[0]} windows per chunk; the exponent is 0 to 254.")
    return sum((bits + 1) << (8 * stream) for stream, bits in enumerate(chunk_bits))


def unpack_streams(word: int) -> tuple[int, ...]:
    """p of every stream."""
    chunk_bits = []
    while word & 0xFF:
        chunk_bits.append((word & 0xFF) - 1)
        word >>= 8
    return tuple(chunk_bits)


def access_word(
    reads_own: Iterable[int] = (),
    reads_all: Iterable[int] = (),
    writes: Iterable[int] = (),
    resets: Iterable[int] = (),
    names_window: bool = False,
) -> int:
    """What a kind of step does to the streams with these numbers, and whether its statement names the window."""
    found: dict[int, Use] = {}
    uses = (Use.READS_OWN, reads_own), (Use.READS_ALL, reads_all), (Use.WRITES, writes), (Use.RESETS, resets)
    for use, streams in uses:
        for stream in streams:
            found[stream] = found.get(stream, Use(0)) | use
    return word_of(found, names_window=names_window)


def access_problem(word: int, streams: int) -> str | None:
    """Why the registry takes no kind with this access; None when it does."""
    uses = [Use(word >> (4 * stream) & 0xF) for stream in range(streams)]
    if word % NAMES_WINDOW >> (4 * streams):
        return f"it names a stream beyond the model's {streams}"
    for stream, use in enumerate(uses):
        if Use.READS_OWN in use and Use.READS_ALL in use:
            return f"it reads stream {stream} in two ways"
        if Use.WRITES in use and Use.RESETS in use:
            return f"it writes and resets stream {stream}"
    if not any(Use.WRITES in use for use in uses):
        return "it writes no stream"
    return None


# --- commitments


def window_commitment(sums: Sequence[Point], window: int, chunk_bits: int) -> Point:
    """C_w from the running sums."""
    if not sums:
        return _INFINITY
    if _starts_chunk(window, chunk_bits):
        return sums[window]
    return add(sums[window], negate(sums[window - 1]))


def window_commitments(sums: Sequence[Point], chunk_bits: int) -> list[Point]:
    """C_w of all windows from the running sums."""
    return [window_commitment(sums, window, chunk_bits) for window in range(len(sums))]


def _starts_chunk(window: int, chunk_bits: int) -> bool:
    return window % (1 << chunk_bits) == 0


# --- steps


@dataclass(frozen=True)
class ShownWindows:
    """What `proveStep` takes about windows: running sums, and the siblings of their leaves, in the contract's order."""

    sums: tuple[Point, ...]
    siblings: tuple[bytes, ...]


@dataclass(frozen=True)
class StepAccess:
    """What one kind of step does to the streams of its model."""

    chunk_bits: tuple[int, ...]
    word: int

    def use(self, stream: int) -> Use:
        return Use(self.word >> (4 * stream) & 0xF)

    def streams_with(self, use: Use) -> tuple[int, ...]:
        """The streams that a step uses in this way (or in one of these)."""
        return tuple(stream for stream in range(len(self.chunk_bits)) if self.use(stream) & use)

    @property
    def written(self) -> tuple[int, ...]:
        """The streams whose windows a claim is about, in their order."""
        return self.streams_with(Use.WRITES)

    @property
    def names_window(self) -> bool:
        """Whether a statement starts with the window's number."""
        return bool(self.word & NAMES_WINDOW)

    def statement_inputs(
        self, window: int, before: Sequence[Sequence[Point]], after: Sequence[Sequence[Point]]
    ) -> list[int]:
        """[w, read ..., written ...] as the contract rebuilds it; `before`, `after`: running sums per stream."""
        points: list[Point] = []
        for stream, bits in enumerate(self.chunk_bits):
            if Use.READS_OWN in self.use(stream):
                points.append(window_commitment(before[stream], window, bits))
            if Use.READS_ALL in self.use(stream):
                points += [_sum_at(before[stream], end) for end in chunk_ends(window, bits)]
        points += [window_commitment(after[s], window, self.chunk_bits[s]) for s in self.written]
        flat = [coordinate for point in points for coordinate in point]
        return [window, *flat] if self.names_window else flat

    def shown_windows(
        self, window: int, before: Sequence[Sequence[Point]], after: Sequence[Sequence[Point]]
    ) -> ShownWindows:
        """The leaves that a statement about `window` follows from."""
        sums: list[Point] = []
        siblings: list[bytes] = []
        for stream, bits in enumerate(self.chunk_bits):
            if Use.READS_OWN in self.use(stream):
                _show_own(before[stream], window, bits, sums, siblings)
            if Use.READS_ALL in self.use(stream):
                _show_all(before[stream], window, bits, sums, siblings)
        for stream in self.written:
            _show_own(after[stream], window, self.chunk_bits[stream], sums, siblings)
        return ShownWindows(tuple(sums), tuple(siblings))


def chunk_ends(window: int, chunk_bits: int) -> list[int]:
    """The last window of every chunk up to and with `window`: 2^p - 1, 2 · 2^p - 1, ..., window."""
    size = 1 << chunk_bits
    return [*range(size - 1, window, size), window]


def _sum_at(sums: Sequence[Point], window: int) -> Point:
    return sums[window] if sums else _INFINITY


def _show_own(
    all_sums: Sequence[Point], window: int, bits: int, sums: list[Point], siblings: list[bytes]
) -> None:
    """The window and, where it does not start its chunk, the one before, each with its path."""
    shown = [window] if _starts_chunk(window, bits) else [window, window - 1]
    sums += [_sum_at(all_sums, each) for each in shown]
    if all_sums:
        tree = stream_tree(all_sums)
        for each in shown:
            siblings += tree.path(each)


def _show_all(
    all_sums: Sequence[Point], window: int, bits: int, sums: list[Point], siblings: list[bytes]
) -> None:
    """The end of every chunk with its siblings inside the chunk, then what the root needs to the right of the last."""
    ends = chunk_ends(window, bits)
    sums += [_sum_at(all_sums, end) for end in ends]
    if not all_sums:
        return
    levels = stream_tree(all_sums).levels[:-1]
    for end in ends:
        for height, level in enumerate(levels[:bits]):
            if (sibling := (end >> height) ^ 1) < len(level):
                siblings.append(level[sibling])
    for height, level in enumerate(levels[bits:], start=bits):
        index = window >> height
        if index % 2 == 0 and index + 1 < len(level):
            siblings.append(level[index + 1])


__all__ = [
    "MOST_STREAMS",
    "NAMES_WINDOW",
    "NO_WINDOWS",
    "Point",
    "ShownWindows",
    "StepAccess",
    "StreamsInvalid",
    "Use",
    "access_problem",
    "access_word",
    "boundary_hash",
    "chunk_ends",
    "pack_streams",
    "running_sums",
    "stream_root",
    "stream_tree",
    "unpack_streams",
    "window_commitment",
    "window_commitments",
    "window_leaf",
]
