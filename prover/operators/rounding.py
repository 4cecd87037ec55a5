"""Requantisation and range checks: the two moves that every operator shares.

MEANING    requantise_half_up(acc, s) = floor((acc + 2^(s-1)) / 2^s), floor division also for negatives.
RELATIONS  2^s * y + remainder - 2^(s-1) = acc with remainder in [0, 2^s) and y in its declared range. Both
           sides stay far below the field size, so y and remainder are unique.
REFUSED    y outside its range, which is what `RunContext.check_range` looks at: with y and remainder unique, no high limb
           puts y into [-2^(bits-1), 2^(bits-1)), and a value inside has one. The two borders are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..program import Kind, Program, Tensor, WitnessContext
from ..quads import LARGEST_DIGIT, QUAD_BITS
from ..relations import Bits, Constant, Expression, Lookup, LookupTable, Parameter, PowerOfTwo, Ref
from ..tables import RANGE_BITS, RANGE_TABLE_BITS, RangeTag, RangeValue

RANGE_TABLE = LookupTable(
    "range", "range_row", Bits(RANGE_TABLE_BITS), Ref("range_tag"), Ref("range_value"), Constant(0)
)
RANGE_TENSORS = (
    Tensor("range_tag", ("range_row",), Kind.CLOSED_FORM, RangeTag()),
    Tensor("range_value", ("range_row",), Kind.CLOSED_FORM, RangeValue()),
)


def requantise_half_up(accumulator: np.ndarray, shift: int) -> np.ndarray:
    """floor((accumulator + 2^(shift-1)) / 2^shift) on int64."""
    return (accumulator + (1 << (shift - 1))) >> shift


def remainder_half_up(accumulator: np.ndarray, shift: int) -> np.ndarray:
    """accumulator + 2^(shift-1) - 2^shift * requantise_half_up(accumulator, shift), in [0, 2^shift)."""
    return (accumulator + (1 << (shift - 1))) & ((1 << shift) - 1)


@dataclass(frozen=True)
class Shift:
    """A requantisation shift: a constant of the architecture, or a step-key parameter (1..16)."""

    constant: int | None = None
    parameter: str | None = None

    def value(self, parameters: dict[str, int] | object) -> int:
        """The integer shift."""
        return self.constant if self.constant is not None else parameters[self.parameter]  # type: ignore[index]

    @property
    def tag(self) -> Expression:
        """The shift as an expression (the range tag of its remainder)."""
        return Constant(self.constant) if self.constant is not None else Parameter(str(self.parameter))

    def power(self, offset: int = 0) -> Expression:
        """2^(shift + offset)."""
        if self.constant is not None:
            return Constant(1 << (self.constant + offset))
        return PowerOfTwo(str(self.parameter), offset)


@dataclass(frozen=True)
class RangeCheck:
    """0 <= expression < 2^bits over the domain, in one lookup (bits <= 16) or two limbs.

    For more than 16 bits the high limb `{name}_high` is committed and the low limb is virtual:
    low = expression - 2^16 * high.
    """

    name: str
    domain: tuple[str, ...]
    expression: Expression
    bits: int

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 2 * RANGE_BITS:
            raise ValueError(f"{self.name} has {self.bits} bits; two limbs check at most {2 * RANGE_BITS}")

    def tensors(self) -> Sequence[Tensor]:
        """The committed high limb, if any, and the range table."""
        limb = () if self.bits <= RANGE_BITS else (Tensor(f"{self.name}_high", self.domain, Kind.WITNESS),)
        return (*RANGE_TENSORS, *limb)

    def witness(self, context: WitnessContext, values: np.ndarray) -> None:
        """Store the high limb of the checked values."""
        if self.bits > RANGE_BITS:
            context.tensors[f"{self.name}_high"] = values >> RANGE_BITS

    def relations(self) -> Sequence[Lookup]:
        """One lookup per limb."""
        if self.bits <= RANGE_BITS:
            return (Lookup(f"{self.name}_range", self.domain, Constant(self.bits), self.expression),)
        high = Ref(f"{self.name}_high")
        low = self.expression - Constant(1 << RANGE_BITS) * high
        return (
            Lookup(f"{self.name}_low_range", self.domain, Constant(RANGE_BITS), low),
            Lookup(f"{self.name}_high_range", self.domain, Constant(self.bits - RANGE_BITS), high),
        )


@dataclass(frozen=True)
class SignedRange:
    """-2^(bits-1) <= tensor < 2^(bits-1)."""

    tensor: str
    domain: tuple[str, ...]
    bits: int

    @property
    def check(self) -> RangeCheck:
        """The unsigned check of tensor + 2^(bits-1)."""
        return RangeCheck(self.tensor, self.domain, Ref(self.tensor) + (1 << (self.bits - 1)), self.bits)

    def witness(self, context: WitnessContext) -> None:
        """Store the high limb."""
        self.check.witness(context, context.tensors[self.tensor] + (1 << (self.bits - 1)))


@dataclass(frozen=True)
class Requantisation:
    """output = requantise_half_up(acc, shift): remainder column and the linear side of its relation."""

    output: str
    domain: tuple[str, ...]
    shift: Shift

    @property
    def remainder(self) -> str:
        """Name of the remainder tensor."""
        return f"{self.output}_remainder"

    @property
    def _check(self) -> RangeCheck | None:
        """A constant shift above 16 needs two limbs."""
        if self.shift.constant is not None and self.shift.constant > RANGE_BITS:
            return RangeCheck(self.remainder, self.domain, Ref(self.remainder), self.shift.constant)
        return None

    def tensors(self) -> Sequence[Tensor]:
        """The remainder, its high limb if it needs one, and the range table."""
        remainder = Tensor(self.remainder, self.domain, Kind.WITNESS)
        return (remainder, *(self._check.tensors() if self._check else RANGE_TENSORS))

    def witness(self, context: WitnessContext, accumulator: np.ndarray) -> np.ndarray:
        """Store the remainder; return the requantised output."""
        shift = self.shift.value(context.parameters)
        remainder = remainder_half_up(accumulator, shift)
        context.tensors[self.remainder] = remainder
        if self._check:
            self._check.witness(context, remainder)
        return requantise_half_up(accumulator, shift)

    def lifted(self, output: Expression) -> Expression:
        """2^s * output + remainder - 2^(s-1), which equals the accumulator."""
        return self.shift.power() * output + Ref(self.remainder) - self.shift.power(-1)

    def is_in_quads(self, program: Program, limit: int) -> bool:
        """Whether a relation about outputs y, |y| <= limit, may be one of quads (quads.py): 2^s y + remainder - 2^(s-1) is smaller than
        2^60 / 2, and so is any bias."""
        last = program.axes[self.domain[-1]]
        shift = self.shift.constant or program.parameter_limit(str(self.shift.parameter))
        return limit << shift <= LARGEST_DIGIT // 4 and last.context == 0 and last.fixed >= QUAD_BITS

    def relations(self) -> Sequence[Lookup]:
        """remainder in [0, 2^s)."""
        if self._check:
            return self._check.relations()
        return (Lookup(f"{self.remainder}_range", self.domain, self.shift.tag, Ref(self.remainder)),)
