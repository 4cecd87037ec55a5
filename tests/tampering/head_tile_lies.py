"""Lies about a tile of the head: the last of two, rows 3 to 28 count, every third has its token in the other tile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace

import numpy as np

from prover.committed_values import commit_step_key
from prover.operators.head_tile import HeadTile
from prover.program import WitnessContext
from prover.token_forms import FIRST, TILE, TOKENS

from ..prover.statements import srs
from .case import Case

ELSEWHERE, HERE, IDLE = 3, 7, 1
"""Rows whose token is in the other tile, is in this one, and that does not count."""
LIMB = 1 << 16


class _Unrefusing(HeadTile):
    """Computes digits of whatever difference there is."""

    def _refuse(self, margin: np.ndarray, compared: np.ndarray, context: WitnessContext) -> None:
        pass


def _operator(case: Case) -> _Unrefusing:
    honest = case.program.operators[-1]
    return _Unrefusing(**{field.name: getattr(honest, field.name) for field in fields(honest)})


def _digits(case: Case, publics: Mapping[str, int] | None = None) -> None:
    """All that follows from the tensors, in range, as if nothing were wrong with it."""
    said = dict(publics or case.statement.publics)
    for tensor in case.program.tensors.values():
        if tensor.closed_form is not None:
            widths = [case.program.axes[axis].fixed for axis in tensor.axes]
            case.tensors[tensor.name] = tensor.closed_form.values(widths, said)
    _operator(case).witness(WitnessContext(case.program, case.tensors, {}, said))


def _claim_logit(case: Case, row: int, by: int) -> None:
    """Another committed logit of a row."""
    case.tensors["chosen_logit"] = case.tensors["chosen_logit"].copy()
    case.tensors["chosen_logit"][row] += by
    case.claim_input("chosen_logit")


def _margins(case: Case, row: int) -> np.ndarray:
    limbs = [case.tensors[name][row] for name in _operator(case).limbs]
    return sum(limb << (16 * i) for i, limb in enumerate(limbs))  # type: ignore[return-value]


def _closest(case: Case, row: int) -> int:
    """How far the best real id of the tile is below the row's token."""
    return int(_margins(case, row)[case.tensors["real_ids"] == 1].min())


def digits_modulo_their_width(case: Case) -> None:
    """An id of the tile wins; all digits in range, of the difference plus 2^48."""
    _claim_logit(case, ELSEWHERE, -_closest(case, ELSEWHERE) - 1)
    _digits(case)


def a_negative_digit(case: Case) -> None:
    """The same, the equation solved by a top digit of -1."""
    digits_modulo_their_width(case)
    top = _operator(case).limbs[-1]
    low = case.tensors[top][ELSEWHERE] >= LIMB // 2
    case.tensors[top][ELSEWHERE][low] -= LIMB


def a_row_that_counts_is_exempt(case: Case) -> None:
    """The same, with the allowance of rows that do not count."""
    _claim_logit(case, ELSEWHERE, -_closest(case, ELSEWHERE) - 1)
    _digits(case, {**case.statement.publics, FIRST: ELSEWHERE + 1})


def a_logit_above_the_tokens(case: Case) -> None:
    """No id wins against it, but it is not the token's."""
    _claim_logit(case, HERE, 1)
    _digits(case)


def _begin(case: Case) -> int:
    """The first id of the tile."""
    return case.statement.publics[TILE] * case.tensors["real_ids"].size


def a_token_that_is_not_the_best(case: Case) -> None:
    """Only said so in public, a smaller id than the best: the committed logit is that of the best one, against which nobody wins."""
    publics = dict(case.statement.publics)
    assert publics[TOKENS[HERE]] > _begin(case)
    publics[TOKENS[HERE]] = _begin(case)
    case.statement = replace(case.statement, publics=publics)
    _digits(case)


def a_smaller_id_of_the_same_logit_is_passed_over(case: Case) -> None:
    """The column of the best id once more, at a smaller id that no row has for its token: that one wins by the tie alone."""
    tokens = {case.statement.publics[name] for name in TOKENS}
    best = case.statement.publics[TOKENS[HERE]]
    other = next(i for i in range(_begin(case), best) if i not in tokens)
    case.tensors["w_head"] = case.tensors["w_head"].copy()
    case.tensors["w_head"][:, other - _begin(case)] = case.tensors["w_head"][:, best - _begin(case)]
    case.claim_key(commit_step_key(case.key.plan, srs(), {}, case.tensors))
    _digits(case)


def a_logit_where_none_counts(case: Case) -> None:
    _claim_logit(case, IDLE, 5)
    _digits(case)


def rows_of_the_next_position(case: Case) -> None:
    """Every token one row on, the logits with them."""
    publics = dict(case.statement.publics)
    moved = [publics[name] for name in TOKENS]
    publics |= dict(zip(TOKENS, [moved[-1], *moved[:-1]], strict=True))
    case.statement = replace(case.statement, publics=publics)
    _digits(case)


def tile_of_another_number(case: Case) -> None:
    """The weights of the last tile as those of the first."""
    case.statement = replace(case.statement, publics={**case.statement.publics, TILE: 0})
    _digits(case)


def rows_of_another_norm(case: Case) -> None:
    """An id of the tile wins; the row is made smaller until it does not."""
    _claim_logit(case, ELSEWHERE, -_closest(case, ELSEWHERE) - 1)
    case.tensors["normalised"][ELSEWHERE] = 0
    case.tensors["normalised_remainder"][ELSEWHERE] = 0
    if case.tensors["chosen_logit"][ELSEWHERE] < 0:
        case.tensors["normalised"][ELSEWHERE] = 1
    _digits(case)


USUAL = (
    digits_modulo_their_width,
    a_logit_above_the_tokens,
    a_token_that_is_not_the_best,
    a_logit_where_none_counts,
)
MORE = (
    a_negative_digit,
    a_row_that_counts_is_exempt,
    a_smaller_id_of_the_same_logit_is_passed_over,
    rows_of_the_next_position,
    tile_of_another_number,
    rows_of_another_norm,
)
NOTICED = {
    digits_modulo_their_width: {"margin"},
    a_negative_digit: {"margin_limb_2_range"},
    a_row_that_counts_is_exempt: {"margin"},
    a_logit_above_the_tokens: {"chosen_margin"},
    a_token_that_is_not_the_best: {"chosen_margin"},
    a_smaller_id_of_the_same_logit_is_passed_over: {"margin"},
    a_logit_where_none_counts: {"idle_logit"},
}
"""What notices a lie, of the relations on integers: each is the only one that there is against it."""
