"""What eq(z, q) of the claims at points of their own have in common, so that a product is computed once.

A claim's point is bits that say where its tensor lies, and slices of r and rho. Against q, which all claims share, a slice is a
product over a piece of a diagonal: of (vector, distance between its coordinates and q's). Pieces of one diagonal are cut where
any of them begins or ends, and a part that several claims need is kept. Leading bits cost one product per node of a tree of
prefixes. Points whose length depends on t are composed at run time instead (`claim_eq` of templates/claims.yul).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from prover.evaluations import PointPart, Slice
from prover.relations import Bits

from .function import Function
from .layout import TOP_BITS, StepLayout, words_after, words_before


@dataclass(frozen=True)
class Number:
    """Leading bits of a point: `value`, of so many bits, and behind it what is known at run time only, `text` in Yul."""

    value: int
    value_bits: int
    text: str | None = None
    text_bits: int = 0

    @property
    def bits(self) -> int:
        """Of both."""
        return self.value_bits + self.text_bits

    def followed_by(self, text: str, bits: int) -> Number:
        """With the last `bits` bits of another integer behind."""
        mask = (1 << bits) - 1
        if text.isdigit() and self.text is None:
            return Number(self.value << bits | int(text) & mask, self.bits + bits)
        last = f"and({text}, {mask:#x})"
        if self.text is not None:
            last = f"or(shl({bits}, {self.text}), {last})"
        return Number(self.value, self.value_bits, last, self.text_bits + bits)

    def of_bits(self, bits: int) -> Number:
        """The last `bits` of it, or with zeros in front."""
        value_bits = bits - self.text_bits
        return Number(self.value & ((1 << value_bits) - 1), value_bits, self.text, self.text_bits)


@dataclass(frozen=True)
class Piece:
    """prod eq(vector_j, q_j) over `width` coordinates: those of q have `behind` others behind them. `flip`: the one of a
    single coordinate is complemented."""

    vector: str
    start: Bits
    width: int
    behind: int
    flip: bool = False

    @property
    def diagonal(self) -> tuple[str, Bits, bool]:
        """What tells pieces apart that cannot share."""
        return self.vector, self.start - Bits(self.behind + self.width), self.flip

    def part(self, behind: int, width: int) -> Piece:
        """Another piece of the same diagonal."""
        end = self.start - Bits(self.behind + self.width)
        return Piece(self.vector, end + Bits(behind + width), width, behind, self.flip)


@dataclass(frozen=True)
class WholePoint:
    """A point whose length is known: chunk and `front`, the number of its leading coordinates in the chunk; how many of its last
    coordinates are those of r; the other pieces. `top` coordinates of `parts` select chunks."""

    chunk: int
    front: Number
    length: int
    shared: int
    pieces: tuple[Piece, ...]
    top: int
    parts: tuple[Slice, ...]


def whole_point(number: Number, parts: Sequence[PointPart], mu: int) -> WholePoint | None:
    """The point (number, parts behind it), or None where it has to be composed at run time."""
    slices = [part for part in parts if isinstance(part, Slice)]
    behind_number = list(parts)[len(parts) - len(slices) :]
    if behind_number != slices or any(part.width.context for part in parts):
        return None  # bits between slices, or a length that depends on t
    length = sum(part.width.fixed for part in slices)
    top = max(0, length - mu)
    if (top and number.bits) or (number.text is not None and number.bits + length > mu):
        return None
    pieces: list[Piece] = []
    shared = behind = 0
    for part in reversed(slices):
        count = min(part.width.fixed, mu - behind)
        start = part.start - Bits(part.width.fixed - count)
        if part.vector == "r" and not part.flip and start == Bits(behind + count) and shared == behind:
            shared += count
        elif part.flip and count:
            pieces.append(Piece(part.vector, start - Bits(count - 1), 1, behind, True))
            if count > 1:
                pieces.append(Piece(part.vector, start, count - 1, behind + 1))
        elif count:
            pieces.append(Piece(part.vector, start, count, behind))
        behind += count
    free = mu - behind
    chunk = number.value >> free if number.text is None else 0
    return WholePoint(chunk, number.of_bits(free), behind, shared, tuple(pieces), top, tuple(slices))


@dataclass
class SlotProducts:
    """eq of the first coordinates of q and the bits of a slot: short ones from EQ_TOP, zeros from EQ_ZERO, the others from a
    tree of prefixes that `prepare_slots` computes beforehand."""

    layout: StepLayout
    mu: int
    _known: dict[tuple[int, int], str] = field(default_factory=dict)

    def at(self, slot: int, bits: int) -> str:
        """Yul for its value."""
        ready = self._ready(slot, bits)
        if ready is not None:
            return ready
        if (bits, slot) not in self._known:
            self._known[bits, slot] = self.layout.memory.temporary()
        return f"mload({self._known[bits, slot]})"

    def _ready(self, slot: int, bits: int) -> str | None:
        if slot == 0:
            return f"mload({words_after('EQ_ZERO', Bits(self.mu - bits))})"
        if bits <= TOP_BITS:
            return f"mload({words_after(self.layout.eq_top.name, Bits((1 << bits) + slot))})"
        return None

    def prepare(self) -> Function:
        """All that `at` was asked for; where two slots begin alike, what they share is computed once."""
        function = Function("prepare_slots()", "eq of the first coordinates of q and the bits of slots.")
        for (bits, slot), (other_bits, other) in pairwise(self._in_order()):
            shared = min(bits, other_bits)
            difference = slot >> (bits - shared) ^ other >> (other_bits - shared)
            shared -= difference.bit_length()
            prefix = slot >> (bits - shared)
            if shared > TOP_BITS + 1 and self._ready(prefix, shared) is None:
                self._known.setdefault((shared, prefix), "")
        lines = function.lines
        if self._known:
            lines += ["let complement := add(r, 1)", "let value"]
        for bits, slot in sorted(self._known):
            start = bits
            while True:
                start -= 1
                prefix = slot >> (bits - start)
                source = self._ready(prefix, start)
                if source is not None:
                    break
                if (start, prefix) in self._known:
                    source = f"mload({self._known[start, prefix]})"
                    break
            lines.append(f"value := {source}")
            for place in range(start, bits):
                x = f"mload({words_after('REDUCED', Bits(place))})"
                bit = slot >> (bits - 1 - place) & 1
                lines.append(f"value := mulmod(value, {x if bit else f'sub(complement, {x})'}, r)")
            if not self._known[bits, slot]:
                self._known[bits, slot] = self.layout.memory.temporary()
            lines.append(f"mstore({self._known[bits, slot]}, value) // slot {slot} of {bits} bits")
        return function

    def _in_order(self) -> list[tuple[int, int]]:
        """Slots in the order of a tree's walk, so that neighbours share the most."""
        return sorted(self._known, key=lambda node: (node[1] << (64 - node[0]), node[0]))


