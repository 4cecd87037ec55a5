"""Elementwise product.

MEANING    y = requantise_half_up(a * b, s)
BOUNDS     |y| < 2^(bits-1).
RELATIONS  Pointwise 2^s y + remainder - 2^(s-1) = a * b; remainder in [0, 2^s); y in range.
REFUSED    y outside its range: y and remainder are unique, so `<y>_range` fails for every witness.
PADDING    zero stays zero.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..arrays import Rows
from ..program import Kind, OperatorBase, Program, RunContext, Tensor, WitnessContext
from ..relations import LookupTable, Pointwise, Ref, Relation
from .rounding import RANGE_TABLE, Requantisation, Shift, SignedRange
from .run_arrays import arrays_of


class RequantisedProduct(OperatorBase, ABC):
    """output = requantise_half_up(left * right, shift) over the domain, of two factors that the operator names."""

    output: str
    domain: tuple[str, ...]
    shift: int
    bits: int

    @property
    @abstractmethod
    def factors(self) -> tuple[Ref, Ref]:
        """Left and right."""

    @abstractmethod
    def unpadded(self, context: RunContext) -> tuple[Rows, Rows]:
        """Their values when the model is run; left as many as right, or one for each row."""

    @property
    def _requantisation(self) -> Requantisation:
        return Requantisation(self.output, self.domain, Shift(constant=self.shift))

    @property
    def _range(self) -> SignedRange:
        return SignedRange(self.output, self.domain, self.bits)

    def tables(self) -> Sequence[LookupTable]:
        return (RANGE_TABLE,)

    def tensors(self) -> Sequence[Tensor]:
        output = Tensor(self.output, self.domain, Kind.WITNESS)
        return (output, *self._requantisation.tensors(), *self._range.check.tensors())

    def limits(self) -> Mapping[str, int]:
        return {self.output: 1 << (self.bits - 1)}

    def run(self, context: RunContext) -> None:
        left, right = self.unpadded(context)
        limit = 1 << (self.bits - 1)
        output, fits = arrays_of(context).multiply_rows(left, right, self.shift, limit)
        context.store(self.output, output, limit, fits=fits)

    def witness(self, context: WitnessContext) -> None:
        left, right = (context.over(factor, self.domain) for factor in self.factors)
        context.tensors[self.output] = self._requantisation.witness(context, left * right)
        self._range.witness(context)

    def relations(self, program: Program) -> Sequence[Relation]:
        left, right = self.factors
        lifted = self._requantisation.lifted(Ref(self.output))
        return (
            Pointwise(self.output, self.domain, lifted - left * right),
            *self._requantisation.relations(),
            *self._range.check.relations(),
        )


@dataclass(frozen=True)
class Multiply(RequantisedProduct):
    """output = requantise_half_up(left * right, shift) over the domain."""

    left: str
    right: str
    output: str
    domain: tuple[str, ...]
    shift: int
    bits: int

    @property
    def factors(self) -> tuple[Ref, Ref]:
        return Ref(self.left), Ref(self.right)

    def unpadded(self, context: RunContext) -> tuple[Rows, Rows]:
        return context.tensors[self.left], context.tensors[self.right]
