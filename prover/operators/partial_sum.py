"""A slice of a matrix product, added exactly to what other slices gave: no rounding until all of them are in.

MEANING    sum' = sum + x . W, for the slice of the summed axes at hand
BOUNDS     |sum| + |x . W| <= max|x| * sum_k |W_k| over all slices together < 2^53 (checked when the model is imported, for
           whole rows, or for the experts that a row has), so the order of slices does not matter and no partial sum leaves int64 or float64.
RELATIONS  Contraction: sum' - sum = sum_k x_k W_k. Nothing is rounded, so no witness is new and no range is checked: x is in
           its range by whoever made it, W by its commitment, so the equation over the field is one over the integers.
REFUSED    never: every sum of values in range has one sum'.
ROWS       of rows that are not at hand (operators/routed_rows.py) the slice gives zero: their x is.
PADDING    padded rows and columns of W are zero in the step key; so are columns of a last slice that the matrix does not have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..program import OperatorBase, Program, RunContext, WitnessContext
from ..relations import Constant, Contraction, ProductTerm, Ref, Relation
from .matmul import contract_exactly


@dataclass(frozen=True)
class PartialSum(OperatorBase):
    """after = before + sum over `summed` of x * weight; both are declared by the program as boundaries."""

    x: Ref
    weight: str
    before: str
    after: str
    domain: tuple[str, ...]
    summed: tuple[str, ...]

    def run(self, context: RunContext) -> None:
        x = context.tensors[self.x.tensor]
        accumulator = context.matmul(self.weight, x.reshape(x.shape[0], -1))
        after = context.tensors[self.before].copy()
        after[slice(None) if context.rows is None else context.rows] += accumulator
        context.tensors[self.after] = after

    def witness(self, context: WitnessContext) -> None:
        product = contract_exactly(context, self.x, Ref(self.weight), self.summed, self.domain)
        context.tensors[self.after] = context.tensors[self.before] + product

    def relations(self, program: Program) -> Sequence[Relation]:
        product = ProductTerm(Constant(1), self.summed, (self.x, Ref(self.weight)))
        return (Contraction(self.after, self.domain, Ref(self.after) - Ref(self.before), (product,)),)
