"""One comparison of two tokens at the head.

MEANING    logit(v) = sum_j n_j H_v[j] (exact integers, no requantisation). Which differences decide the next token, and what may be
           added to them, is the sampling rule's (prover/sampling.py); a statement says of one pair
               factor * (logit(chosen) - logit(rival)) + offset - 2^63 >= 0.
           Greedy, the argmax with ties to the smaller id: factor 1, offset 2^63 - [rival < chosen], against every rival.
           A head with a bias holds it in the first padded channel, b_v = H_v[d], and logit(v) has the further term 2^15 b_v.
BOUNDS     |n| < 2^17, |H| < 2^19, up to 2^13 channels: |difference of logits| < 2^50; factor < 2^13, |offset - 2^63| < 2^60: the
           left side is below 2^64.
RELATIONS  Contraction 2^63 - offset = factor * (sum_j n_j chosen_j - sum_j n_j rival_j) - sum_k 2^(16k) limb_k, limbs in
           [0, 2^16); with a bias also factor * 2^15 * (sum_j unit_j chosen_j - sum_j unit_j rival_j), unit_j = [j = d] a
           closed form. factor and offset are public: the contract computes them from the response's sampling rule, the position
           and the two ids.
REFUSED    never: every difference fits the limbs, so exactly one of two tokens has a proof against the other. A row whose
           norm is refused has no proof for any pair: whoever names that position with any rival wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import Arrays, Rows
from ..errors import ProofRejectedError
from ..program import Kind, OperatorBase, Program, RunContext, Tensor, WitnessContext
from ..relations import (
    Constant,
    Contraction,
    Expression,
    Lookup,
    LookupTable,
    Product,
    ProductTerm,
    Public,
    Ref,
    Relation,
)
from ..sampling import ZERO
from ..tables import RANGE_BITS, Unit, Weighted
from .rounding import RANGE_TABLE, RANGE_TENSORS
from .run_arrays import arrays_of

MARGIN_LIMBS = 4
FACTOR_BITS, OFFSET_BITS = 13, 64
BIAS_INPUT = 1 << 15
"""What a head bias is multiplied with, as if the normalised row had one more channel: 32.0 at scale 10."""


class RivalWins(ProofRejectedError):
    """The statement is false: the rival's score is larger (or equal with a smaller id)."""


def with_bias_input(x: Rows, bias_channel: int | None, arrays: Arrays) -> Rows:
    """Normalised rows as head rows meet them: where these hold a bias, with one more channel."""
    if bias_channel is None:
        return x
    return arrays.join([x, 0 * x[:, :1] + BIAS_INPUT], 1)


@dataclass(frozen=True)
class HeadPair(OperatorBase):
    """The chosen token beats the rival, given the normalised row `x`."""

    x: str
    chosen: str
    rival: str
    bias_channel: int | None = None

    def tables(self) -> Sequence[LookupTable]:
        return (RANGE_TABLE,)

    def tensors(self) -> Sequence[Tensor]:
        unit: tuple[Tensor, ...] = ()
        if self.bias_channel is not None:
            unit = (Tensor("bias_unit", ("channel",), Kind.CLOSED_FORM, Unit(self.bias_channel)),)
        weights = Weighted(tuple(1 << (RANGE_BITS * i) for i in range(MARGIN_LIMBS)))
        return (
            *RANGE_TENSORS,
            Tensor("margin_limbs", ("margin_limb",), Kind.WITNESS),
            Tensor("margin_weights", ("margin_limb",), Kind.CLOSED_FORM, weights),
            *unit,
        )

    def run(self, context: RunContext) -> None:
        x = with_bias_input(context.tensors[self.x], self.bias_channel, arrays_of(context))
        context.tensors["logits"] = context.matmul("head", x)

    def witness(self, context: WitnessContext) -> None:
        x, chosen, rival = (context.tensors[name] for name in (self.x, self.chosen, self.rival))
        difference = chosen - rival
        gap = int(np.sum(x * difference))
        if self.bias_channel is not None:
            gap += BIAS_INPUT * int(difference[self.bias_channel])
        margin = context.publics["factor"] * gap + context.publics["offset"] - ZERO
        if margin < 0:
            raise RivalWins(f"the rival beats the committed token by {-margin} (head statement is false)")
        limbs = [margin >> (RANGE_BITS * i) & ((1 << RANGE_BITS) - 1) for i in range(MARGIN_LIMBS)]
        context.tensors["margin_limbs"] = np.array(limbs, dtype=np.int64)

    def relations(self, program: Program) -> Sequence[Relation]:
        x, factor = Ref(self.x), Public("factor")
        terms: tuple[ProductTerm, ...] = (
            ProductTerm(factor, ("channel",), (x, Ref(self.chosen))),
            ProductTerm(_times(-1, factor), ("channel",), (x, Ref(self.rival))),
            ProductTerm(Constant(-1), ("margin_limb",), (Ref("margin_limbs"), Ref("margin_weights"))),
        )
        if self.bias_channel is not None:
            unit = Ref("bias_unit")
            terms = (
                *terms,
                ProductTerm(_times(BIAS_INPUT, factor), ("channel",), (unit, Ref(self.chosen))),
                ProductTerm(_times(-BIAS_INPUT, factor), ("channel",), (unit, Ref(self.rival))),
            )
        return (
            Contraction("margin", (), ZERO - Public("offset"), terms),
            Lookup("margin_limbs_range", ("margin_limb",), Constant(RANGE_BITS), Ref("margin_limbs")),
        )


def _times(number: int, expression: Expression) -> Expression:
    return Product((Constant(number), expression))
