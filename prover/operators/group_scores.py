"""The score of a group of entries: the sum of those that are best in it.

MEANING    score[g] = sum_m best[g, m] (x[g, m] + bias[g, m])
BOUNDS     |x + bias| < 2^(bits-1) and `count` of them are best, by whoever makes them: |score| < count 2^(bits-1).
RELATIONS  score     Contraction score = sum_m best x + sum_m best bias: linear in score with coefficient 1
REFUSED    never: every row has its sums.
PADDING    groups that do not exist have scores, too; nobody picks them (operators/top_k.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..program import Kind, OperatorBase, Program, RunContext, Tensor, WitnessContext
from ..relations import Along, Constant, Contraction, ProductTerm, Ref, Relation
from .run_arrays import arrays_of
from .top_k import Groups


@dataclass(frozen=True)
class GroupScores(OperatorBase):
    """output[row, group] from x and best over (row, axis), and the bias over the axis."""

    x: str
    bias: str
    best: str
    output: str
    row: str
    axis: str
    groups: Groups

    def _ref(self, tensor: str) -> Ref:
        return Ref(tensor, ((self.axis, (Along(self.groups.group), Along(self.groups.member))),))

    def tensors(self) -> Sequence[Tensor]:
        return (Tensor(self.output, (self.row, self.groups.group), Kind.WITNESS),)

    def run(self, context: RunContext) -> None:
        arrays = arrays_of(context)
        best, x, bias = (
            arrays.host(rows)
            for rows in (context.tensors[self.best], context.tensors[self.x], context.weights[self.bias])
        )
        context.tensors[self.output] = arrays.of(self._sums(best * (x + bias)))

    def _sums(self, values: np.ndarray) -> np.ndarray:
        """Of the members of every group."""
        return np.asarray(values.reshape(len(values), -1, 1 << self.groups.member_bits).sum(axis=-1))

    def witness(self, context: WitnessContext) -> None:
        values = context.tensors[self.best] * (context.tensors[self.x] + context.tensors[self.bias])
        context.tensors[self.output] = self._sums(values)

    def relations(self, program: Program) -> Sequence[Relation]:
        best, member = self._ref(self.best), (self.groups.member,)
        terms = tuple(
            ProductTerm(Constant(1), member, (best, self._ref(name))) for name in (self.x, self.bias)
        )
        return (Contraction(self.output, (self.row, self.groups.group), Ref(self.output), terms),)
