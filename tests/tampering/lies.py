"""Lies: false statements, and forged witnesses, that a malicious prover tries to have proven.

Every lie is the best that its liar can do: what follows from it is computed honestly, so that as few relations as
possible notice. Those about attention are in `attention_lies.py`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from prover.field.arrays import MODULUS
from prover.operators.activation import Activation
from prover.operators.multiply import Multiply
from prover.operators.rounding import requantise_half_up
from prover.sampling import ZERO
from prover.tables import activation_table

from .attention_lies import (
    digit_below_its_range,
    forgets_the_first_position,
    hidden_key_weighs,
    keys_and_values_exchanged,
    keys_of_the_windows_before,
    mask_of_another_window,
    max_in_halves,
    max_not_attained,
    max_of_a_masked_key,
    max_too_small,
    max_without_a_selector,
    near_key_as_far,
    near_key_weighs_as_if_nearer,
    padded_head_speaks,
    place,
    quotient_off_by_one,
    rows_beyond_the_window,
    sees_the_future,
    values_for_keys,
    weight_of_another_distance,
    weight_outside_the_table,
    windows_of_keys_exchanged,
    wrong_rotary_position,
)
from .case import Case, Tensors, solve_linear
from .head_tile_lies import MORE as MORE_HEAD_TILE
from .head_tile_lies import USUAL as HEAD_TILE
from .keys_values_lies import KEYS_VALUES
from .slice_lies import INPUT_CLOSES, INPUT_TILES, inputs_of_another_run, rounded_to_another_integer
from .tile_lies import (
    CLOSES,
    GROUPS,
    NORMS,
    SUMS,
    adds_to_the_sum,
    closed_with_another_shift,
    hidden_padding_of_the_last_tile_speaks,
    keys_of_another_group,
    rows_that_are_no_norm,
    tile_left_out,
)

__all__ = [
    "LIES",
    "MORE_LIES",
    "Case",
    "Tensors",
    "every_equation_solved",
    "hidden_key_weighs",
    "rival_wins",
    "wrong_output",
]

NORM, GATE, ACTIVATION = 0, 1, 3
"""Operators of an MLP step."""


# --- lies about any step ------------------------------------------------------------------------------------


def _shift_output(case: Case, row: int, channel: int, by: int) -> None:
    """Another output; the summand's remainder takes up the difference, so only its range notices."""
    after = case.tensors["after"]
    after[row, channel] += by
    shift = case.parameters["down_shift" if case.program.name.startswith("mlp") else "output_shift"]
    case.tensors["summand_remainder"][row, channel] -= by << shift
    case.tensors["after_high"] = (after + (1 << 30)) >> 16
    case.claim_output()


def wrong_output(case: Case) -> None:
    _shift_output(case, 3, 5, 1)


def data_in_a_padded_channel(case: Case) -> None:
    """Channels 24..31 of the window are padding."""
    _shift_output(case, 0, 30, -7)


def wrong_weight(case: Case) -> None:
    """One weight differs from the step key's; everything else follows from it."""
    kind = case.program.name.removesuffix("_tile")
    name = {"mlp": "w_up", "attention": "w_query", "keys_values": "w_value"}[kind]
    case.tensors[name].reshape(-1)[:4] += 9_000
    case.compute(0 if kind != case.program.name else 1)
    case.claim_output()


def key_of_another_layer(case: Case) -> None:
    """The computation of one layer, claimed for another one."""
    case.claim_key(Case.true(case.program.name, case.window, seed=2).statement.key)


def rows_of_another_input(case: Case) -> None:
    """The computation on other rows than those that both sides agreed on."""
    other = Case.true(case.program.name, case.window, seed=2)
    case.claim_points(0, other.statement.inputs[: -len(case.program.written)])


def wrong_shift(case: Case) -> None:
    """Requantised with another shift than the step key's."""
    kind = case.program.name.removesuffix("_tile")
    name = {"mlp": "up_shift", "attention": "query_shift", "keys_values": "value_shift"}[kind]
    case.compute(
        0 if kind != case.program.name else 1, parameters={**case.parameters, name: case.parameters[name] - 1}
    )
    case.claim_output()


def wrong_root(case: Case) -> None:
    """y of the norm one too large in row 0; the slack below it is negative in its top limb only."""
    norm = case.program.operators[NORM]
    name = norm.output
    root = int(case.tensors[f"{name}_root"].reshape(-1)[0]) + 1
    mean_square = int(case.tensors[f"{name}_mean_square"].reshape(-1)[0])
    limbs = norm._root._limbs(mean_square, root)
    limbs[8] = (norm._root.numerator - root * root * mean_square) >> 96
    case.tensors[f"{name}_root"].reshape(-1)[0] = root
    case.tensors[f"{name}_limbs"].reshape(-1, 16)[0] = limbs
    x = case.tensors["before"][:1]
    case.tensors[name][:1] = requantise_half_up(x * root, norm.shift)
    case.tensors[f"{name}_remainder"][:1] = (x * root + (1 << (norm.shift - 1))) - (
        case.tensors[name][:1] << norm.shift
    )
    case.tensors[f"{name}_remainder_high"][:1] = case.tensors[f"{name}_remainder"][:1] >> 16
    case.compute(1)
    case.claim_output()