class ClaimProducts:
    """Emits `weight := eq(point, q)` of one claim after the other."""

    def __init__(self, layout: StepLayout, slots: SlotProducts, mu: int) -> None:
        self.layout, self.slots, self.mu = layout, slots, mu
        self._uses: Counter[Piece] = Counter()
        self._cuts: dict[tuple[str, Bits, bool], list[int]] = {}
        self._stored: dict[Piece, str] = {}
        self._numbers: Counter[str] = Counter()
        self._stored_numbers: dict[str, str] = {}

    def share(self, points: Sequence[WholePoint]) -> None:
        """What will be emitted; it decides what is kept."""
        self._numbers.update(self._number(point.front) for point in points if point.front.text is not None)
        pieces = [piece for point in points for piece in point.pieces]
        for piece in pieces:
            cuts = self._cuts.setdefault(piece.diagonal, [])
            cuts += [piece.behind, piece.behind + piece.width]
        for diagonal, cuts in self._cuts.items():
            self._cuts[diagonal] = sorted(set(cuts))
        self._uses.update(part for piece in pieces for part in self._parts(piece))

    def _parts(self, piece: Piece) -> list[Piece]:
        """A piece, cut where another one of its diagonal begins or ends."""
        cuts = self._cuts[piece.diagonal]
        inside = [cut for cut in cuts if piece.behind <= cut <= piece.behind + piece.width]
        return [piece.part(low, high - low) for low, high in pairwise(inside)]

    def weight(self, point: WholePoint) -> list[str]:
        """Statements; if the point selects chunks, also those that leave these coordinates at CLAIM_POINT."""
        lines: list[str] = []
        factors: list[str] = []
        if point.front.value_bits:
            factors.append(self.slots.at(point.front.value, point.front.value_bits))
        if point.front.text is not None:
            factors.append(self._shared_number(self._number(point.front), lines))
        if point.shared:
            factors.append(f"mload({words_after(self.layout.eq_point.name, Bits(point.shared))})")
        for piece in point.pieces:
            for part in self._parts(piece):
                text = self._text(part)
                if self._uses[part] > 1:
                    if part not in self._stored:
                        self._stored[part] = self.layout.memory.temporary()
                        lines.append(f"mstore({self._stored[part]}, {text})")
                    text = f"mload({self._stored[part]})"
                factors.append(text)
        lines.append(f"weight := {factors[0] if factors else '1'}")
        lines += [f"weight := mulmod(weight, {factor}, r)" for factor in factors[1:]]
        return lines + self._top(point)

    @staticmethod
    def _number(front: Number) -> str:
        """Yul for eq of coordinates of q and the bits that are known at run time."""
        if not front.value_bits:
            return f"slot_eq({front.text}, {front.text_bits})"
        return f"eq_bits({words_after('REDUCED', Bits(front.value_bits))}, {front.text}, {front.text_bits})"

    def _shared_number(self, text: str, lines: list[str]) -> str:
        if self._numbers[text] == 1:
            return text
        if text not in self._stored_numbers:
            self._stored_numbers[text] = self.layout.memory.temporary()
            lines.append(f"mstore({self._stored_numbers[text]}, {text})")
        return f"mload({self._stored_numbers[text]})"

    @staticmethod
    def _text(piece: Piece) -> str:
        """Yul for a piece's product."""
        start = words_before("POINT_END" if piece.vector == "r" else "RHO_END", piece.start)
        own = words_before("REDUCED_END", Bits(piece.behind + piece.width))
        text = f"eq_slices({start}, {own}, {piece.width})"
        return f"addmod(1, sub(r, {text}), r)" if piece.flip else text

    @staticmethod
    def _top(point: WholePoint) -> list[str]:
        """The coordinates that select chunks, to CLAIM_POINT."""
        lines, place, left = [], "CLAIM_POINT", point.top
        for part in point.parts:
            count = min(left, part.width.fixed)
            if not count:
                break
            start = words_before("POINT_END" if part.vector == "r" else "RHO_END", part.start)
            lines.append(f"end := append({place}, {start}, {count})")
            if part.flip and count == part.width.fixed:
                lines.append("flip_last(end)")
            place, left = "end", left - count
        return lines
