"""Sums of a few points in Python integers: against the group law, and in every case in which the usual formulas fail."""

from __future__ import annotations

import itertools
import random

import pytest

from prover.curve import combinations, g1, plain_sums
from prover.curve.g1 import INFINITY, Point
from prover.field.reference import BASE_MODULUS, SCALAR_MODULUS

G = g1.GENERATOR


def _sum(points: list[Point], scalars: list[int]) -> Point:
    total = INFINITY
    for point, scalar in zip(points, scalars, strict=True):
        total = g1.add(total, g1.multiply(point, scalar))
    return total


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_a_sum_is_that_of_the_group(count: int) -> None:
    draw = random.Random(count)
    points = [g1.multiply(G, draw.randrange(1, SCALAR_MODULUS)) for _ in range(count)]
    scalars = [draw.randrange(-SCALAR_MODULUS, 2 * SCALAR_MODULUS) for _ in range(count)]
    assert plain_sums.combine(points, scalars) == _sum(points, scalars)


@pytest.mark.parametrize(
    ("points", "scalars"),
    [
        ([INFINITY, G], [5, 0]),
        ([INFINITY], [1]),
        ([G], [SCALAR_MODULUS]),
        ([G], [SCALAR_MODULUS - 1]),
        ([G], [1]),
        ([G, G], [1, 1]),  # a doubling
        ([G, g1.negate(G)], [9, 9]),  # infinity at the end
        ([G, g1.negate(G), G], [8, 8, 3]),  # and on the way
        ([G, g1.multiply(G, 16)], [16, SCALAR_MODULUS - 1]),  # the running sum meets a multiple's opposite
        ([G, g1.multiply(G, 16)], [16, 1]),  # and the multiple itself
        ([g1.multiply(G, k) for k in range(1, 9)], [-8, 7, 8, -7, 1 << 253, 15, 16, 17]),
    ],
)
def test_exceptional_cases(points: list[Point], scalars: list[int]) -> None:
    assert plain_sums.combine(points, scalars) == _sum(points, scalars)


def test_small_sums_of_all_signs() -> None:
    """Everything meets everything: small multiples of one point."""
    for a, b in itertools.product(range(-9, 10), repeat=2):
        points = [G, g1.multiply(G, 3)]
        assert plain_sums.combine(points, [a, b]) == g1.multiply(G, a + 3 * b)


@pytest.mark.parametrize("point", [(BASE_MODULUS + 1, 2), (1, 3)])
def test_what_is_no_point_is_refused(point: Point) -> None:
    with pytest.raises(g1.PointError):
        plain_sums.combine([point], [1])


def test_only_the_first_sums_of_a_process_are_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    plain = plain_sums.combine

    def spy(points: list[Point], scalars: list[int]) -> Point:
        made.append(len(points))
        return plain(points, scalars)

    monkeypatch.setattr(plain_sums, "combine", spy)
    monkeypatch.setattr(combinations, "_made", itertools.count())
    for count in range(1, combinations._PLAIN + 3):
        points = [g1.multiply(G, k) for k in range(1, count + 1)]
        assert combinations.combine(points, list(range(count))) == _sum(points, list(range(count)))
    assert made == list(range(1, combinations._PLAIN + 1))


def test_many_points_are_never_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(combinations, "_made", itertools.count())
    monkeypatch.setattr(plain_sums, "combine", lambda *_: pytest.fail("too many for Python integers"))
    points = [G] * (combinations._FEW + 1)
    assert combinations.combine(points, [1] * len(points)) == g1.multiply(G, len(points))
