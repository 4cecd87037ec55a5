"""False witnesses of a router, everything that a liar can still adapt adapted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from prover.operators.routing_weights import RoutingWeights
from prover.operators.top_k import TopK
from prover.program import Program, WitnessContext

Tensors = dict[str, np.ndarray]
ROW = 3


def operators(program: Program) -> tuple[TopK, RoutingWeights]:
    """The two operators behind the router's matrix."""
    top, weights = program.operators[-2:]
    assert isinstance(top, TopK) and isinstance(weights, RoutingWeights)
    return top, weights


def keys(program: Program, tensors: Mapping[str, np.ndarray]) -> np.ndarray:
    """What entries are compared by, (rows, entries)."""
    top, _ = operators(program)
    size = 1 << top.index_bits
    lowered = (1 << (top.bits + top.index_bits)) * (np.arange(size) >= top.real)
    return size * tensors[top.x] + size - 1 - np.arange(size) - lowered


def picking(program: Program, tensors: Tensors, picked: list[int], last: int | None = None) -> None:
    """Pretend that row ROW has these entries picked; `last`: the one that is said to have the smallest key."""
    own, chosen = keys(program, tensors)[ROW], tensors["picked"][ROW]
    chosen[:] = 0
    chosen[picked] = 1
    last = min(picked, key=lambda index: int(own[index])) if last is None else last
    tensors["picked_last"][ROW] = np.arange(len(own)) == last
    tensors["picked_threshold"][ROW] = own[last]
    margin = (2 * chosen - 1) * (own - own[last]) - (1 - chosen)
    tensors["picked_margin_low"][ROW], tensors["picked_margin_high"][ROW] = margin & 0xFFFF, margin >> 16
    weigh(program, tensors)


def weigh(program: Program, tensors: Tensors) -> None:
    """Everything behind the choice, as the honest prover computes it."""
    operators(program)[1].witness(WitnessContext(program, tensors, {}, {}))


def _picked(tensors: Tensors) -> list[int]:
    return [int(index) for index in np.flatnonzero(tensors["picked"][ROW])]


def _others(program: Program, tensors: Tensors) -> list[int]:
    return [index for index in range(operators(program)[0].real) if not tensors["picked"][ROW, index]]


def another_expert(program: Program, tensors: Tensors) -> None:
    picking(program, tensors, [_picked(tensors)[0], _others(program, tensors)[0]])


def another_expert_by_another_threshold(program: Program, tensors: Tensors) -> None:
    """The threshold is the key of the larger one, so that the false one alone lies below it."""
    best = max(_picked(tensors), key=lambda index: int(keys(program, tensors)[ROW, index]))
    picking(program, tensors, [best, _others(program, tensors)[0]], last=best)


def threshold_that_is_not_picked(program: Program, tensors: Tensors) -> None:
    """The best of the others, with its own key as the threshold: only then is it the smallest."""
    best = max(_others(program, tensors), key=lambda index: int(keys(program, tensors)[ROW, index]))
    picking(program, tensors, _picked(tensors), last=best)


def one_expert_more(program: Program, tensors: Tensors) -> None:
    own = keys(program, tensors)[ROW]
    best = max(_others(program, tensors), key=lambda index: int(own[index]))
    picking(program, tensors, [*_picked(tensors), best])


def one_expert_less(program: Program, tensors: Tensors) -> None:
    best = max(_picked(tensors), key=lambda index: int(keys(program, tensors)[ROW, index]))
    picking(program, tensors, [best])


def padded_expert(program: Program, tensors: Tensors) -> None:
    picking(program, tensors, [_picked(tensors)[0], operators(program)[0].real])


def half_an_expert(program: Program, tensors: Tensors) -> None:
    """Two where one was, one less elsewhere: the sum of all is right."""
    first, second = _picked(tensors)
    tensors["picked"][ROW, first], tensors["picked"][ROW, second] = 2, 0


def larger_weight(program: Program, tensors: Tensors) -> None:
    """One more, and the remainder what is left."""
    place = ROW, _picked(tensors)[0]
    _weight(tensors, place, int(tensors["gates"][place]) + 1)


def weight_of_an_expert_that_is_not_picked(program: Program, tensors: Tensors) -> None:
    _weight(tensors, (ROW, _others(program, tensors)[0]), 1)


def exponential_of_an_expert_that_is_not_picked(program: Program, tensors: Tensors) -> None:
    """As if its distance counted."""
    place = ROW, _others(program, tensors)[0]
    tensors["weight"][place] = 30_000
    _, weights = operators(program)
    total = tensors["weight"].sum(axis=-1)
    tensors["weight_sum"][:] = total
    doubled = 2 * total[:, None]
    raised = tensors["weight"] << (weights.scale + 1)
    tensors["gates"][:] = (raised + total[:, None]) // doubled
    tensors["gates_remainder"][:] = raised + total[:, None] - doubled * tensors["gates"]
    _limbs(tensors)


def larger_maximum(program: Program, tensors: Tensors) -> None:
    """Every distance larger, and so every exponential smaller: none is zero."""
    tensors["largest"][ROW] += 1
    tensors["distance_low"][ROW] += 1


def _weight(tensors: Tensors, place: tuple[int, int], value: int) -> None:
    more = value - int(tensors["gates"][place])
    tensors["gates"][place] = value
    tensors["gates_remainder"][place] -= 2 * int(tensors["weight_sum"][place[0]]) * more
    _limbs(tensors)


def _limbs(tensors: Tensors) -> None:
    tensors["gates_remainder_high"][:] = tensors["gates_remainder"] >> 16
    complement = 2 * tensors["weight_sum"][:, None] - 1 - tensors["gates_remainder"]
    tensors["gates_complement_high"][:] = complement >> 16


Lie = Callable[[Program, Any], None]
LIES: dict[Lie, set[str]] = {
    another_expert: {"picked_margin_high_range"},
    another_expert_by_another_threshold: {"picked_margin_high_range"},
    threshold_that_is_not_picked: {"picked_last", "picked_margin_high_range"},
    one_expert_more: {"picked"},
    one_expert_less: {"picked"},
    padded_expert: {"picked_margin_high_range"},
    half_an_expert: {"picked_range"},
    larger_weight: {"gates_remainder_high_range"},
    weight_of_an_expert_that_is_not_picked: {"gates_remainder_high_range"},
    exponential_of_an_expert_that_is_not_picked: {"weight"},
    larger_maximum: {"max_attained", "weight"},
}
"""Lie -> relations that notice it, among others."""
