"""Root-mean-square normalisation, with an optional gain that cannot be folded into a matrix.

MEANING    ms = sum_j x_j^2 + epsilon;  y = floor(sqrt(2^(2k) * d / ms))
           n_j = requantise_half_up(x_j * y * g_j, s)
           with epsilon = d * eps * 2^(2 * scale(x)) as an integer and s = k + scale(g) - scale(n).
           j runs through one axis, or through several (`across`: the channels of all heads together).
BOUNDS     y < 2^32, |n| < 2^(bits-1) (without a gain |n| <= sqrt(d) * 2^scale(n)). ms is any integer of 2^13 squares.
           |x y| <= 2^k sqrt(d), so |x y g| <= 2^k sqrt(d) (2^(gain_bits-1) - 1), which with the rounding fits int64
           (checked when the operator is made).
RELATIONS  ms        Contraction ms - epsilon = sum_j x_j^2
           y         an inverse root (its own file)
           n         Pointwise 2^s n + remainder - 2^(s-1) = x * y * g; remainder and n in range.
           When n feeds a residual addition it is virtual (x' - x) and its range follows from that of x'.
REFUSED    n outside its range: ms, y and with them n and its remainder are unique, so `<n>_range` fails for every
           witness. ms and y never refuse. A virtual n is refused by the addition that bounds it.
PADDING    padded channels are zero in x, so n is zero there; padded rows are ordinary rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isqrt, prod

import numpy as np

from ..arrays import NO_LIMIT
from ..program import Kind, OperatorBase, Program, RunContext, Tensor, WitnessContext
from ..relations import Constant, Contraction, Expression, LookupTable, Pointwise, ProductTerm, Ref, Relation
from .inverse_root import LIMB_AXIS_BITS, InverseRoot, row_statistic
from .rounding import RANGE_TABLE, Requantisation, Shift, SignedRange
from .run_arrays import arrays_of, own_arrays

__all__ = ["LIMB_AXIS_BITS", "RmsNorm"]

INT64_LIMIT = (1 << 63) - 1


@dataclass(frozen=True)
class RmsNorm(OperatorBase):
    """output = x / rms(x) * gain over the axis `channel`; `rows` are the other axes (possibly none).

    across: further axes that one norm spans, such as those of the heads; then `order` lists the output's axes, and the
    gain has `across` and `channel`.
    gain: weight tensor over `channel`, of gain_bits signed bits. bits: None if another operator bounds the output.
    committed: whether the output is a tensor of its own, or virtual (a residual summand).
    """

    x: Ref
    output: str
    rows: tuple[str, ...]
    real_channels: int
    epsilon: int
    root_scale: int
    shift: int
    bits: int | None
    channel: str = "channel"
    gain: str | None = None
    gain_bits: int | None = None
    committed: bool = True
    across: tuple[str, ...] = ()
    order: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.gain is None) != (self.gain_bits is None):
            raise ValueError(
                f"a norm's gain needs its width, got gain {self.gain!r} of {self.gain_bits} bits"
            )
        largest_gain = 1 if self.gain_bits is None else (1 << (self.gain_bits - 1)) - 1
        refuse_overflow(self.output, self._root.numerator, largest_gain, self.shift)

    @property
    def _domain(self) -> tuple[str, ...]:
        return self.order or (*self.rows, self.channel)

    @property
    def _spanned(self) -> tuple[str, ...]:
        """The axes of one norm."""
        return (*self.across, self.channel)

    @property
    def _requantisation(self) -> Requantisation:
        return Requantisation(self.output, self._domain, Shift(constant=self.shift))

    @property
    def _range(self) -> SignedRange | None:
        return None if self.bits is None else SignedRange(self.output, self._domain, self.bits)

    @property
    def _square(self) -> str:
        return f"{self.output}_mean_square"

    @cached_property
    def _root(self) -> InverseRoot:
        numerator = (1 << (2 * self.root_scale)) * self.real_channels
        return InverseRoot(self.output, self.rows, self._square, numerator, self.epsilon)

    def tables(self) -> Sequence[LookupTable]:
        return (RANGE_TABLE,)

    def tensors(self) -> Sequence[Tensor]:
        output = (Tensor(self.output, self._domain, Kind.WITNESS),) if self.committed else ()
        return (
            Tensor(self._square, self.rows, Kind.WITNESS),
            *self._root.tensors(),
            *output,
            *self._requantisation.tensors(),
            *(self._range.check.tensors() if self._range else ()),
        )

    def limits(self) -> Mapping[str, int]:
        return {} if self.bits is None else {self.output: 1 << (self.bits - 1)}

    def bounded(self) -> Sequence[str]:
        return (self.output,) if self.gain is None else ()

    def run(self, context: RunContext) -> None:
        x = context.tensors[self.x.tensor]
        flat = x.reshape(-1, prod(x.shape[x.ndim - len(self._spanned) :]))  # rows come first
        arrays = arrays_of(context)
        gain = None if self.gain is None else context.weights[self.gain].reshape(-1)
        limit = NO_LIMIT if self.bits is None else 1 << (self.bits - 1)
        found = arrays.normalise_rows(flat, self._root.numerator, self.epsilon, gain, self.shift, limit)
        if found is None:
            root = self._root.value(row_statistic(flat, 1, self.epsilon, arrays))
            found = arrays.scale_rows(flat, root, gain, self.shift, limit)
        output, fits = found
        context.store(self.output, output.reshape(x.shape), limit, fits=fits)

    def witness(self, context: WitnessContext) -> None:
        x = context.gather(self.x)  # in the order of the domain
        aligned = x.transpose([self._domain.index(axis) for axis in (*self.rows, *self._spanned)])
        flat = aligned.reshape(*aligned.shape[: len(self.rows)], -1)
        context.tensors[self._square] = row_statistic(flat, 1, self.epsilon, own_arrays())
        root = self._root.witness(context)
        accumulator = x * np.expand_dims(root, [self._domain.index(axis) for axis in self._spanned])
        if self.gain is not None:
            accumulator = accumulator * context.over(Ref(self.gain), self._domain)
        context.tensors[self.output] = self._requantisation.witness(context, accumulator)
        if self._range:
            self._range.witness(context)

    def relations(self, program: Program) -> Sequence[Relation]:
        statistic = Ref(self._square)
        squares = ProductTerm(Constant(1), self._spanned, (self.x, self.x))
        scaled: Expression = self.x * Ref(self._root.root)
        if self.gain is not None:
            scaled = scaled * Ref(self.gain)
        lifted = self._requantisation.lifted(program.value(self.output))
        return (
            Contraction(self._square, self.rows, statistic - self.epsilon, (squares,)),
            *self._root.relations(),
            Pointwise(self.output, self._domain, lifted - scaled),
            *self._requantisation.relations(),
            *(self._range.check.relations() if self._range else ()),
        )


def refuse_overflow(name: str, numerator: int, largest_gain: int, shift: int) -> None:
    """Raise ValueError unless x * root * gain and its rounding fit int64, whatever the row.

    numerator: N with |x| * root <= sqrt(N): as root = floor(sqrt(N / statistic)) where the statistic is at least x^2.
    """
    largest = isqrt(numerator) * largest_gain + (1 << (shift - 1))
    if largest > INT64_LIMIT:
        raise ValueError(
            f"{name} times its root and gain can reach 2^{largest.bit_length() - 1}, beyond 64-bit integers: the model "
            "has too many channels for the width of its gains"
        )
