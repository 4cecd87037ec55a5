"""The head in audit form: all chosen tokens of a window against one tile of the vocabulary.

MEANING    logit(t, v) = sum_j n_tj H_v[j] (exact integers, as of a head pair; with a bias also 2^15 b_v, b_v = H_v[d]). For every row t
           that counts and every id v of the tile: chosen_logit_t - logit(t, v) - [v < token_t] >= 0, and = 0 where v = token_t. So
           over all tiles of a vocabulary chosen_logit_t is the logit of token_t, and token_t the argmax, ties to the smaller id.
BOUNDS     |n| < 2^(n_bits-1), |H| < 2^(h_bits-1), |bias input| = 2^15, up to 2^c channels: |difference| < 2^k with
           k = c + max(n_bits - 1, 15) + h_bits. Rows that do not count and ids behind the vocabulary get 2^k more, which keeps
           them from being negative: with it all is below 2^(k+1) <= 2^(16 limbs).
RELATIONS  limbs         Contraction chosen_logit_t - smaller_tv + 2^k (1 - counted_t real_v) - sum_i 2^(16i) limb_i = logit(t, v);
                         limbs in [0, 2^16). The left side names every limb with another power of 2^16, and all together stay
                         below r, so they are the digits of the difference, which exist only where it is in [0, 2^(16 limbs)).
           chosen_logit  Pointwise chosen_tv sum_i 2^(16i) limb_i = 0: it is the logit of token_t, in the tile that has it.
                         Pointwise (1 - counted_t) chosen_logit_t = 0: a row that does not count has none.
           counted, real, smaller and chosen are closed forms of the public integers (token_forms.py).
           Two tokens of one row cannot both have proofs, whatever field elements H holds: their differences would be two
           numbers below 2^(16 limbs) with the sum r - 1.
REFUSED    by `run` only where a row's norm is; `witness` raises RivalWins where a token is not the argmax of the tile and itself.
           Then a difference is negative, that is more than r - 2^(k+1), and no limbs have that sum.
PADDING    every row is an ordinary row of the norm; rows that do not count (prompt, or behind the text) and ids behind the
           vocabulary impose nothing else: what a private key may hold there changes no token's chances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from ..program import Kind, OperatorBase, Program, RunContext, Tensor, WitnessContext
from ..relations import (
    Constant,
    Contraction,
    Expression,
    Lookup,
    LookupTable,
    Pointwise,
    ProductTerm,
    Ref,
    Relation,
)
from ..tables import RANGE_BITS, Unit
from ..token_forms import TILE, TOKENS, ChosenIds, CountedRows, RealIds, SmallerIds, counted_rows
from .head_pair import BIAS_INPUT, RivalWins, with_bias_input
from .matmul import contract_exactly
from .rounding import RANGE_TABLE, RANGE_TENSORS
from .run_arrays import arrays_of

DOMAIN = ("row", "token")


@dataclass(frozen=True)
class HeadTile(OperatorBase):
    """The tokens of a window's rows beat the ids of a tile, given normalised rows `x` and the stream of chosen logits.

    magnitude_bits: k, so that every honest difference is below 2^k.
    """

    x: str
    chosen_logit: str
    weight: str
    vocabulary: int
    magnitude_bits: int
    bias_channel: int | None = None

    @property
    def limbs(self) -> tuple[str, ...]:
        """The digits of a difference, the lowest first."""
        count = -(-(self.magnitude_bits + 1) // RANGE_BITS)
        return tuple(f"margin_limb_{i}" for i in range(count))

    @property
    def _margin(self) -> Expression:
        """sum_i 2^(16i) limb_i."""
        return reduce(
            lambda a, b: a + b,
            (Constant(1 << (RANGE_BITS * i)) * Ref(name) for i, name in enumerate(self.limbs)),
        )

    def tables(self) -> Sequence[LookupTable]:
        return (RANGE_TABLE,)

    def tensors(self) -> Sequence[Tensor]:
        unit: tuple[Tensor, ...] = ()
        if self.bias_channel is not None:
            unit = (Tensor("bias_unit", ("channel",), Kind.CLOSED_FORM, Unit(self.bias_channel)),)
        return (
            *RANGE_TENSORS,
            *(Tensor(name, DOMAIN, Kind.WITNESS) for name in self.limbs),
            Tensor("counted_rows", ("row",), Kind.CLOSED_FORM, CountedRows()),
            Tensor("real_ids", ("token",), Kind.CLOSED_FORM, RealIds(self.vocabulary)),
            Tensor("smaller_ids", DOMAIN, Kind.CLOSED_FORM, SmallerIds()),
            Tensor("chosen_ids", DOMAIN, Kind.CLOSED_FORM, ChosenIds()),
            *unit,
        )

    def run(self, context: RunContext) -> None:
        x = with_bias_input(context.tensors[self.x], self.bias_channel, arrays_of(context))
        context.tensors["logits"] = context.matmul(self.weight, x)

    def witness(self, context: WitnessContext) -> None:
        tensors = context.tensors
        logits = contract_exactly(context, Ref(self.x), Ref(self.weight), ("channel",), DOMAIN)
        if self.bias_channel is not None:
            logits = logits + BIAS_INPUT * tensors[self.weight][self.bias_channel]
        compared = tensors["counted_rows"][:, None] * tensors["real_ids"]
        margin = tensors[self.chosen_logit][:, None] - tensors["smaller_ids"] - logits
        self._refuse(margin, compared, context)
        margin += (1 - compared) << self.magnitude_bits
        for i, name in enumerate(self.limbs):
            tensors[name] = margin >> (RANGE_BITS * i) & ((1 << RANGE_BITS) - 1)

    def _refuse(self, margin: np.ndarray, compared: np.ndarray, context: WitnessContext) -> None:
        """Raise RivalWins, naming row and id, where a token does not beat what it is compared with."""
        first = context.publics[TILE] * margin.shape[1]
        lost = np.argwhere((compared == 1) & (margin < 0))
        if len(lost):
            row, place = (int(index) for index in lost[0])
            raise RivalWins(
                f"id {first + place} beats token {context.publics[TOKENS[row]]} of row {row} by {-int(margin[row, place])}"
                " (head tile is false)"
            )
        for row in counted_rows(context.publics):
            place = context.publics[TOKENS[row]] - first
            if 0 <= place < margin.shape[1] and margin[row, place]:
                raise RivalWins(
                    f"the committed logit of row {row} is {int(margin[row, place])} above that of its token"
                    f" {context.publics[TOKENS[row]]} (head tile is false)"
                )
        idle = np.flatnonzero(
            (context.tensors["counted_rows"] == 0) & (context.tensors[self.chosen_logit] != 0)
        )
        if len(idle):
            raise RivalWins(
                f"row {int(idle[0])} does not count but has a committed logit (head tile is false)"
            )

    def relations(self, program: Program) -> Sequence[Relation]:
        chosen, counted = Ref(self.chosen_logit), Ref("counted_rows")
        exempt = Constant(1 << self.magnitude_bits) * (1 - counted * Ref("real_ids"))
        terms: tuple[ProductTerm, ...] = (
            ProductTerm(Constant(1), ("channel",), (Ref(self.x), Ref(self.weight))),
        )
        if self.bias_channel is not None:
            terms += (ProductTerm(Constant(BIAS_INPUT), ("channel",), (Ref("bias_unit"), Ref(self.weight))),)
        return (
            Contraction("margin", DOMAIN, chosen - Ref("smaller_ids") + exempt - self._margin, terms),
            Pointwise("chosen_margin", DOMAIN, Ref("chosen_ids") * self._margin),
            Pointwise("idle_logit", DOMAIN, (1 - counted) * chosen),
            *(Lookup(f"{name}_range", DOMAIN, Constant(RANGE_BITS), Ref(name)) for name in self.limbs),
        )
