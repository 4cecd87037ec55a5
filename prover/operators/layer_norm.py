"""Layer normalisation, without ever dividing by the number of channels.

MEANING    S = sum_j x_j;  V = d sum_j x_j^2 - S^2 + epsilon;  y = floor(2^k / sqrt(V))
           n_j = requantise_half_up((d x_j - S) * y, s)
           V is d^2 times the variance (plus epsilon = d^2 * eps * 2^(2 * scale(x)), an integer), d x_j - S is d times
           the centred value, and s = k - scale(n).
BOUNDS     y < 2^32, |n| <= sqrt(d) * 2^scale(n) < 2^(bits-1). V is any integer of 2^13 squares.
           (d x_j - S)^2 <= d V, so |(d x_j - S) y| <= 2^k sqrt(d), which with the rounding fits int64 (checked when the
           operator is made).
RELATIONS  S         Contraction S = sum_j x_j
           V         Contraction V + S^2 - epsilon = d sum_j x_j^2
           y         an inverse root (its own file)
           n         Pointwise 2^s n + remainder - 2^(s-1) = (d x - S * real) * y, real_j = [j < d] a closed form;
                     remainder and n in range.
REFUSED    n outside its range: S, V, y and with them n and its remainder are unique, so `<n>_range` fails for every
           witness. S, V and y never refuse.
PADDING    padded channels are zero in x and masked by `real`, so n is zero there; padded rows are ordinary rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import Arrays, Rows
from ..program import Kind, OperatorBase, Program, RunContext, Tensor, WitnessContext
from ..relations import (
    Constant,
    Contraction,
    LookupTable,
    Pointwise,
    ProductTerm,
    Ref,
    Relation,
)
from ..tables import Below
from .inverse_root import InverseRoot, row_statistic
from .rms_norm import refuse_overflow
from .rounding import RANGE_TABLE, Requantisation, Shift, SignedRange
from .run_arrays import arrays_of, own_arrays


@dataclass(frozen=True)
class LayerNorm(OperatorBase):
    """output = (x - mean) / deviation over the axis `channel`; `rows` are the other axes (possibly none).

    committed: whether the output is a witness of its own, or a boundary that the program declares.
    """

    x: Ref
    output: str
    rows: tuple[str, ...]
    real_channels: int
    epsilon: int
    root_scale: int
    shift: int
    bits: int
    channel: str = "channel"
    committed: bool = True

    def __post_init__(self) -> None:
        refuse_overflow(self.output, self.real_channels * self._root.numerator, 1, self.shift)

    @property
    def _domain(self) -> tuple[str, ...]:
        return (*self.rows, self.channel)

    @property
    def _requantisation(self) -> Requantisation:
        return Requantisation(self.output, self._domain, Shift(constant=self.shift))

    @property
    def _range(self) -> SignedRange:
        return SignedRange(self.output, self._domain, self.bits)

    @property
    def _sum(self) -> str:
        return f"{self.output}_sum"

    @property
    def _variance(self) -> str:
        return f"{self.output}_variance"

    @property
    def _root(self) -> InverseRoot:
        return InverseRoot(self.output, self.rows, self._variance, 1 << (2 * self.root_scale), self.epsilon)

    def tables(self) -> Sequence[LookupTable]:
        return (RANGE_TABLE,)

    def tensors(self) -> Sequence[Tensor]:
        output = (Tensor(self.output, self._domain, Kind.WITNESS),) if self.committed else ()
        real = Tensor(f"real_{self.channel}", (self.channel,), Kind.CLOSED_FORM, Below(self.real_channels))
        return (
            Tensor(self._sum, self.rows, Kind.WITNESS),
            Tensor(self._variance, self.rows, Kind.WITNESS),
            *self._root.tensors(),
            real,
            *output,
            *self._requantisation.tensors(),
            *self._range.check.tensors(),
        )

    def limits(self) -> Mapping[str, int]:
        return {self.output: 1 << (self.bits - 1)}

    def bounded(self) -> Sequence[str]:
        return (self.output,)

    def run(self, context: RunContext) -> None:
        x = context.tensors[self.x.tensor]
        arrays, total, limit = arrays_of(context), x.sum(-1), 1 << (self.bits - 1)
        root = self._root.value(self._variance_of(x, arrays.host(total), arrays))
        centred = self.real_channels * x - total[:, None]
        output, fits = arrays.scale_rows(centred, root, None, self.shift, limit)
        context.store(self.output, output, limit, fits=fits)

    def _variance_of(self, x: Rows, total: np.ndarray, arrays: Arrays) -> np.ndarray:
        """V; total^2 <= d sum x^2, so it fits wherever that does. Of a single row (the head's) both are arrays without axes."""
        squares = row_statistic(x, self.real_channels, self.epsilon, arrays)
        total = np.asarray(total).astype(
            squares.dtype
        )  # a bare np.int64 has no other type: its square would wrap
        return np.asarray(squares - total * total, dtype=squares.dtype)

    def witness(self, context: WitnessContext) -> None:
        x = context.over(self.x, self._domain)
        total = context.tensors[self._sum] = x.sum(axis=-1)
        context.tensors[self._variance] = self._variance_of(x, total, own_arrays())
        real = context.over(Ref(f"real_{self.channel}"), self._domain)
        centred = self.real_channels * x - total[..., None] * real
        accumulator = centred * self._root.witness(context)[..., None]
        context.tensors[self.output] = self._requantisation.witness(context, accumulator)
        self._range.witness(context)

    def relations(self, program: Program) -> Sequence[Relation]:
        total, variance, root = Ref(self._sum), Ref(self._variance), Ref(self._root.root)
        sums = ProductTerm(Constant(1), (self.channel,), (self.x,))
        squares = ProductTerm(Constant(self.real_channels), (self.channel,), (self.x, self.x))
        centred = Constant(self.real_channels) * self.x - total * Ref(f"real_{self.channel}")
        lifted = self._requantisation.lifted(Ref(self.output))
        return (
            Contraction(self._sum, self.rows, total, (sums,)),
            Contraction(self._variance, self.rows, variance + total * total - self.epsilon, (squares,)),
            *self._root.relations(),
            Pointwise(self.output, self._domain, lifted - centred * root),
            *self._requantisation.relations(),
            *self._range.check.relations(),
        )
