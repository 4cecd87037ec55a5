"""Routing weights from the scores of the picked entries: each one's share of their sum, times a factor; some entries always one.

MEANING    c = sum over picked entries of score;  weight[e] = floor((2 F picked[e] score[e] + c) / (2 c)): F is the factor, 2^scale is one
           weight[e] = 2^scale for the `always` entries behind the `real` ones, which are never picked
BOUNDS     1 <= score <= 2^score_bits, by the table that makes it, and some entry is picked: 1 <= c, and 2 c < 2^32 (checked when the
           operator is made). 0 <= weight <= F < 2^16.
RELATIONS  c         Contraction c = sum_e picked score
           weight    Pointwise 2 c w + remainder - c = 2 F picked score, with w = weight - 2^scale always;  remainder >= 0 and
                     2 c - 1 - remainder >= 0 by limbs; weight in [0, 2^16). c >= 1, so the quotient is unique.
           `always` is computed by the verifier: [e < real + always] - [e < real].
REFUSED    never: the bounds hold for every choice and every score.
PADDING    padded entries are not picked (operators/top_k.py) and not always there, so their weights are zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..program import Kind, OperatorBase, Program, RunContext, Tensor, WitnessContext
from ..relations import Constant, Contraction, LookupTable, Pointwise, ProductTerm, Ref, Relation
from ..tables import Below
from .rounding import RANGE_TABLE, RANGE_TENSORS, RangeCheck
from .run_arrays import arrays_of

SUM_BITS = 32
WEIGHT_BITS = 16
"""Of a weight: what reads it looks it up in a table of so many bits (operators/routed_rows.py)."""


@dataclass(frozen=True)
class ScoreWeights(OperatorBase):
    """output[row, e] over the axis, a boundary that the program declares.

    count: entries that are picked, of `real`. factor: F, an integer at `scale`. always: entries of weight one behind the real ones.
    """

    scores: str
    picked: str
    output: str
    row: str
    axis: str
    count: int
    real: int
    always: int
    score_bits: int
    factor: int
    scale: int

    def __post_init__(self) -> None:
        if not 0 < self.factor < 1 << WEIGHT_BITS:
            raise ValueError(
                f"routing weights are multiplied with {self.factor / (1 << self.scale):g}; a weight must be above zero and below "
                f"{(1 << WEIGHT_BITS) >> self.scale}"
            )
        if 2 * self.count << self.score_bits >= 1 << SUM_BITS:
            raise ValueError(f"the scores of {self.count} entries do not fit {SUM_BITS - 1} bits")

    @property
    def _domain(self) -> tuple[str, str]:
        return self.row, self.axis

    @property
    def _ends(self) -> tuple[str, str]:
        return f"real_{self.axis}", f"weighted_{self.axis}"

    @property
    def _remainder(self) -> str:
        return f"{self.output}_remainder"

    @property
    def _checks(self) -> tuple[RangeCheck, RangeCheck, RangeCheck]:
        remainder, total = Ref(self._remainder), Ref("score_sum")
        return (
            RangeCheck(self._remainder, self._domain, remainder, SUM_BITS),
            RangeCheck(
                f"{self.output}_complement", self._domain, Constant(2) * total - 1 - remainder, SUM_BITS
            ),
            RangeCheck(self.output, self._domain, Ref(self.output), WEIGHT_BITS),
        )

    def limits(self) -> Mapping[str, int]:
        return {self.output: 1 << WEIGHT_BITS}

    def bounded(self) -> Sequence[str]:
        return (self.output,)

    def tables(self) -> Sequence[LookupTable]:
        return (RANGE_TABLE,)

    def tensors(self) -> Sequence[Tensor]:
        real, weighted = self._ends
        return (
            *RANGE_TENSORS,
            Tensor(real, (self.axis,), Kind.CLOSED_FORM, Below(self.real)),
            Tensor(weighted, (self.axis,), Kind.CLOSED_FORM, Below(self.real + self.always)),
            Tensor("score_sum", (self.row,), Kind.WITNESS),
            Tensor(self._remainder, self._domain, Kind.WITNESS),
            *(tensor for check in self._checks for tensor in check.tensors()),
        )

    def run(self, context: RunContext) -> None:
        arrays = arrays_of(context)
        picked, scores = (arrays.host(context.tensors[name]) for name in (self.picked, self.scores))
        chosen = picked * scores
        total = chosen.sum(axis=-1, keepdims=True)
        shares = (2 * self.factor * chosen + total) // (2 * total)
        always = np.full((len(shares), self.always), 1 << self.scale, dtype=np.int64)
        context.tensors[self.output] = arrays.of(np.concatenate([shares, always], axis=1))

    def witness(self, context: WitnessContext) -> None:
        tensors = context.tensors
        chosen = tensors[self.picked] * tensors[self.scores]
        real, weighted = (tensors[name] for name in self._ends)
        tensors["score_sum"] = chosen.sum(axis=-1)
        total = tensors["score_sum"][:, None]
        shares = (2 * self.factor * chosen + total) // (2 * total)
        remainder = 2 * self.factor * chosen + total - 2 * total * shares
        tensors[self.output] = shares + ((weighted - real) << self.scale)
        tensors[self._remainder] = remainder
        for check, values in zip(
            self._checks, (remainder, 2 * total - 1 - remainder, tensors[self.output]), strict=True
        ):
            check.witness(context, values)

    def relations(self, program: Program) -> Sequence[Relation]:
        picked, scores, total = Ref(self.picked), Ref(self.scores), Ref("score_sum")
        real, weighted = (Ref(name) for name in self._ends)
        share = Ref(self.output) - Constant(1 << self.scale) * (weighted - real)
        quotient = Constant(2) * total * share + Ref(self._remainder) - total
        chosen = ProductTerm(Constant(1), (self.axis,), (picked, scores))
        return (
            Contraction("score_sum", (self.row,), total, (chosen,)),
            Pointwise(self.output, self._domain, quotient - Constant(2 * self.factor) * picked * scores),
            *(relation for check in self._checks for relation in check.relations()),
        )
