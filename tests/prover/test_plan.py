"""What the plan packs where, and which evaluations nobody needs to send."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import combinations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prover.evaluations import Evaluation, affine, independent_set, split_evaluations
from prover.field.arrays import MODULUS
from prover.plan import Plan, inverse_expression
from prover.relations import Constant, Ref, Sum
from tests.prover.expression_values import value
from tests.prover.operators.random_layers import KINDS, program_of


@st.composite
def graphs(draw: st.DrawFn) -> dict[int, set[int]]:
    size = draw(st.integers(0, 9))
    neighbours: dict[int, set[int]] = {vertex: set() for vertex in range(size)}
    for left, right in combinations(range(size), 2):
        if draw(st.booleans()):
            neighbours[left].add(right)
            neighbours[right].add(left)
    return neighbours


@given(graphs())
def test_an_independent_set_is_independent_and_as_large_as_any(neighbours: dict[int, set[int]]) -> None:
    chosen = independent_set(neighbours)
    assert all(not neighbours[vertex] & chosen for vertex in chosen)
    largest = max(
        bin(mask).count("1")
        for mask in range(1 << len(neighbours))
        if all(
            not (mask >> left & 1 and mask >> right & 1) for left in neighbours for right in neighbours[left]
        )
    )
    assert len(chosen) == largest


def test_no_product_has_two_opened_evaluations() -> None:
    a, b, c, d = (Evaluation(name, ()) for name in "abcd")
    sent, opened = split_evaluations([(a, b), (b, c), (d, d), (c,)])
    assert (sent, opened) == ((b, d), (a, c))


@pytest.mark.parametrize("kind", KINDS)
def test_the_final_check_is_linear_in_what_is_not_sent(kind: str) -> None:
    """affine() raises on a product of two opened evaluations; what it returns adds up to the expression."""
    plan = Plan(program_of(kind))
    found: set[Evaluation] = set()
    for group in plan.groups:
        for _, expression in group.expressions:
            found |= set(plan.affine(expression, lambda ref, g=group: plan.group_evaluation(g, ref))[1])
    assert found <= set(plan.opened)
    assert not set(plan.sent) & set(plan.opened)
    with pytest.raises(ValueError, match="not linear"):
        affine(Ref("a") * Ref("b"), lambda ref: Evaluation(ref.tensor, ()))
    constant, factors = affine(Ref("a") * 3 + Ref("a") + 5, lambda ref: Evaluation(ref.tensor, ()))
    assert _value(constant) == 5
    assert [_value(factor) for factor in factors.values()] == [4]


def _value(expression: object) -> int:
    match expression:
        case Constant(value):
            return value
        case Sum(terms):
            return sum(map(_value, terms))
    product = 1
    for factor in expression.factors:  # type: ignore[attr-defined]
        product *= _value(factor)
    return product


@pytest.mark.parametrize("kind", KINDS)
def test_places_are_aligned_and_without_gaps(kind: str) -> None:
    plan = Plan(program_of(kind))
    packed = [name for zone in plan.zones for name, _, _ in zone.places]
    assert len(packed) == len(set(packed))
    for zone in plan.zones:
        end = 0
        for name, first, bits in zone.places:
            assert first == end
            assert first % (1 << bits) == 0
            slot, slot_bits = zone.slot(name)
            assert slot << bits == first
            assert slot_bits + bits == zone.unit_bits
            end = first + (1 << bits)
        assert end == zone.units


def test_a_plan_does_not_depend_on_the_process() -> None:
    """Prover and generator run in different processes, whose hashes of strings differ."""
    program = (
        "from tests.prover.operators.random_layers import KINDS, program_of; from prover.plan import Plan;"
        "print([(p.sent, p.opened, p.zones) for p in map(Plan, map(program_of, KINDS))])"
    )
    plans = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(plans) == 1


@pytest.mark.parametrize("places", list(product((None, "left", "right"), repeat=3)))
def test_an_inverse_is_the_sum_of_what_is_read(places: tuple[str | None, ...]) -> None:
    """Also where lookups that share a column stand in different places, which no program has yet."""
    rows = (5, 7, 11)
    shifted = [
        (Constant(row), None if place is None else Ref(place))
        for row, place in zip(rows, places, strict=True)
    ]
    for left, right in product((0, 1), repeat=2):
        tensors = {"left": left, "right": right}
        read = [row for row, place in zip(rows, places, strict=True) if place is None or tensors[place]]
        inverse = sum(pow(row, -1, MODULUS) for row in read)
        for wrong in (0, 1):
            residue = value(inverse_expression(Ref("h"), shifted), {**tensors, "h": inverse + wrong})
            assert bool(residue % MODULUS) == bool(wrong)
