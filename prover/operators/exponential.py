"""The weight of a distance in a softmax: an exponential by table, zero far away and where it is hidden.

MEANING    for a distance of z units:  e = EXP[z] where it is not hidden and z < 2^16, else 0
           digits: z = low + 2^14 high, or low + 2^16 high where it is hidden; high = 0 where z < 2^16
BOUNDS     z <= 2^16 - 1 + 2^14 (2^16 - 1) (`LARGEST_DISTANCE`), and below 2^32 where it is hidden, by whoever makes it.
RELATIONS  high   Lookup high in [0, 2^16)
           e      Lookup (low, e) with tag 33 - 17 hidden: the exponential table, or where it is hidden the range of 16 bits, whose
                  rows have e = 0. hidden is 0 or 1 everywhere, by a closed form or a relation of whoever made it.
           far    Pointwise high e = 0
           Two pairs of digits may fit one z, but both have the same e: high > 0 makes e zero, which the table has for
           low >= 48,266 only, and z is larger still.
           zero   Pointwise (1 - inside) of each of the three, where there is an outside: nothing is looked up there
REFUSED    never: EXP is zero on the last 2^14 digits, so every z from 2^16 to the bound has digits there.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..program import Kind, Tensor
from ..relations import Bits, Constant, Expression, Lookup, LookupTable, Pointwise, Ref, Relation
from ..tables import (
    EXPONENTIAL_DIGIT_BITS,
    EXPONENTIAL_FAR_BITS,
    EXPONENTIAL_TAG,
    RANGE_BITS,
    Counter,
    exponential_table,
)
from .rounding import RANGE_TABLE, RANGE_TENSORS

DIGIT = 1 << EXPONENTIAL_DIGIT_BITS
FAR = 1 << EXPONENTIAL_FAR_BITS
LARGEST_DISTANCE = DIGIT - 1 + FAR * ((1 << RANGE_BITS) - 1)
LARGEST_HIDDEN_DISTANCE = DIGIT - 1 + DIGIT * ((1 << RANGE_BITS) - 1)

_TABLE = LookupTable(
    "exponential",
    "exponential_row",
    Bits(EXPONENTIAL_DIGIT_BITS),
    Constant(EXPONENTIAL_TAG),
    Ref("exponential_first"),
    Ref("exponential_second"),
)
_TENSORS = (
    Tensor("exponential_first", ("exponential_row",), Kind.CLOSED_FORM, Counter()),
    Tensor(
        "exponential_second", ("exponential_row",), Kind.CONSTANT, values=lambda: exponential_table()[:DIGIT]
    ),
)

_WITNESS = ("distance_high", "distance_low", "weight")


@dataclass(frozen=True)
class Exponential:
    """`weight` of every distance over the domain, of which `hidden` says where it counts for nothing.

    inside: a closed form over the first axes of the domain, 0 or 1; distances and weights are zero where it is 0.
    """

    domain: tuple[str, ...]
    hidden: Expression
    inside: str | None = None

    @property
    def distance_in_sight(self) -> Expression:
        """z by its digits where it is not hidden; never negative, hidden or not."""
        return Ref("distance_low") + Constant(FAR) * Ref("distance_high")

    @property
    def more_where_hidden(self) -> Expression:
        """What z has beyond `distance_in_sight`."""
        return Constant(DIGIT - FAR) * self.hidden * Ref("distance_high")

    def tables(self) -> Sequence[LookupTable]:
        """What the lookups read."""
        return (RANGE_TABLE, _TABLE)

    def tensors(self) -> Sequence[Tensor]:
        """Digits and weight, and the tables."""
        own = (Tensor(name, self.domain, Kind.WITNESS, inside=self.inside) for name in _WITNESS)
        return (*RANGE_TENSORS, *_TENSORS, *own)

    def witness(
        self,
        tensors: MutableMapping[str, Any],
        distance: np.ndarray,
        hidden: np.ndarray,
        inside: np.ndarray | int = 1,
    ) -> np.ndarray:
        """Store digits and weights; return the weights. What lies outside has no distance."""
        high = np.where(distance < DIGIT, 0, (distance - (DIGIT - FAR)) >> EXPONENTIAL_FAR_BITS)
        low = distance - (high << EXPONENTIAL_FAR_BITS)
        hides = hidden > 0
        high = np.where(hides, distance >> EXPONENTIAL_DIGIT_BITS, high)
        low = np.where(hides, distance & (DIGIT - 1), low)
        # a distance beyond the bounds has no digits; whatever stands here, a lookup fails
        weight = np.where(hides, 0, np.take(exponential_table(), low, mode="clip")) * inside
        tensors["distance_high"], tensors["distance_low"], tensors["weight"] = high, low, weight
        return weight

    def relations(self) -> Sequence[Relation]:
        """high, e, far."""
        high, low, weight = Ref("distance_high"), Ref("distance_low"), Ref("weight")
        inside = None if self.inside is None else Ref(self.inside)
        tag = Constant(EXPONENTIAL_TAG) - Constant(EXPONENTIAL_TAG - RANGE_BITS) * self.hidden
        return (
            Lookup("distance_high_range", self.domain, Constant(RANGE_BITS), high, where=inside),
            Lookup("weight", self.domain, tag, low, weight, where=inside),
            Pointwise("far", self.domain, high * weight),
            *zero_outside(self.domain, inside, _WITNESS),
        )


def zero_outside(domain: tuple[str, ...], inside: Ref | None, names: Sequence[str]) -> Sequence[Relation]:
    """(1 - inside) tensor = 0 for each of the tensors; nothing where there is no outside."""
    if inside is None:
        return ()
    return tuple(Pointwise(f"{name}_outside", domain, (Constant(1) - inside) * Ref(name)) for name in names)
