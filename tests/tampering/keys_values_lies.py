"""Lies about a step that writes keys and values: other rows, other positions, other places of their chunks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from prover.argument.commitment import commit_chunks
from prover.relations import FixedBits

from ..prover.statements import srs
from .case import Case

ROTARY = 3
"""Operator of a step that writes keys and values."""


def wrong_keys(case: Case) -> None:
    """One key more; its remainder takes up the difference."""
    case.tensors["keys"][3, 0, 1] += 1
    case.tensors["keys_remainder"][3, 0, 1] -= 1 << 14
    case.claim_output()


def wrong_values(case: Case) -> None:
    values = case.tensors["values"]
    values[31, 0, 0] -= 1
    case.tensors["values_remainder"][31, 0, 0] += 1 << case.parameters["value_shift"]
    case.tensors["values_high"] = (values + (1 << 17)) >> 16
    case.claim_output()


def keys_at_another_position(case: Case) -> None:
    """Keys rotated as if they stood one window later."""
    operators = list(case.program.operators)
    rotary = operators[ROTARY]
    later = FixedBits(case.window + 1, rotary.position[0].width)
    operators[ROTARY] = replace(rotary, position=(later, *rotary.position[1:]))
    case.compute(ROTARY, program=replace(case.program, operators=tuple(operators)))
    case.claim_output()


def keys_in_the_next_place(case: Case) -> None:
    """The right keys where the next window lies: the sum of the chunk would have them twice there, and here none."""
    case.claim_input("keys", case.window + 1)


def values_in_the_next_place(case: Case) -> None:
    case.claim_input("values", case.window + 1)


def keys_in_the_first_place(case: Case) -> None:
    case.claim_input("keys", 0)


def _also_there(case: Case, name: str, window: int) -> None:
    """The right window, and its entries once more at the place of another one: the sum of the chunk holds both."""
    index = {"keys": 1, "values": 2}[name]
    own = case.statement.inputs[index]
    case.claim_input(name, window)
    plan, size = case.key.plan, case.tensors[name].size
    chunk = np.zeros((max(window, case.window) + 1) * size, dtype=np.int64)
    for place in (window, case.window):
        chunk[place * size : (place + 1) * size] = case.tensors[name].reshape(-1)
    assert plan.place(plan.tensors[name], {"window": window}, case.key.chunk_bits) == window
    case.claim_points(index, commit_chunks(srs().g1, [chunk]))
    assert case.statement.inputs[index] != own


def keys_in_two_places(case: Case) -> None:
    _also_there(case, "keys", case.window + 1)


def values_in_two_places(case: Case) -> None:
    """The other one is in front."""
    _also_there(case, "values", case.window - 1)


def keys_and_values_exchanged(case: Case) -> None:
    """Each stream gets what the other one should."""
    _, keys, values = case.statement.inputs
    case.claim_points(1, (values, keys))


def keys_left_out(case: Case) -> None:
    """A window of zeros, as if nobody had written it."""
    case.claim_points(1, ((0, 0),))


def keys_of_another_window(case: Case) -> None:
    """Keys and values computed from the right rows, for the positions of another window."""
    case.compute(publics={"window": case.window + 1})
    case.claim_output()


KEYS_VALUES = (
    wrong_keys,
    wrong_values,
    keys_at_another_position,
    keys_in_the_next_place,
    values_in_the_next_place,
    keys_in_the_first_place,
    keys_in_two_places,
    values_in_two_places,
    keys_and_values_exchanged,
    keys_left_out,
    keys_of_another_window,
)
