"""Rows times their routing weight.

MEANING    y = requantise_half_up(gate * x, s), one gate per row
BOUNDS     0 <= gate < 2^16 by whoever writes the stream, |y| < 2^(bits-1).
RELATIONS  those of an elementwise product (operators/multiply.py), the gate being the column that a step-key integer selects.
REFUSED    y outside its range, as there.
PADDING    zero stays zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..arrays import Rows
from ..program import RunContext
from ..relations import Ref
from .multiply import RequantisedProduct
from .routed_rows import Gate


@dataclass(frozen=True)
class GatedRows(RequantisedProduct):
    """output = requantise_half_up(gate * x, shift) over the domain, rows first."""

    x: str
    gate: Gate
    output: str
    domain: tuple[str, ...]
    shift: int
    bits: int

    @property
    def factors(self) -> tuple[Ref, Ref]:
        return self.gate.ref, Ref(self.x)

    def parameters(self) -> Sequence[str]:
        return (self.gate.parameter,)

    def unpadded(self, context: RunContext) -> tuple[Rows, Rows]:
        return self.gate.run(context), context.tensors[self.x]
