"""A sum, a bias added and rounded: what a matrix product and the close of its slices have in common.

MEANING    y = requantise_half_up(sum + b, s), b at the scale of the sum
BOUNDS     |sum| < 2^53 for every row and |b| < 2^47, added in int64 (checked when the model is imported); |y| < 2^(bits-1).
RELATIONS  2^s * y + remainder - 2^(s-1) - b = sum; remainder in [0, 2^s); y in its range. What the sum is, says the operator.
           b is a weight over the output's own axes, so it is linear in the relation and repeats along the rows.
           When y feeds a residual addition or a norm it may be virtual (x' - x), and its range follows from that of x'.
REFUSED    y outside its range: y and remainder are the only pair that the relation and the remainder's range allow,
           so `<y>_range` (its limbs) fails for every witness. A y without bits is refused by the operator that reads it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..arrays import NO_LIMIT, Rows
from ..program import Kind, OperatorBase, Program, RunContext, Tensor, WitnessContext
from ..relations import Constant, Expression, LookupTable, Ref, Relation, references
from .rounding import RANGE_TABLE, Requantisation, Shift, SignedRange
from .run_arrays import arrays_of


class RequantisedSum(OperatorBase):
    """output = requantise_half_up(sum + bias, shift) over `domain`, rows first.

    bits: signed width of the output; None if another operator bounds it.
    committed: whether the output is a witness of its own; otherwise it is virtual (a residual summand), or a boundary that
    the program declares.
    bias: weight tensor over the output's axes behind the rows.
    """

    output: str
    domain: tuple[str, ...]
    shift: Shift
    bits: int | None
    committed: bool
    bias: str | None

    @property
    def _requantisation(self) -> Requantisation:
        return Requantisation(self.output, self.domain, self.shift)

    @property
    def _range(self) -> SignedRange | None:
        return None if self.bits is None else SignedRange(self.output, self.domain, self.bits)

    def parameters(self) -> Sequence[str]:
        return () if self.shift.parameter is None else (self.shift.parameter,)

    def tables(self) -> Sequence[LookupTable]:
        return (RANGE_TABLE,)

    def tensors(self) -> Sequence[Tensor]:
        output = (Tensor(self.output, self.domain, Kind.WITNESS),) if self.committed else ()
        checked = self._range.check.tensors() if self._range else ()
        return (*output, *checked, *self._requantisation.tensors())

    def limits(self) -> Mapping[str, int]:
        return {} if self.bits is None else {self.output: 1 << (self.bits - 1)}

    def run_rounded(self, context: RunContext, total: Rows) -> None:
        """Store the output of a sum, unpadded, in its place: the sum is an array that nobody else has."""
        rounded = arrays_of(context).round_rows(total.reshape(len(total), -1), *self._rounding(context))
        self._store(context, rounded, total.shape[1:])

    def run_product(self, context: RunContext, weight: str, x: Rows, shape: tuple[int, ...]) -> None:
        """Store the output of a sum that is a product with a matrix, x (rows, inputs); `shape` of a row."""
        if context.rounded is None:
            self.run_rounded(context, context.matmul(weight, x).reshape(-1, *shape))
        else:
            self._store(context, context.rounded(weight, x, *self._rounding(context)), shape)

    def _rounding(self, context: RunContext) -> tuple[Rows | None, int, int]:
        """Bias, shift and limit."""
        bias = None if self.bias is None else context.weights[self.bias].reshape(-1)
        return bias, self.shift.value(context.parameters), self._limit

    @property
    def _limit(self) -> int:
        return NO_LIMIT if self.bits is None else 1 << (self.bits - 1)

    def _store(self, context: RunContext, rounded: tuple[Rows, bool], shape: tuple[int, ...]) -> None:
        output, fits = rounded
        context.store(self.output, output.reshape(-1, *shape), self._limit, fits=fits)

    def witness_rounded(self, context: WitnessContext, total: np.ndarray) -> None:
        """Store the output of a sum, its remainder and its limbs, padded."""
        if self.bias is not None:
            total = total + context.over(Ref(self.bias), self.domain)
        context.tensors[self.output] = self._requantisation.witness(context, total)
        if self._range:
            self._range.witness(context)

    def lifted(self, program: Program, *known: Expression) -> Expression:
        """2^s * y + remainder - 2^(s-1) - known - b, which equals what of the sum is not known."""
        bias = () if self.bias is None else (Ref(self.bias),)
        lifted = self._requantisation.lifted(program.value(self.output))
        for part in (*known, *bias):
            lifted = lifted - part
        return lifted

    def is_in_quads(self, program: Program) -> bool:
        """Whether a relation about these outputs may be one of quads (quads.py): 2^s y + remainder - 2^(s-1) - b is smaller than 2^60 for
        every witness. y is so by its own range, by that of an operator that reads it, or by that of x' where it is x' - x."""
        limit = program.limits.get(self.output, self._limit_of_summand(program))
        return limit is not None and self._requantisation.is_in_quads(program, limit)

    def _limit_of_summand(self, program: Program) -> int | None:
        """Of a virtual output x' - x: rows are in one range, before a step, which it reads, and after it, which must have it in the step."""
        read = {tensor.name for tensor in program.inputs if tensor not in program.written}
        refs = references(program.definitions.get(self.output, Constant(0)))
        limits = [program.limits.get(ref.tensor, 0) for ref in refs if ref.tensor not in read]
        return 2 * max(limits) if limits and all(limits) else None

    def ranges(self) -> Sequence[Relation]:
        """Of the remainder and of the output."""
        own = self._range.check.relations() if self._range else ()
        return (*self._requantisation.relations(), *own)
