"""Where witness tensors lie among the chunks of a proof, and which chunks are zero whatever the witness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Place = tuple[str, int, int]
"""(tensor, first unit, log2 of its units)."""
GAP_RUN_BITS = 8
"""A zone's runs that are told apart are at most 2^8: a word has a bit for each (verifier_gen)."""


@dataclass(frozen=True)
class Gaps:
    """Where a zone is zero whatever the witness: bit i of `filled` says whether run i, of 2^run_bits units, may hold anything."""

    run_bits: int
    filled: int

    def may_fill(self, chunk: int, chunk_bits: int) -> bool:
        """Whether a chunk of 2^chunk_bits units (a run is several chunks where that is negative) may hold anything."""
        runs = chunk_bits - self.run_bits
        if runs < 0:
            return bool(self.filled >> (chunk >> -runs) & 1)
        return bool(self.filled >> (chunk << runs) & ((1 << (1 << min(runs, GAP_RUN_BITS))) - 1))


@dataclass(frozen=True)
class Zone:
    """Witness tensors of one phase in one array of entries, each at a multiple of its own size.

    phase 1: committed before beta and gamma; 2: after. The tensors of a `moving` zone all have one context axis,
    so that places and sizes count in units of 2^t; elsewhere the unit is one entry.
    """

    phase: int
    moving: bool
    places: tuple[Place, ...]
    gaps: Gaps | None = None

    @property
    def units(self) -> int:
        """Length of the array."""
        return max(first + (1 << bits) for _, first, bits in self.places)

    @property
    def unit_bits(self) -> int:
        """Index bits of a unit."""
        return (self.units - 1).bit_length()

    def variables(self, context_bits: int) -> int:
        """Index bits of an entry."""
        return self.unit_bits + (context_bits if self.moving else 0)

    def slot(self, tensor: str) -> tuple[int, int]:
        """(value, number) of the leading index bits that select a tensor."""
        first, bits = next((first, bits) for name, first, bits in self.places if name == tensor)
        return first >> bits, self.unit_bits - bits

    def chunks(self, context_bits: int, chunk_bits: int) -> int:
        """Number of chunks; what a last chunk holds beyond the last tensor is never referred to."""
        entries = self.units << (context_bits if self.moving else 0)
        return -(-entries // (1 << chunk_bits))

    def committed(self, context_bits: int, chunk_bits: int) -> tuple[int, ...]:
        """Numbers of the chunks that a proof commits to: of all but those that are zero whatever the witness."""
        numbers = range(self.chunks(context_bits, chunk_bits))
        if self.gaps is None:
            return tuple(numbers)
        units = chunk_bits - (context_bits if self.moving else 0)
        return tuple(number for number in numbers if self.gaps.may_fill(number, units))


def gaps_of(places: Sequence[Place], inside: Mapping[str, np.ndarray]) -> Gaps | None:
    """What lies outside of what tensors say they are inside of; None where there is nothing, or where no word can say it.

    inside: by tensor, over the entries of its leading axes, whether it may be other than zero there.
    """
    if all(form.all() for form in inside.values()):
        return None
    length = max(first + (1 << bits) for _, first, bits in places)
    alignment = (length & -length).bit_length() - 1
    run_bits = min(bits - (inside[name].size - 1).bit_length() for name, _, bits in places if name in inside)
    run_bits = max(run_bits, (length - 1).bit_length() - GAP_RUN_BITS)
    if run_bits > alignment:
        return None
    filled = 0
    for name, first, bits in places:
        form = inside.get(name, np.ones(1, dtype=bool))
        own = bits - (form.size - 1).bit_length()
        for index in np.flatnonzero(form):
            low, high = first + (int(index) << own), first + (int(index + 1) << own)
            for run in range(low >> run_bits, ((high - 1) >> run_bits) + 1):
                filled |= 1 << run
    return Gaps(run_bits, filled)
