"""Matrix product with requantisation, and a bias.

MEANING    y = requantise_half_up(x . W + b, s), b at the accumulator's scale
BOUNDS     max|x| * sum_k |W_k| < 2^53 for every row and |b| < 2^47, added in int64 (checked when the model is imported);
           |y| < 2^(bits-1).
RELATIONS  Contraction: 2^s * y + remainder - 2^(s-1) - b = sum_k x_k W_k; remainder in [0, 2^s); y in its range.
           b is a weight over the output's own axes, so it is linear in the relation and repeats along the rows.
           When y feeds a residual addition it is virtual (x' - x) and its range follows from that of x'.
REFUSED    y outside its range: y and remainder are the only pair that the contraction and the remainder's range allow,
           so `<y>_range` (its limbs) fails for every witness. A y without bits is refused by the operator that reads it.
PADDING    padded rows and columns of W and b are zero in the step key, so padded outputs are zero or irrelevant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..program import Kind, OperatorBase, Program, RunContext, Tensor, WitnessContext
from ..relations import Constant, Contraction, LookupTable, ProductTerm, Ref, Relation
from .rounding import RANGE_TABLE, Requantisation, Shift, SignedRange, requantise_half_up


@dataclass(frozen=True)
class MatMul(OperatorBase):
    """output[domain] = requantise_half_up(sum over `summed` of x * weight, shift).

    bits: signed width of the output; None if another operator bounds it.
    committed: whether the output is a witness of its own; otherwise it is virtual (a residual summand), or a boundary that
    the program declares.
    run_shape: unpadded shape of one row of the output.
    bias: weight tensor that is added to the accumulator.
    """

    x: Ref
    weight: str
    output: str
    domain: tuple[str, ...]
    summed: tuple[str, ...]
    shift: Shift
    bits: int | None
    run_shape: tuple[int, ...]
    committed: bool = True
    bias: str | None = None

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

    def run(self, context: RunContext) -> None:
        x = context.tensors[self.x.tensor]
        accumulator = context.matmul(self.weight, x.reshape(x.shape[0], -1))
        if self.bias is not None:
            accumulator = accumulator + context.weights[self.bias].reshape(-1)
        output = requantise_half_up(accumulator, self.shift.value(context.parameters))
        if self.bits is not None:
            context.check_range(self.output, output, -(1 << (self.bits - 1)), 1 << (self.bits - 1))
        context.tensors[self.output] = output.reshape(-1, *self.run_shape)

    def witness(self, context: WitnessContext) -> None:
        accumulator = contract_exactly(context, self.x, Ref(self.weight), self.summed, self.domain)
        if self.bias is not None:
            accumulator = accumulator + context.over(Ref(self.bias), self.domain)
        context.tensors[self.output] = self._requantisation.witness(context, accumulator)
        if self._range:
            self._range.witness(context)

    def relations(self, program: Program) -> Sequence[Relation]:
        product = ProductTerm(Constant(1), self.summed, (self.x, Ref(self.weight)))
        lifted = self._requantisation.lifted(program.value(self.output))
        if self.bias is not None:
            lifted = lifted - Ref(self.bias)
        ranges = self._range.check.relations() if self._range else ()
        return (
            Contraction(self.output, self.domain, lifted, (product,)),
            *self._requantisation.relations(),
            *ranges,
        )


def contract_exactly(
    context: WitnessContext, left: Ref, right: Ref, summed: tuple[str, ...], domain: tuple[str, ...]
) -> np.ndarray:
    """sum over `summed` of left * right as int64, by float64 products whose partial sums stay below 2^53."""
    program = context.program
    left_axes = _along_axes(program, left)
    right_axes = _along_axes(program, right)
    product = np.tensordot(
        context.gather(left).astype(np.float64),
        context.gather(right).astype(np.float64),
        axes=([left_axes.index(a) for a in summed], [right_axes.index(a) for a in summed]),
    )
    axes = [a for a in (*left_axes, *right_axes) if a not in summed]
    return np.transpose(product, [axes.index(a) for a in domain]).astype(np.int64)


def _along_axes(program: Program, ref: Ref) -> list[str]:
    segments = (s for axis in program.tensors[ref.tensor].axes for s in ref.segments(axis))
    return [segment.axis for segment in segments if hasattr(segment, "axis")]
