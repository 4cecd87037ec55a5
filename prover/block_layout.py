"""Where what is fixed before any proof lies among chunks: the weights of a step key, and public tables.

Sizes are seldom powers of two, and extensions need them to be. So an axis may be cut where its size has a bit: 576 = 512 + 64. A weight
is then a few *blocks*, and its extension at a point z is a sum of theirs, each at the coordinates that it has itself:

    W(z) = sum over blocks b    eq(z_top, where b begins) * W_b(z_low)

No value of a block is ever sent: a claim about W is one claim about each block. A block of a chunk or more begins a chunk; the
others lie one behind the other, each at a multiple of its own size, as tensors of a zone do (plan.py). Tables have powers of two
as sizes and are never cut; they share chunks.

A cut costs a claim and may save a chunk, which is a point of the key and a multiplication on the curve. Of all ways to cut, the
one that is cheapest in gas is taken. It follows from sizes alone, so that prover, verifiers and whoever commits agree.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np

from .quads import QUAD

CHUNK_GAS, CLAIM_GAS = 7300, 600
"""What a chunk and what a claim costs a verifier, measured (README)."""
_MOST_PIECES = 3
"""Of one axis; a fourth could save less than an eighth of it."""


@dataclass(frozen=True)
class Piece:
    """The entries first <= index < first + 2^bits of an axis; first is a multiple of 2^bits."""

    first: int
    bits: int


@dataclass(frozen=True)
class Block:
    """A box of a tensor.

    axes: numbers of the tensor's axes in the order in which they lie, the slowest first; pieces: of these axes. place: of its
    first entry among all chunks. chunks: how many it has to itself; 0 where it shares one.
    """

    tensor: str
    axes: tuple[int, ...]
    pieces: tuple[Piece, ...]
    place: int
    chunks: int

    @property
    def bits(self) -> int:
        """log2 of its padded entries."""
        return sum(piece.bits for piece in self.pieces)

    def slot(self, chunk_bits: int) -> tuple[int, int]:
        """(value, number) of the leading bits that select it in a chunk that it shares."""
        if self.chunks:
            return 0, 0
        return (self.place & ((1 << chunk_bits) - 1)) >> self.bits, chunk_bits - self.bits


@dataclass(frozen=True)
class TensorShape:
    """What a layout has to know of a tensor: its axes in the order in which they shall lie, and of each of them, in this order, its
    width, its real size, and whether it may be cut."""

    name: str
    axes: tuple[int, ...]
    widths: tuple[int, ...]
    sizes: tuple[int, ...]
    cuttable: tuple[bool, ...]


@dataclass(frozen=True)
class BlockLayout:
    """The blocks of tensors, in the order of their places."""

    chunk_bits: int
    blocks: tuple[Block, ...]
    chunks: int

    @classmethod
    def of(cls, tensors: Sequence[TensorShape], chunk_bits: int) -> BlockLayout:
        """The cheapest one; of several, the one with the fewest chunks that are not shared, then entries in those that are, then cuts."""
        size = 1 << chunk_bits
        best = [_Choice(0, 0, ())]
        for tensor in tensors:
            ways = list(_undominated(_ways(tensor, chunk_bits)))
            best = list(_undominated(left.followed_by(right) for left in best for right in ways))
        chosen = min(best, key=lambda choice: choice.gas + CHUNK_GAS * -(-choice.shared // size))
        blocks, place = [], 0
        small: list[Block] = []
        for tensor, cuts in zip(tensors, chosen.cuts, strict=True):
            for pieces in product(*cuts):
                if chunks := _own_chunks(tensor, pieces, chunk_bits):
                    blocks.append(Block(tensor.name, tensor.axes, pieces, place, chunks))
                    place += chunks * size
                else:
                    small.append(Block(tensor.name, tensor.axes, pieces, 0, 0))
        for block in sorted(small, key=lambda block: -block.bits):  # so no place is wasted
            blocks.append(replace(block, place=place))
            place += 1 << block.bits
        return cls(chunk_bits, tuple(blocks), -(-place // size))

    @cached_property
    def by_tensor(self) -> Mapping[str, tuple[Block, ...]]:
        """The blocks of every tensor."""
        found: dict[str, list[Block]] = {}
        for block in self.blocks:
            found.setdefault(block.tensor, []).append(block)
        return {name: tuple(blocks) for name, blocks in found.items()}

    def pack(self, tensors: Mapping[str, np.ndarray], digits: Container[str] = ()) -> list[np.ndarray]:
        """The flat chunks, from padded tensors. What a single block fills stays a view where it can; the last chunk may be short.

        digits: tensors with one axis more, the last, of QUAD digits of every entry. Chunks that they are in have it, too: what else lies
        there is the lowest digit.
        """
        size = 1 << self.chunk_bits
        chunks: list[np.ndarray] = []
        shared: dict[int, list[Block]] = {}
        for block in self.blocks:
            if block.chunks:
                flat = _box(tensors, block)
                chunks += [flat[index * size : (index + 1) * size] for index in range(block.chunks)]
            else:
                shared.setdefault(block.place >> self.chunk_bits, []).append(block)
        for number, blocks in shared.items():
            start = number * size
            length = blocks[-1].place + (1 << blocks[-1].bits) - start
            has_digits = any(block.tensor in digits for block in blocks)
            chunk = np.zeros((length, QUAD) if has_digits else length, dtype=np.int64)
            for block in blocks:
                own = chunk[block.place - start :][: 1 << block.bits]
                own = own[:, 0] if has_digits and block.tensor not in digits else own
                own[:] = _box(tensors, block)
            chunks.append(chunk)
        return chunks


@dataclass(frozen=True)
class _Choice:
    """gas: of the claims and of chunks that are not shared; shared: entries in those that are; cuts: every tensor's axes in pieces."""

    gas: int
    shared: int
    cuts: tuple[tuple[tuple[Piece, ...], ...], ...]

    def followed_by(self, other: _Choice) -> _Choice:
        """Both, for different tensors."""
        return _Choice(self.gas + other.gas, self.shared + other.shared, self.cuts + other.cuts)


