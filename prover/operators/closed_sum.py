"""What all slices of a matrix product gave, requantised once: the other half of a partial sum.

MEANING    y = requantise_half_up(sum + b, s), b at the scale of the sum
BOUNDS     |sum| < 2^53 (operators/partial_sum.py), and those of operators/requantised_sum.py.
RELATIONS  Pointwise 2^s * y + remainder - 2^(s-1) - b - sum = 0; remainder and y in range as in requantised_sum.py.
REFUSED    y outside its range, as there.
PADDING    padded channels of the sum and of b are zero, so those of y are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..program import Program, RunContext, WitnessContext
from ..relations import Pointwise, Ref, Relation
from .requantised_sum import RequantisedSum
from .rounding import Shift
from .run_arrays import arrays_of


@dataclass(frozen=True)
class ClosedSum(RequantisedSum):
    """output = requantise_half_up(x + bias, shift) over `domain`."""

    x: Ref
    output: str
    domain: tuple[str, ...]
    shift: Shift
    bits: int | None
    committed: bool = True
    bias: str | None = None

    def run(self, context: RunContext) -> None:
        self.run_rounded(context, arrays_of(context).copy(context.tensors[self.x.tensor]))

    def witness(self, context: WitnessContext) -> None:
        self.witness_rounded(context, context.over(self.x, self.domain))

    def relations(self, program: Program) -> Sequence[Relation]:
        return (Pointwise(self.output, self.domain, self.lifted(program, self.x)), *self.ranges())
