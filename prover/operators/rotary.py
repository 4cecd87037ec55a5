"""Rotary position embedding on adjacent pairs (2i, 2i+1).

MEANING    out_0 = requantise_half_up(x_0 cos - x_1 sin, 14);  out_1 = requantise_half_up(x_1 cos + x_0 sin, 14)
           cos, sin are integers at scale 14 for every position, in one committed public table over
           (position, part, head_channel), part 0 the cosine and part 1 the sine, so that what a row reads of both lies in one
           chunk; the sine carries the sign: -sin on even channels, +sin on odd ones.
           A model whose layers rotate in two ways has two such tables and a step-key integer that selects:
           cos = (2 - kind) cos_1 + (kind - 1) cos_2 for kind 1 or 2, and the same for sin.
           A channel that is not rotated has cos = 2^14 and sin = 0, so that out = x: that is how a partial rotation and
           a layer without positions are tables too. A factor on queries and keys multiplies both tables.
BOUNDS     |x|, |out| < 2^(bits-1).
RELATIONS  Pointwise 2^14 out + remainder - 2^13 = x * cos + flip(x) * sin, where flip(x) swaps the members of
           a pair: its extension is that of x with the last coordinate r replaced by 1 - r. remainder, out in range.
REFUSED    out outside its range: out and remainder are unique, so `<out>_range` fails for every witness.
PADDING    zero channels stay zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, getcontext
from functools import cache
from math import prod

import numpy as np

from ..program import Kind, OperatorBase, Program, RunContext, Tensor, WitnessContext
from ..relations import (
    Along,
    Bits,
    Constant,
    Expression,
    FixedBits,
    LookupTable,
    Parameter,
    Pointwise,
    Ref,
    Relation,
    Segment,
)
from .rounding import RANGE_TABLE, Requantisation, Shift, SignedRange
from .run_arrays import arrays_of

ROTARY_SCALE = 14
LARGEST_FACTOR = 16
TURN, TURN_BITS = "turn", Bits(1)
"""The axis of cosine and sine."""


@dataclass(frozen=True)
class RotaryTable:
    """cos and signed sin, both int64 (2^position_bits, 2^channel_bits) at scale 14.

    divisors: what the frequency of every pair is divided by (scaled rotary embeddings); none means 1.
    rotated: how many channels of a head turn, the first ones; all by default, none in a layer without positions.
    factor: what rotated channels are multiplied with (YaRN's and LongRoPE's attention factor).
    Divisors and factor are floats in a model's configuration and taken at their exact value.
    """

    base: int
    head_size: int
    position_bits: int
    channel_bits: int
    divisors: tuple[float, ...] = ()
    prefix: str = ""
    rotated: int | None = None
    factor: float = 1.0

    def __post_init__(self) -> None:
        if self.head_size % 2:
            raise ValueError(f"head size {self.head_size} is odd; rotary positions turn pairs of channels")
        if self.turning % 2 or not 0 <= self.turning <= self.head_size:
            raise ValueError(
                f"{self.turning} rotated channels of {self.head_size}; rotary positions turn pairs of a head's channels"
            )
        if self.divisors and len(self.divisors) != self.turning // 2:
            raise ValueError(
                f"{len(self.divisors)} rotary divisors for {self.turning // 2} pairs of channels"
            )
        if self.base < 2 or any(divisor < 1 for divisor in self.divisors):
            raise ValueError("a rotary base is at least 2 and its divisors at least 1")
        if not 0 < self.factor <= LARGEST_FACTOR:
            raise ValueError(f"a rotary factor of {self.factor} is not in (0, {LARGEST_FACTOR}]")

    @property
    def turning(self) -> int:
        """Channels of a head that are rotated."""
        return self.head_size if self.rotated is None else self.rotated

    @property
    def name(self) -> str:
        """Of the constant tensor."""
        return f"{self.prefix}rotation"

    def both(self) -> np.ndarray:
        """(positions, 2, channels): cosine, then signed sine."""
        return np.stack(_rotary_tables(self), axis=1)

    def cosine(self) -> np.ndarray:
        """factor * cos(position * base^(-2i/rotated) / divisor_i) for channels 2i and 2i+1."""
        return _rotary_tables(self)[0]

    def signed_sine(self) -> np.ndarray:
        """-sin on channel 2i, +sin on channel 2i+1, times factor."""
        return _rotary_tables(self)[1]


@cache
def _rotary_tables(table: RotaryTable) -> tuple[np.ndarray, np.ndarray]:
    """Exact on every machine: angles in 40-digit decimals, reduced modulo 2 pi, then cos and sin by rotation in 120-bit fixed point.

    A position is a coarse one and a fine one, whose rotations are powers of the unit's: their error stays below 2^-100. The two are
    put together in doubles, wrong by less than 2^-30 after scaling, and in integers where a value is that near to a half: so
    rounding to 14 bits never depends on the platform.
    """
    positions, channels = 1 << table.position_bits, 1 << table.channel_bits
    cosine = np.zeros((positions, channels), dtype=np.int64)
    sine = np.zeros((positions, channels), dtype=np.int64)
    getcontext().prec = 60
    cosine[:, table.turning : table.head_size] = 1 << ROTARY_SCALE
    fine_bits = table.position_bits // 2
    for pair in range(table.turning // 2):
        exponent = Decimal(-2 * pair) / Decimal(table.turning)
        angle = Decimal(table.base) ** exponent
        if table.divisors:
            angle /= Decimal(table.divisors[pair])
        unit = _cos_sin_fixed(angle, _FRACTION)
        fine = list(_powers(unit, 1 << fine_bits))
        coarse = list(_powers(_turned(fine[-1], unit), positions >> fine_bits))
        cos, sin = (part.reshape(-1) for part in _rounded(coarse, fine, table.factor))
        cosine[:, 2 * pair] = cosine[:, 2 * pair + 1] = cos
        sine[:, 2 * pair], sine[:, 2 * pair + 1] = -sin, sin
    return cosine, sine


_FRACTION = 120
_DOUBTFUL = 2.0**-26
"""Scaled values in doubles are wrong by less than 2^-30: they are at most 2^ROTARY_SCALE * LARGEST_FACTOR."""
_Rotation = tuple[int, int]


def _turned(left: _Rotation, right: _Rotation) -> _Rotation:
    """One rotation after the other, as (cosine, sine) in fixed point."""
    (c, s), (step_cos, step_sin) = left, right
    return (c * step_cos - s * step_sin) >> _FRACTION, (s * step_cos + c * step_sin) >> _FRACTION


def _powers(unit: _Rotation, count: int) -> Iterator[_Rotation]:
    """The rotations by 0, 1, .., count - 1 units."""
    rotation = (1 << _FRACTION, 0)
    for _ in range(count):
        yield rotation
        rotation = _turned(rotation, unit)


def _rounded(
    coarse: Sequence[_Rotation], fine: Sequence[_Rotation], factor: float
) -> tuple[np.ndarray, np.ndarray]:
    """factor * (cosine, sine) of every coarse and fine rotation together, rounded at ROTARY_SCALE: two (coarse, fine) arrays."""
    numerator, denominator = factor.as_integer_ratio()
    shift = _FRACTION - ROTARY_SCALE + denominator.bit_length() - 1  # the denominator is a power of two
    one = float(1 << _FRACTION)
    c, s = np.array(coarse, dtype=object).T.astype(np.float64) / one
    d, t = np.array(fine, dtype=object).T.astype(np.float64) / one
    found = []
    for part, exact in enumerate((np.outer(c, d) - np.outer(s, t), np.outer(s, d) + np.outer(c, t))):
        scaled = exact * (factor * (1 << ROTARY_SCALE)) + 0.5
        values = np.floor(scaled)
        for high, low in np.argwhere(np.abs(scaled - np.rint(scaled)) < _DOUBTFUL):
            value = _turned(coarse[high], fine[low])[part]
            values[high, low] = (value * numerator + (1 << (shift - 1))) >> shift
        found.append(values.astype(np.int64))
    return found[0], found[1]


def _cos_sin_fixed(angle: Decimal, fraction: int) -> tuple[int, int]:
    """cos and sin of 0 < angle <= 1 as fixed point, by Taylor series in integers."""
    guard = fraction + 32
    x = int(angle * (1 << guard))
    cosine = term = 1 << guard
    sine = x
    k = 1
    sine_term = x
    while term or sine_term:
        term = -(term * x * x >> (2 * guard)) // ((2 * k - 1) * (2 * k)) if term else 0
        sine_term = -(sine_term * x * x >> (2 * guard)) // ((2 * k) * (2 * k + 1)) if sine_term else 0
        if abs(term) <= 1 and abs(sine_term) <= 1:
            break
        cosine += term
        sine += sine_term
        k += 1
    return cosine >> 32, sine >> 32


@dataclass(frozen=True)
class Rotary(OperatorBase):
    """output = rotate(x). `position` says how the tables' position axis is indexed in the relations.

    selector: the step-key integer that chooses among two tables.
    committed: whether the output is a witness of its own, or a boundary that the program declares. channel: the last axis.
    """

    x: str
    output: str
    domain: tuple[str, ...]
    position: tuple[Segment, ...]
    choices: tuple[RotaryTable, ...]
    bits: int
    selector: str | None = None
    committed: bool = True
    channel: str = "head_channel"

    def __post_init__(self) -> None:
        if len(self.choices) != (1 if self.selector is None else 2):
            raise ValueError(
                f"{len(self.choices)} rotary tables and selector {self.selector!r} do not fit together"
            )

    @property
    def _requantisation(self) -> Requantisation:
        return Requantisation(self.output, self.domain, Shift(constant=ROTARY_SCALE))

    @property
    def _range(self) -> SignedRange:
        return SignedRange(self.output, self.domain, self.bits)

    def parameters(self) -> Sequence[str]:
        return () if self.selector is None else (self.selector,)

    def tables(self) -> Sequence[LookupTable]:
        return (RANGE_TABLE,)

    def tensors(self) -> Sequence[Tensor]:
        constants = (
            Tensor(table.name, ("position", TURN, self.channel), Kind.CONSTANT, values=table.both)
            for table in self.choices
        )
        output = (Tensor(self.output, self.domain, Kind.WITNESS),) if self.committed else ()
        return (
            *constants,
            *output,
            *self._requantisation.tensors(),
            *self._range.check.tensors(),
        )

    def limits(self) -> Mapping[str, int]:
        return {self.output: 1 << (self.bits - 1)}

    def _chosen(self, parameters: Mapping[str, int]) -> RotaryTable:
        return self.choices[0 if self.selector is None else parameters[self.selector] - 1]

    def run(self, context: RunContext) -> None:
        x = context.tensors[self.x]  # (rows, ..., head_size)
        table = self._chosen(context.parameters)
        limit, heads = 1 << (self.bits - 1), (len(x), prod(x.shape[1:-1]), x.shape[-1])
        tables = table.cosine(), table.signed_sine()
        output, fits = arrays_of(context).turn_rows(
            x.reshape(heads), context.positions, tables, ROTARY_SCALE, limit
        )
        context.store(self.output, output.reshape(x.shape), limit, fits=fits)

    @property
    def _flipped(self) -> Ref:
        return Ref(self.x, ((self.channel, (Along(self.channel, flip=True),)),))

    def _part(self, table: RotaryTable, part: int) -> Ref:
        """The cosine (0) or the signed sine (1) of every entry of the domain."""
        return Ref(table.name, (("position", self.position), (TURN, (FixedBits(part, TURN_BITS),))))

    def witness(self, context: WitnessContext) -> None:
        table = self._chosen(context.parameters)
        cosine, sine = (context.over(self._part(table, part), self.domain) for part in (0, 1))
        x, flipped = context.over(Ref(self.x), self.domain), context.over(self._flipped, self.domain)
        context.tensors[self.output] = self._requantisation.witness(context, x * cosine + flipped * sine)
        self._range.witness(context)

    def relations(self, program: Program) -> Sequence[Relation]:
        def selected(part: int) -> Expression:
            refs = [self._part(table, part) for table in self.choices]
            if self.selector is None:
                return refs[0]
            kind = Parameter(self.selector)
            return (Constant(2) - kind) * refs[0] + (kind - 1) * refs[1]

        lifted = self._requantisation.lifted(Ref(self.output))
        return (
            Pointwise(
                self.output, self.domain, lifted - Ref(self.x) * selected(0) - self._flipped * selected(1)
            ),
            *self._requantisation.relations(),
            *self._range.check.relations(),
        )
