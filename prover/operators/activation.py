"""Activation by table.

MEANING    a = TABLE[g], a table of 2^bits entries of the exactly rounded function (SiLU, GELU in its tanh form,
           or the sigmoid, at least one unit).
BOUNDS     -2^(bits-1) <= g < 2^(bits-1), by membership in the table.
RELATIONS  Lookup (g, a).
REFUSED    g outside the table: g is fixed by the operator that makes it, and no row has it, so the lookup fails for every a.
PADDING    TABLE[0] = 0, so padded channels stay zero. The sigmoid's is a half: who reads it says what padding is (operators/top_k.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..program import Kind, OperatorBase, Program, RunContext, Tensor, WitnessContext
from ..relations import Bits, Constant, Lookup, LookupTable, Ref, Relation
from ..tables import ACTIVATION_TAG, Counter, activation_table
from .run_arrays import arrays_of


@dataclass(frozen=True)
class Activation(OperatorBase):
    """output = function(x), x at `scale` and the output at `output_scale`."""

    x: str
    output: str
    domain: tuple[str, ...]
    bits: int
    scale: int
    output_scale: int
    function: str

    @property
    def _table(self) -> np.ndarray:
        return activation_table(self.function, self.bits, self.scale, self.output_scale)

    def tables(self) -> Sequence[LookupTable]:
        return (
            LookupTable(
                "activation",
                "activation_row",
                Bits(self.bits),
                Constant(ACTIVATION_TAG),
                Ref("activation_first"),
                Ref("activation_second"),
            ),
        )

    def tensors(self) -> Sequence[Tensor]:
        return (
            Tensor(
                "activation_first", ("activation_row",), Kind.CLOSED_FORM, Counter(-(1 << (self.bits - 1)))
            ),
            Tensor(
                "activation_second",
                ("activation_row",),
                Kind.CONSTANT,
                values=lambda: self._table,
            ),
            Tensor(self.output, self.domain, Kind.WITNESS),
        )

    def limits(self) -> Mapping[str, int]:
        return {self.x: 1 << (self.bits - 1)}

    def run(self, context: RunContext) -> None:
        half = 1 << (self.bits - 1)
        x = context.tensors[self.x]
        output, fits = arrays_of(context).look_up_rows(x, self._table)
        if not fits:
            context.check_range(self.x, x, -half, half)
        context.tensors[self.output] = output

    def witness(self, context: WitnessContext) -> None:
        index = context.tensors[self.x] + (1 << (self.bits - 1))
        # a value outside the table has no row; whatever stands here, its lookup fails
        context.tensors[self.output] = np.take(self._table, index, mode="clip")

    def relations(self, program: Program) -> Sequence[Relation]:
        return (Lookup(self.output, self.domain, Constant(ACTIVATION_TAG), Ref(self.x), Ref(self.output)),)
