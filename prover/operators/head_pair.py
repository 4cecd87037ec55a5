"""One comparison of the greedy head.

MEANING    logit(v) = sum_j n_j H_v[j] (exact integers, no requantisation). The next token is the argmax, ties
           to the smaller id: the chosen token must satisfy logit(chosen) - logit(rival) - strict >= 0 for every
           rival, with strict = 1 iff rival id < chosen id.
BOUNDS     |n|, |H| < 2^15, up to 2^13 channels: |difference| < 2^44 < 2^64.
RELATIONS  Contraction strict = sum_j n_j chosen_j - sum_j n_j rival_j - sum_k 2^(16k) limb_k, limbs in [0, 2^16).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import ProofRejectedError
from ..program import Kind, OperatorBase, Program, RunContext, Tensor, WitnessContext
from ..relations import Constant, Contraction, Lookup, LookupTable, ProductTerm, Public, Ref, Relation
from ..tables import RANGE_BITS, Weighted
from .rounding import RANGE_TABLE, RANGE_TENSORS

MARGIN_LIMBS = 4


class RivalWins(ProofRejectedError):
    """The statement is false: the rival's logit is larger (or equal with a smaller id)."""


@dataclass(frozen=True)
class HeadPair(OperatorBase):
    """The chosen token beats the rival, given the normalised row `x`."""

    x: str
    chosen: str
    rival: str

    def tables(self) -> Sequence[LookupTable]:
        return (RANGE_TABLE,)

    def tensors(self) -> Sequence[Tensor]:
        weights = Weighted(tuple(1 << (RANGE_BITS * i) for i in range(MARGIN_LIMBS)))
        return (
            *RANGE_TENSORS,
            Tensor("margin_limbs", ("margin_limb",), Kind.WITNESS),
            Tensor("margin_weights", ("margin_limb",), Kind.CLOSED_FORM, weights),
        )

    def run(self, context: RunContext) -> None:
        context.tensors["logits"] = context.matmul("head", context.tensors[self.x])

    def witness(self, context: WitnessContext) -> None:
        x, chosen, rival = (context.tensors[name] for name in (self.x, self.chosen, self.rival))
        margin = int(np.sum(x * (chosen - rival))) - context.publics["strict"]
        if margin < 0:
            raise RivalWins(f"the rival beats the committed token by {-margin} (head statement is false)")
        limbs = [margin >> (RANGE_BITS * i) & ((1 << RANGE_BITS) - 1) for i in range(MARGIN_LIMBS)]
        context.tensors["margin_limbs"] = np.array(limbs, dtype=np.int64)

    def relations(self, program: Program) -> Sequence[Relation]:
        x = Ref(self.x)
        terms = (
            ProductTerm(Constant(1), ("channel",), (x, Ref(self.chosen))),
            ProductTerm(Constant(-1), ("channel",), (x, Ref(self.rival))),
            ProductTerm(Constant(-1), ("margin_limb",), (Ref("margin_limbs"), Ref("margin_weights"))),
        )
        return (
            Contraction("margin", (), Public("strict"), terms),
            Lookup("margin_limbs_range", ("margin_limb",), Constant(RANGE_BITS), Ref("margin_limbs")),
        )
