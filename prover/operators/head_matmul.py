"""A matrix of its own for every head, with requantisation.

MEANING    y[h, t] = requantise_half_up(x[h, t] . W[h], s)
BOUNDS     max|x| * sum_k |W[h, k]| < 2^53 for every column of every head (checked when the model is imported: of the heads' inputs,
           one behind the other, one block is not zero); |y| < 2^(bits-1).
RELATIONS  Contraction, of quads (quads.py): 2^s * y + remainder - 2^(s-1) = sum_k x[h, t, k] W[h, k]; remainder in [0, 2^s); y in its range.
REFUSED    y outside its range: y and remainder are the only pair that the contraction and the remainder's range allow,
           so `<y>_range` (its limbs) fails for every witness.
PADDING    padded heads, rows and columns of W are zero in the step key, so y is zero there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..program import Kind, OperatorBase, Program, RunContext, Tensor, WitnessContext
from ..relations import Constant, Contraction, LookupTable, ProductTerm, Ref, Relation
from .rounding import RANGE_TABLE, Requantisation, Shift, SignedRange
from .run_arrays import arrays_of

GROUP, HEAD, ROW = HEAD_ROWS = ("kv_group", "query", "row")
"""The axes of x and y in front of their own; the weight has HEAD, what is summed, and the output's own."""


@dataclass(frozen=True)
class HeadMatMul(OperatorBase):
    """output[group, head, row, own] = requantise_half_up(sum over `summed` of x * weight[head], shift); run with rows first."""

    x: str
    weight: str
    output: str
    summed: str
    own: str
    shift: Shift
    bits: int

    @property
    def _domain(self) -> tuple[str, ...]:
        return (*HEAD_ROWS, self.own)

    @property
    def _requantisation(self) -> Requantisation:
        return Requantisation(self.output, self._domain, self.shift)

    @property
    def _range(self) -> SignedRange:
        return SignedRange(self.output, self._domain, self.bits)

    def parameters(self) -> Sequence[str]:
        return () if self.shift.parameter is None else (self.shift.parameter,)

    def tables(self) -> Sequence[LookupTable]:
        return (RANGE_TABLE,)

    def tensors(self) -> Sequence[Tensor]:
        output = Tensor(self.output, self._domain, Kind.WITNESS)
        return (output, *self._range.check.tensors(), *self._requantisation.tensors())

    def limits(self) -> Mapping[str, int]:
        return {self.output: 1 << (self.bits - 1)}

    def run(self, context: RunContext) -> None:
        x = context.tensors[self.x]  # (rows, groups, heads, size)
        rows, groups, heads, size = x.shape
        products = [
            context.matmul(
                self.weight,
                x[:, :, head].reshape(rows * groups, size),
                slice(size * head, size * (head + 1)),
            )
            for head in range(heads)
        ]
        arrays, limit = arrays_of(context), 1 << (self.bits - 1)
        sums = arrays.stack(products, 1)  # (rows * groups, heads, outputs)
        flat, shift = sums.reshape(rows * groups, -1), self.shift.value(context.parameters)
        output, fits = arrays.round_rows(flat, None, shift, limit)
        context.store(self.output, output.reshape(rows, groups, heads, -1), limit, fits=fits)

    def witness(self, context: WitnessContext) -> None:
        x, weight = (context.tensors[name].astype(np.float64) for name in (self.x, self.weight))
        accumulator = np.matmul(x, weight).astype(np.int64)  # exact below 2^53
        context.tensors[self.output] = self._requantisation.witness(context, accumulator)
        self._range.witness(context)

    def relations(self, program: Program) -> Sequence[Relation]:
        product = ProductTerm(Constant(1), (self.summed,), (Ref(self.x), Ref(self.weight)))
        return (
            Contraction(
                self.output,
                self._domain,
                self._requantisation.lifted(Ref(self.output)),
                (product,),
                quads=self._requantisation.is_in_quads(program, 1 << (self.bits - 1)),
            ),
            *self._requantisation.relations(),
            *self._range.check.relations(),
        )
