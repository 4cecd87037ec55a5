"""Routing by scores: groups, ties, experts that every row has; its meaning in rational numbers, and what a liar can do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from math import floor

import numpy as np
import pytest

from prover.check import check
from prover.operators.activation import Activation
from prover.operators.group_scores import GroupScores
from prover.operators.score_weights import ScoreWeights
from prover.operators.top_k import Groups, TopK
from prover.program import Kind, Program, Tensor, WitnessContext
from prover.tables import activation_table

from .statements import OperatorCase, surviving_changes

EXPERTS, GROUPS, MEMBERS, GROUPS_USED, COUNT, ALWAYS = 12, 3, 4, 2, 3, 2
SCORE_BITS, BITS, SCALE, FACTOR = 16, 21, 14, 40_960
DOMAIN = ("row", "expert")
EACH = Groups("group", "member", 2)
ALLOWED = replace(EACH, allowed="picked_groups")
ROW = 1


def routing(scores: np.ndarray, bias: np.ndarray, *, grouped: bool = True) -> OperatorCase:
    limited = (
        TopK("x", "best", *DOMAIN, 2, MEMBERS, 2, BITS, "bias", EACH),
        GroupScores("x", "bias", "best", "group_scores", *DOMAIN, EACH),
        TopK("group_scores", "picked_groups", "row", "group", GROUPS_USED, GROUPS, 2, BITS + 1),
    )
    operators = (
        *(limited if grouped else ()),
        TopK("x", "picked", *DOMAIN, COUNT, EXPERTS, 4, BITS, "bias", ALLOWED if grouped else None),
        ScoreWeights("x", "picked", "gates", *DOMAIN, COUNT, EXPERTS, ALWAYS, SCORE_BITS, FACTOR, SCALE),
    )
    sizes = {"expert": EXPERTS + ALWAYS} | ({"group": GROUPS, "member": MEMBERS} if grouped else {})
    return OperatorCase(operators, sizes, {"x": (DOMAIN, scores)}, {"bias": (("expert",), bias)}, {})


def with_gates(case: OperatorCase) -> Program:
    """The program with its output, which the step declares."""
    gates = Tensor("gates", DOMAIN, Kind.BOUNDARY)
    return replace(case.program, inputs=(*case.program.inputs, gates), writes={"gates": "gates"})


def violations(case: OperatorCase, witness: dict[str, np.ndarray]) -> set[str]:
    return {v.relation for v in check(with_gates(case), witness, {}, {}, 0)}


generator = np.random.default_rng(4)
SCORES = generator.integers(1, 1 << SCORE_BITS, (4, EXPERTS))
SCORES[2] = 1 << 15
SCORES[3, ::4], SCORES[3, 1::4] = 60_000, 50_000  # every group is as good as every other
BIAS = generator.integers(-20_000, 20_000, EXPERTS)
BIAS[[4, 8, 5, 9]] = BIAS[[0, 0, 1, 1]]


def expected(scores: np.ndarray, bias: np.ndarray, *, grouped: bool) -> list[int]:
    """One row's weights, by sorting: ties go to what comes first."""
    choice = [int(s) + int(b) for s, b in zip(scores, bias, strict=True)]
    groups = range(GROUPS)
    if grouped:
        sums = [sum(sorted(choice[4 * g : 4 * g + 4])[-2:]) for g in groups]
        groups = sorted(groups, key=lambda g: (-sums[g], g))[:GROUPS_USED]  # type: ignore[assignment]
    known = [expert for expert in range(EXPERTS) if expert // MEMBERS in groups]
    chosen = sorted(known, key=lambda e: (-choice[e], e))[:COUNT]
    total = sum(int(scores[e]) for e in chosen)
    shares = [floor(Fraction(FACTOR * int(scores[e]), total) + Fraction(1, 2)) for e in chosen]
    weights = dict(zip(chosen, shares, strict=True))
    return [weights.get(expert, 0) for expert in range(EXPERTS)] + [1 << SCALE] * ALWAYS


@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize("flat", [True, False])
def test_weights_are_shares_of_the_best_of_the_best_groups(grouped: bool, flat: bool) -> None:
    bias = np.zeros_like(BIAS) if flat else BIAS
    case = routing(SCORES, bias, grouped=grouped)
    gates = case.run()["gates"]
    assert gates.tolist() == [expected(row, bias, grouped=grouped) for row in SCORES]
    witness = case.witness()
    assert np.array_equal(witness["gates"][:, : EXPERTS + ALWAYS], gates)
    assert not witness["gates"][:, EXPERTS + ALWAYS :].any() and not witness["picked"][:, EXPERTS:].any()
    assert violations(case, witness) == set()
    assert (gates[:, :EXPERTS].sum(axis=1) - FACTOR <= COUNT).all()


@pytest.mark.parametrize("grouped", [True, False])
def test_no_value_of_a_routing_can_be_changed(grouped: bool) -> None:
    case = routing(SCORES, BIAS, grouped=grouped)
    witness, program = case.witness(), with_gates(case)
    checker = case.checker(witness)
    checker._program = program
    assert surviving_changes(checker, program, witness) == []
    for place in np.ndindex(witness["gates"].shape):
        for changed in (-1, 1):
            gates = witness["gates"].copy()
            gates[place] += changed
            assert checker.violations_with("gates", gates)


# --- lies -----------------------------------------------------------------------------------------------------

Tensors = dict[str, np.ndarray]


def pretend(case: OperatorCase, tensors: Tensors, top: TopK, picked: list[int], keys: np.ndarray) -> None:
    """Row ROW has these entries picked by an operator, everything that belongs to it adapted; then what follows is honest.

    keys: what the entries of the row (and group) are compared by.
    """
    place = (ROW, slice(None)) if len(keys) == tensors[top.output].shape[1] else (ROW, slice(0, len(keys)))
    own = tensors[top.output][place]
    own[:] = 0
    own[picked] = 1
    last = min(picked, key=lambda index: int(keys[index]))
    tensors[f"{top.output}_last"][place] = np.arange(len(keys)) == last
    threshold = tensors[f"{top.output}_threshold"]
    threshold[(ROW, 0) if threshold.ndim == 2 else ROW] = keys[last]
    margin = (2 * own - 1) * (keys - keys[last]) - (1 - own)
    tensors[f"{top.output}_margin_low"][place] = margin & 0xFFFF
    tensors[f"{top.output}_margin_high"][place] = margin >> 16
    context = WitnessContext(with_gates(case), tensors, {}, {}, 0)
    for operator in case.operators[case.operators.index(top) + 1 :]:
        operator.witness(context)


def another_member(case: OperatorCase, tensors: Tensors) -> None:
    """Of group 0: its third best instead of its second best, so that the group counts less."""
    (top,) = (o for o in case.operators if getattr(o, "output", "") == "best")
    x = (tensors["x"] + tensors["bias"])[ROW, :MEMBERS]
    keys = 4 * x + 3 - np.arange(4)
    order = np.argsort(-keys)
    pretend(case, tensors, top, [int(order[0]), int(order[2])], keys)


def another_group(case: OperatorCase, tensors: Tensors) -> None:
    (top,) = (o for o in case.operators if getattr(o, "output", "") == "picked_groups")
    x = tensors["group_scores"][ROW]
    lowered = (1 << (BITS + 1 + 2)) * (np.arange(4) >= GROUPS)
    keys = 4 * x + 3 - np.arange(4) - lowered
    order = np.argsort(-keys)
    pretend(case, tensors, top, [int(order[0]), int(order[2])], keys)


def a_group_that_does_not_exist(case: OperatorCase, tensors: Tensors) -> None:
    (top,) = (o for o in case.operators if getattr(o, "output", "") == "picked_groups")
    keys = 4 * tensors["group_scores"][ROW] + 3 - np.arange(4) - (1 << (BITS + 3)) * (np.arange(4) >= GROUPS)
    pretend(case, tensors, top, [int(keys.argmax()), 3], keys)


def _keys_of_experts(tensors: Tensors) -> np.ndarray:
    x = (tensors["x"] + tensors["bias"])[ROW]
    allowed = np.repeat(tensors["picked_groups"][ROW], MEMBERS)
    keys = 16 * x + 15 - np.arange(16) - (1 << (BITS + 4)) * (1 - allowed)
    return np.asarray(keys)


def an_expert_of_another_group(case: OperatorCase, tensors: Tensors) -> None:
    (top,) = (o for o in case.operators if getattr(o, "output", "") == "picked")
    keys = _keys_of_experts(tensors)
    foreign = next(e for e in range(EXPERTS) if not tensors["picked_groups"][ROW, e // MEMBERS])
    pretend(case, tensors, top, [*(int(e) for e in np.argsort(-keys)[: COUNT - 1]), foreign], keys)


def an_expert_that_every_row_has(case: OperatorCase, tensors: Tensors) -> None:
    (top,) = (o for o in case.operators if getattr(o, "output", "") == "picked")
    keys = _keys_of_experts(tensors)
    pretend(case, tensors, top, [*(int(e) for e in np.argsort(-keys)[: COUNT - 1]), EXPERTS], keys)


def a_smaller_weight_of_what_every_row_has(case: OperatorCase, tensors: Tensors) -> None:
    """One unit less, and the remainder what is left."""
    tensors["gates"][ROW, EXPERTS] -= 1
    tensors["gates_remainder"][ROW, EXPERTS] += 2 * tensors["score_sum"][ROW]
    remainder, total = tensors["gates_remainder"], tensors["score_sum"][:, None]
    tensors["gates_remainder_high"], tensors["gates_complement_high"] = (
        remainder >> 16,
        (2 * total - 1 - remainder) >> 16,
    )


Lie = Callable[[OperatorCase, Tensors], None]
LIES: dict[Lie, set[str]] = {
    another_member: {"best_margin_high_range"},
    another_group: {"picked_groups_margin_high_range"},
    a_group_that_does_not_exist: {"picked_groups_margin_high_range"},
    an_expert_of_another_group: {"picked_margin_high_range"},
    an_expert_that_every_row_has: {"picked_margin_high_range"},
    a_smaller_weight_of_what_every_row_has: {"gates_complement_high_range", "gates_complement_low_range"},
}


@pytest.mark.parametrize("lie", LIES)
def test_a_false_routing_is_noticed(lie: Lie) -> None:
    """Nothing but the order of what was chosen is false in it."""
    case = routing(SCORES, BIAS)
    witness = case.witness()
    honest = witness["gates"].copy()
    lie(case, witness)
    found = violations(case, witness)
    assert found & LIES[lie] and found <= LIES[lie] | {"gates_complement_high_range"}, found
    assert lie is another_member or not np.array_equal(honest, witness["gates"])


@pytest.mark.parametrize("tied", ["members", "groups"])
def test_a_tie_cannot_be_broken_the_other_way(tied: str) -> None:
    """Equal scores: what comes first counts, in a group too, although the group's sum would be the same."""
    case = routing(np.full((4, EXPERTS), 1 << 15), np.zeros(EXPERTS, dtype=np.int64))
    witness = case.witness()
    name = "best" if tied == "members" else "picked_groups"
    (top,) = (o for o in case.operators if getattr(o, "output", "") == name)
    assert witness[name][ROW].tolist()[:4] == [1, 1, 0, 0]
    value = witness["x"][ROW, :MEMBERS] if tied == "members" else witness["group_scores"][ROW]
    keys = 4 * value + 3 - np.arange(4)
    pretend(
        case, witness, top, [1, 2], keys - (1 << (BITS + 3)) * (np.arange(4) >= GROUPS) * (tied == "groups")
    )
    assert violations(case, witness) == {f"{name}_margin_high_range"}


# --- what cannot be an operator, and the table of scores --------------------------------------------------------


@pytest.mark.parametrize(
    ("factor", "bits", "message"),
    [(0, 16, "multiplied with 0"), (1 << 16, 16, "multiplied with 4"), (FACTOR, 30, "do not fit 31 bits")],
)
def test_weights_that_do_not_fit_are_no_operator(factor: int, bits: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ScoreWeights("x", "picked", "gates", *DOMAIN, COUNT, EXPERTS, ALWAYS, bits, factor, SCALE)


def test_scores_are_sigmoids_of_at_least_one_unit() -> None:
    table = activation_table("sigmoid", 14, 8, 16)
    x = np.arange(-(1 << 13), 1 << 13) / 2**8
    assert np.abs(table - np.maximum(1, 2**16 / (1 + np.exp(-x)))).max() <= 0.5 + 1e-6
    assert table.min() == 1 and table.max() == 1 << 16 and table[1 << 13] == 1 << 15
    assert (np.diff(table) >= 0).all()
    case = OperatorCase(
        (Activation("x", "a", DOMAIN, 14, 8, 16, "sigmoid"),),
        {"expert": 2},
        {"x": (DOMAIN, np.array([[0, 256], [-8192, 8191], [1, -1], [5, 5]]))},
        {},
        {},
    )
    assert case.run()["a"][0].tolist() == [1 << 15, round(2**16 / (1 + np.exp(-1)))]
    assert case.witness()["a"][1].tolist() == [1, 1 << 16]