# --- lies about an MLP step -----------------------------------------------------------------------------------


def rounded_the_other_way(case: Case) -> None:
    case.tensors["gate"][0, 0] += 1
    case.tensors["gate_remainder"][0, 0] -= 1 << case.parameters["gate_shift"]
    case.compute(place(case, Activation))
    case.claim_output()


def wrong_activation(case: Case) -> None:
    """An activation that is in no row of the table (logUp must notice, whatever the multiplicities)."""
    case.tensors["activated"][1, 2] += 5_000
    case.compute(place(case, Multiply))
    case.claim_output()


def division_in_the_field(case: Case) -> None:
    """2^16 y + remainder - 2^15 = 0 with remainder 2^15 + 1, in a padded channel whose product is zero anyway."""
    up = case.tensors["up"].astype(object)
    inverse = pow(1 << case.parameters["up_shift"], -1, MODULUS)
    up[0, 60] = -inverse % MODULUS
    high = case.tensors["up_high"].astype(object)
    high[0, 60] = (up[0, 60] + (1 << 20)) * pow(1 << 16, -1, MODULUS) % MODULUS  # low limb 0
    case.tensors["up"], case.tensors["up_high"] = up, high
    case.tensors["up_remainder"][0, 60] += 1


def padded_channel_speaks(case: Case) -> None:
    """Channel 60 of the hidden layer does not exist; weights that lead to it and from it."""
    tensors = case.tensors
    tensors["w_gate"][:24, 60] = tensors["w_up"][:24, 60] = tensors["w_down"][60, :24] = 12_000
    case.compute(GATE)
    case.claim_output()


def input_of_another_output(case: Case) -> None:
    """The gate of another row of the table with the same output, so that nothing after it changes."""
    gate = case.tensors["gate"]
    operator = case.program.operators[ACTIVATION]
    table = activation_table(operator.function, operator.bits, operator.scale, operator.output_scale)
    half = 1 << (operator.bits - 1)
    row, channel = np.argwhere(table[gate + half] == table[gate - 1 + half])[0]
    gate[row, channel] -= 1
    case.tensors["gate_remainder"][row, channel] += 1 << case.parameters["gate_shift"]


def every_equation_solved(case: Case) -> None:
    """A wrong output for which products, and what they are products of, are solved in the field: every equation holds,
    with every remainder of the last matrix and every low limb as it was. Only range checks of high limbs and of one
    remainder are left to notice."""
    tensors, row = case.tensors, 3
    shift = 1 << case.parameters["down_shift"]
    tensors["after"][row, 5] += 1
    tensors["after_high"] = (tensors["after"] + (1 << 30)) >> 16
    wanted = [shift if channel == 5 else 0 for channel in range(tensors["w_down"].shape[1])]
    usable = np.flatnonzero(tensors["activated"][row])
    change = solve_linear(tensors["w_down"][usable].tolist(), wanted)
    lift = 1 << next(op for op in case.program.operators if getattr(op, "output", "") == "product").shift
    for name in ("product", "product_high", "up", "up_high", "up_remainder"):
        tensors[name] = tensors[name].astype(object)
    for hidden, by in zip(usable.tolist(), change, strict=True):
        factor = lift * by * pow(int(tensors["activated"][row, hidden]), -1, MODULUS)
        tensors["product"][row, hidden] += by
        tensors["product_high"][row, hidden] += by * pow(1 << 16, -1, MODULUS)
        tensors["up"][row, hidden] += factor
        tensors["up_high"][row, hidden] += factor * pow(1 << 16, -1, MODULUS)
        tensors["up_remainder"][row, hidden] -= factor << case.parameters["up_shift"]
    for name in ("product", "product_high", "up", "up_high", "up_remainder"):
        tensors[name] %= MODULUS
    case.claim_output()


# --- lies about the head ------------------------------------------------------------------------------------


def _exchange_tokens(case: Case) -> int:
    """Chosen and rival change places; returns the margin, which is negative now."""
    chosen, rival, window = case.statement.inputs
    case.statement = replace(case.statement, inputs=(rival, chosen, window))
    case.tensors["chosen"], case.tensors["rival"] = case.tensors["rival"], case.tensors["chosen"]
    difference = case.tensors["chosen"] - case.tensors["rival"]
    publics = case.statement.publics
    gap = int(np.sum(case.tensors["normalised"] * difference))
    return publics["factor"] * gap + publics["offset"] - ZERO


def rival_wins(case: Case) -> None:
    """The margin is negative in its top limb."""
    margin = _exchange_tokens(case)
    limbs = [margin >> 16 * i & 0xFFFF for i in range(3)]
    case.tensors["margin_limbs"] = np.array([*limbs, margin >> 48], dtype=np.int64)


def margin_modulo_its_width(case: Case) -> None:
    """All limbs in range, of the margin plus 2^64."""
    margin = _exchange_tokens(case)
    case.tensors["margin_limbs"] = np.array([margin >> 16 * i & 0xFFFF for i in range(4)], dtype=np.int64)