def _ways(tensor: TensorShape, chunk_bits: int) -> Iterable[_Choice]:
    """Every way to cut a tensor, the fewest pieces first."""
    axes: list[list[tuple[Piece, ...]]] = []
    for width, size, cuttable in zip(tensor.widths, tensor.sizes, tensor.cuttable, strict=True):
        ways: list[tuple[Piece, ...]] = [(Piece(0, width),)]
        if cuttable:
            ways += (cut for most in range(2, _MOST_PIECES + 1) if len(cut := _pieces(size, most)) == most)
        axes.append(ways)
    for cuts in product(*axes):
        boxes = list(product(*cuts))
        own = [_own_chunks(tensor, pieces, chunk_bits) for pieces in boxes]
        small = sum(
            1 << sum(piece.bits for piece in pieces)
            for pieces, chunks in zip(boxes, own, strict=True)
            if not chunks
        )
        yield _Choice(CHUNK_GAS * sum(own) + CLAIM_GAS * len(boxes), small, (cuts,))


def _pieces(size: int, most: int) -> tuple[Piece, ...]:
    """An axis in at most so many pieces, cut where its size has a bit; the last one is padded."""
    pieces: list[Piece] = []
    first = 0
    while True:
        rest = size - first
        bits = (rest - 1).bit_length()
        if len(pieces) + 1 == most or rest == 1 << bits:
            return (*pieces, Piece(first, bits))
        pieces.append(Piece(first, bits - 1))
        first += 1 << (bits - 1)


def _own_chunks(tensor: TensorShape, pieces: Sequence[Piece], chunk_bits: int) -> int:
    """Chunks of a block up to its last real entry; 0 for one that is smaller than a chunk."""
    if sum(piece.bits for piece in pieces) < chunk_bits:
        return 0
    last = 0
    for piece, size in zip(pieces, tensor.sizes, strict=True):
        last = (last << piece.bits) + min(size - piece.first, 1 << piece.bits) - 1
    return (last >> chunk_bits) + 1


def _undominated(choices: Iterable[_Choice]) -> Iterable[_Choice]:
    """Those to which no other is preferable whatever else shares chunks with them."""
    least: int | None = None
    for choice in sorted(choices, key=lambda choice: (choice.gas, choice.shared)):
        if least is None or choice.shared < least:
            least = choice.shared
            yield choice


def _box(tensors: Mapping[str, np.ndarray], block: Block) -> np.ndarray:
    """The padded entries of a block, flat but for their digits."""
    tensor = tensors[block.tensor]
    where = tuple(slice(piece.first, piece.first + (1 << piece.bits)) for piece in block.pieces)
    digits = tensor.shape[len(block.axes) :]
    axes = (*block.axes, *range(len(block.axes), tensor.ndim))
    return tensor.transpose(axes)[where].reshape(-1, *digits)
