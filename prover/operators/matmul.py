"""Matrix product with requantisation, and a bias.

MEANING    y = requantise_half_up(x . W + b, s), b at the accumulator's scale
BOUNDS     max|x| * sum_k |W_k| < 2^53 for every row (checked when the model is imported), and those of operators/requantised_sum.py.
RELATIONS  Contraction, of quads where y has a range (quads.py): 2^s * y + remainder - 2^(s-1) - b = sum_k x_k W_k; remainder and y in range as in requantised_sum.py.
REFUSED    y outside its range, as there.
PADDING    padded rows and columns of W and b are zero in the step key, so padded outputs are zero or irrelevant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..program import Program, RunContext, WitnessContext
from ..relations import Constant, Contraction, ProductTerm, Ref, Relation
from .requantised_sum import RequantisedSum
from .rounding import Shift


@dataclass(frozen=True)
class MatMul(RequantisedSum):
    """output[domain] = requantise_half_up(sum over `summed` of x * weight + bias, shift).

    run_shape: unpadded shape of one row of the output.
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

    def run(self, context: RunContext) -> None:
        x = context.tensors[self.x.tensor]
        self.run_product(context, self.weight, x.reshape(x.shape[0], -1), self.run_shape)

    def witness(self, context: WitnessContext) -> None:
        self.witness_rounded(
            context, contract_exactly(context, self.x, Ref(self.weight), self.summed, self.domain)
        )

    def relations(self, program: Program) -> Sequence[Relation]:
        product = ProductTerm(Constant(1), self.summed, (self.x, Ref(self.weight)))
        own = Contraction(
            self.output, self.domain, self.lifted(program), (product,), quads=self.is_in_quads(program)
        )
        return (own, *self.ranges())


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