def another_row_of_the_window(case: Case) -> None:
    """Row 6 is the negative of row 5, so that exactly one of them prefers the chosen token: the other one."""
    window = case.tensors["window"]
    window[6] = -window[5]
    case.claim_input("window")
    _exchange_tokens(case)
    case.compute(publics={**case.statement.publics, "row": 6})


def tie_against_the_smaller_id(case: Case) -> None:
    """Equal logits and a rival with the smaller id: the margin is -1."""
    case.tensors["rival"] = case.tensors["chosen"].copy()
    case.statement = replace(
        case.statement, inputs=(case.statement.inputs[0], case.statement.inputs[0], case.statement.inputs[2])
    )
    case.tensors["margin_limbs"] = np.array([-1, 0, 0, 0], dtype=np.int64)


# --- all of them ---------------------------------------------------------------------------------------------

ANY = (wrong_output, data_in_a_padded_channel, wrong_weight, key_of_another_layer, rows_of_another_input)
MLP = (
    wrong_shift,
    wrong_root,
    rounded_the_other_way,
    wrong_activation,
    division_in_the_field,
    every_equation_solved,
)
ATTENTION = (
    sees_the_future,
    forgets_the_first_position,
    wrong_rotary_position,
    keys_and_values_exchanged,
    values_for_keys,
    padded_head_speaks,
    digit_below_its_range,
    hidden_key_weighs,
    near_key_as_far,
    near_key_weighs_as_if_nearer,
    weight_of_another_distance,
    max_not_attained,
    max_too_small,
    max_of_a_masked_key,
    quotient_off_by_one,
)
HEAD = (rival_wins, margin_modulo_its_width, another_row_of_the_window, tie_against_the_smaller_id)
LAST_WINDOW = 7
"""Of the small shape, which has 256 positions."""
LIES = [
    *(("mlp", 0, lie) for lie in MLP),
    *(("attention", 0, lie) for lie in (*ANY, *ATTENTION)),
    *(
        ("attention", 1, lie)
        for lie in (mask_of_another_window, windows_of_keys_exchanged, keys_of_the_windows_before)
    ),
    ("attention", 2, rows_beyond_the_window),
    *(
        ("keys_values", 2, lie)
        for lie in (*KEYS_VALUES, wrong_weight, key_of_another_layer, rows_of_another_input)
    ),
    *(("head", 0, lie) for lie in HEAD),
    *(("head_tile", 0, lie) for lie in HEAD_TILE),
    ("attention_tile", 1, adds_to_the_sum),
    ("attention_tile", 1, keys_of_another_group),
    ("mlp_tile", 0, tile_left_out),
    ("attention_close", 0, closed_with_another_shift),
    ("attention_norm", 0, rows_that_are_no_norm),
    ("keys_values_tile", 0, inputs_of_another_run),
    ("query_close", 1, rounded_to_another_integer),
]
MORE_LIES = [
    *(("head_tile", 0, lie) for lie in (*MORE_HEAD_TILE, key_of_another_layer)),
    *((kind, 0, lie) for kind in ("keys_values_tile", "query_tile") for lie in INPUT_TILES),
    *((kind, 1, lie) for kind in ("keys_values_close", "query_close") for lie in INPUT_CLOSES),
    *(("mlp", 0, lie) for lie in (*ANY, input_of_another_output, padded_channel_speaks)),
    *(
        ("attention", 0, lie)
        for lie in (weight_outside_the_table, max_without_a_selector, max_in_halves, wrong_shift, wrong_root)
    ),
    *(("attention", 1, lie) for lie in (*ANY, *ATTENTION)),
    *(("keys_values", window, lie) for window in (1, 6) for lie in (*KEYS_VALUES, wrong_shift, wrong_root)),
    *(
        ("attention_tile", window, lie)
        for window in (0, 1, 4)
        for lie in (*SUMS, *GROUPS, wrong_weight, wrong_shift, key_of_another_layer, rows_of_another_input)
    ),
    *(
        ("attention_tile", 1, lie)
        for lie in (
            sees_the_future,
            forgets_the_first_position,
            mask_of_another_window,
            wrong_rotary_position,
            keys_and_values_exchanged,
            values_for_keys,
            keys_of_the_windows_before,
            windows_of_keys_exchanged,
        )
    ),
    ("attention_tile", 2, rows_beyond_the_window),
    *(
        ("mlp_tile", 0, lie)
        for lie in (*SUMS, wrong_weight, wrong_shift, rounded_the_other_way, wrong_activation)
    ),
    ("mlp_tile", 0, hidden_padding_of_the_last_tile_speaks),
    *(
        (kind, 0, lie)
        for kind in ("attention_close", "mlp_close")
        for lie in (*CLOSES, wrong_output, data_in_a_padded_channel, rows_of_another_input)
    ),
    *(
        (kind, 0, lie)
        for kind in ("attention_norm", "mlp_norm")
        for lie in (*NORMS, wrong_root, rows_of_another_input)
    ),
    *(("attention", LAST_WINDOW, lie) for lie in (wrong_output, sees_the_future, max_not_attained)),
]
"""For the long tests: variations, and the same lies about other statements."""
