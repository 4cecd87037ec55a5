"""Lies about tiles: sums that are not those of the statement, other groups, norms and roundings of steps that close."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from prover.operators.partial_sum import PartialSum
from prover.program import WINDOW_ROWS

from .attention_lies import place
from .case import Case

EXACT = 1 << 53
"""Below it lie all sums of a model (prover/model/bounds.py); nothing checks it in a proof."""


# --- tiles ------------------------------------------------------------------------------------------------------


def adds_to_the_sum(case: Case) -> None:
    case.tensors["sum_after"][3, 5] += 1
    case.claim_output()


def adds_what_no_sum_reaches(case: Case) -> None:
    """2^53 more, which no honest sum is; the next tile would not notice."""
    case.tensors["sum_after"][31, 23] += EXACT
    case.claim_output()


def moves_within_the_sum(case: Case) -> None:
    """The total of a row stays right."""
    case.tensors["sum_after"][7, 2] += 9
    case.tensors["sum_after"][7, 3] -= 9
    case.claim_output()


def sum_in_a_padded_channel(case: Case) -> None:
    """Channels 24..31 are padding."""
    case.tensors["sum_after"][0, 30] -= 7
    case.claim_output()


def tile_left_out(case: Case) -> None:
    """The sum as it was."""
    case.tensors["sum_after"] = case.tensors["sum_before"].copy()
    case.claim_output()


def tile_added_twice(case: Case) -> None:
    tensors = case.tensors
    tensors["sum_after"] = 2 * tensors["sum_after"] - tensors["sum_before"]
    case.claim_output()


def sum_started_again(case: Case) -> None:
    """What the tiles before added is forgotten."""
    case.tensors["sum_before"] = np.zeros_like(case.tensors["sum_before"])
    case.compute(place(case, PartialSum))
    case.claim_output()


def sum_said_to_be_of_nothing(case: Case) -> None:
    """The right sum, said to follow from none: as if this were the first tile."""
    case.claim_points(len(case.statement.inputs) - 2, ((0, 0),))


def sums_exchanged(case: Case) -> None:
    """Before and after: the tile is taken away."""
    before, after = case.statement.inputs[-2:]
    case.claim_points(len(case.statement.inputs) - 2, (after, before))


def other_normalised_rows(case: Case) -> None:
    """Rows that nobody agreed on."""
    case.tensors["normalised"][4, 1] += 1
    case.compute()
    case.claim_output()


def hidden_padding_of_the_last_tile_speaks(case: Case) -> None:
    """A channel that the model does not have, with weights that lead to it and from it."""
    tensors = case.tensors
    for name in ("w_gate", "w_up"):
        tensors[name][:24, 15] += 12_000
    tensors["w_down"][15, :24] += 12_000
    case.compute()
    case.claim_output()


def keys_of_another_group(case: Case) -> None:
    """The heads of this tile attend to the keys and values of the first groups, under this tile's key."""
    case.compute(parameters={**case.parameters, "group": case.parameters["group"] - 1})
    case.claim_output()


def key_of_another_group(case: Case) -> None:
    """The right sum, under the key of another tile with the same weights."""
    names, key = case.program.parameters, case.statement.key
    changed = tuple(
        value - 1 if name == "group" else value for name, value in zip(names, key.parameters, strict=True)
    )
    case.claim_key(replace(key, parameters=changed))


def keys_of_a_group_that_is_padding(case: Case) -> None:
    """The fourth group's keys, which nobody wrote, are said to be something in the witness."""
    for name in ("keys", "values"):
        case.tensors[name][: WINDOW_ROWS * (case.window + 1), 3] = 11_000
    case.compute()
    case.claim_output()


# --- steps that close, norms -------------------------------------------------------------------------------------


def closed_with_another_shift(case: Case) -> None:
    (name,) = case.program.parameters
    case.compute(parameters={name: case.parameters[name] - 1})
    case.claim_output()


def closes_nothing(case: Case) -> None:
    """The sub-layer is left out: the rows as they were."""
    case.tensors["sum"] = np.zeros_like(case.tensors["sum"])
    case.compute()
    case.claim_output()


def closes_a_larger_sum(case: Case) -> None:
    """By as much as one more in the output takes."""
    (name,) = case.program.parameters
    case.tensors["sum"][9, 9] += 1 << case.parameters[name]
    case.compute()
    case.claim_output()


def sum_closed_as_rows(case: Case) -> None:
    """Rows and sum change places."""
    before, total, _ = case.statement.inputs
    case.claim_points(0, (total, before))


def rows_that_are_no_norm(case: Case) -> None:
    """One more in a normalised row; its remainder takes up the difference."""
    tensors, norm = case.tensors, case.program.operators[0]
    tensors["normalised"][3, 5] += 1
    tensors["normalised_remainder"][3, 5] -= 1 << norm.shift
    tensors["normalised_remainder_high"][3, 5] = tensors["normalised_remainder"][3, 5] >> 16
    case.claim_output()


def norm_of_another_row(case: Case) -> None:
    tensors = case.tensors
    tensors["normalised"][[3, 4]] = tensors["normalised"][[4, 3]]
    case.claim_output()


def rows_not_normalised(case: Case) -> None:
    """The rows themselves, in range."""
    case.tensors["normalised"] = case.tensors["before"] >> 4
    case.claim_output()


SUMS = (
    adds_to_the_sum,
    adds_what_no_sum_reaches,
    moves_within_the_sum,
    sum_in_a_padded_channel,
    tile_left_out,
    tile_added_twice,
    sum_started_again,
    sum_said_to_be_of_nothing,
    sums_exchanged,
    other_normalised_rows,
)
GROUPS = (keys_of_another_group, key_of_another_group, keys_of_a_group_that_is_padding)
CLOSES = (closed_with_another_shift, closes_nothing, closes_a_larger_sum, sum_closed_as_rows)
NORMS = (rows_that_are_no_norm, norm_of_another_row, rows_not_normalised)
