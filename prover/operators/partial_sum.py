"""A slice of a matrix product, added exactly to what other slices gave: no rounding until all of them are in.

MEANING    sum' = sum + x . W, for the slice of the summed axes at hand
BOUNDS     |sum| + |x . W| <= max|x| * sum_k |W_k| over all slices together < 2^53 (checked when the model is imported, for
           whole rows, or for the experts that a row has), so the order of slices does not matter and no partial sum leaves int64 or float64.
RELATIONS  Contraction: sum' - sum = sum_k x_k W_k. Nothing is rounded, so no witness is new and no range is checked: x is in
           its range by whoever made it, W by its commitment, so the equation over the field is one over the integers.
REFUSED    never: every sum of values in range has one sum'.
INPUTS     a slice of the inputs reads the entries of x that a step-key integer selects: bound by the key's hash, not by a relation.
ROWS       of rows that are not at hand (operators/routed_rows.py) the slice gives zero: their x is.
PADDING    padded rows and columns of W are zero in the step key; so are columns of a last slice that the matrix does not have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..arrays import Arrays, Rows
from ..program import OperatorBase, Program, RunContext, WitnessContext
from ..relations import Along, Bits, Constant, Contraction, ParameterBits, ProductTerm, Ref, Relation
from .matmul import contract_exactly
from .run_arrays import arrays_of


@dataclass(frozen=True)
class SomeInputs:
    """Entries of x's last axis that a slice reads: 2^bits of them, the run that a step-key integer counts from 1.

    axis: of x; along: of the slice; index_bits: how many bits of the axis the integer gives.
    """

    parameter: str
    axis: str
    along: str
    bits: int
    index_bits: int

    def of(self, name: str) -> Ref:
        """x at these entries."""
        run = ParameterBits(self.parameter, Bits(self.index_bits))
        return Ref(name, ((self.axis, (run, Along(self.along))),))

    def unpadded(self, x: Rows, parameters: Mapping[str, int], arrays: Arrays) -> Rows:
        """The same when the model is run, zero beyond the end of x."""
        first = (parameters[self.parameter] - 1) << self.bits
        found = x[:, first : first + (1 << self.bits)]
        return arrays.pad_end(found, 1, (1 << self.bits) - found.shape[1])


@dataclass(frozen=True)
class PartialSum(OperatorBase):
    """after = before + sum over `summed` of x * weight; both are declared by the program as boundaries.

    some: which entries of x the slice reads, if not all.
    """

    x: str
    weight: str
    before: str
    after: str
    domain: tuple[str, ...]
    summed: tuple[str, ...]
    some: SomeInputs | None = None

    @property
    def _x(self) -> Ref:
        return Ref(self.x) if self.some is None else self.some.of(self.x)

    def parameters(self) -> Sequence[str]:
        return () if self.some is None else (self.some.parameter,)

    def run(self, context: RunContext) -> None:
        arrays = arrays_of(context)
        x = context.tensors[self.x]
        x = x.reshape(x.shape[0], -1)
        if self.some is not None:
            x = self.some.unpadded(x, context.parameters, arrays)
        product = context.matmul(self.weight, x)
        after = arrays.copy(context.tensors[self.before])
        rows = slice(None) if context.rows is None else arrays.of(context.rows)
        after[rows] += product.reshape(-1, *after.shape[1:])
        context.tensors[self.after] = after

    def witness(self, context: WitnessContext) -> None:
        product = contract_exactly(context, self._x, Ref(self.weight), self.summed, self.domain)
        context.tensors[self.after] = context.tensors[self.before] + product

    def relations(self, program: Program) -> Sequence[Relation]:
        product = ProductTerm(Constant(1), self.summed, (self._x, Ref(self.weight)))
        return (Contraction(self.after, self.domain, Ref(self.after) - Ref(self.before), (product,)),)
