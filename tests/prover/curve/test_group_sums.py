"""Sums of points by group number, against the plain-integer group."""

import numpy as np
import pytest

from prover.curve import g1, point_arrays
from prover.curve.group_sums import group_sums

POINTS = [g1.multiply(g1.GENERATOR, k) for k in (3, 5, 7, 11, 13)] + [g1.INFINITY]


def _numbers(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int32)


@pytest.mark.parametrize(
    "members",
    [
        [],
        [(0, _numbers())],
        [(0, _numbers(2, 0, 2, 2, 0, 4))],
        [(2, _numbers(1, 1)), (0, _numbers(4, 1, 4))],
        # 6 is none
        [(0, _numbers(6, 2, 6, 2)), (3, _numbers(6))],
        # the same points twice in one group (a doubling), and a group whose sum meets infinity
        [(1, _numbers(3, 3, 0)), (1, _numbers(3, 3, 1)), (5, _numbers(1))],
    ],
)
def test_every_group_is_the_sum_of_its_members(members: list[tuple[int, np.ndarray]]) -> None:
    expected = {}
    for start, numbers in members:
        for offset, group in enumerate(numbers.tolist()):
            if group < 6:
                expected[group] = g1.add(expected.get(group, g1.INFINITY), POINTS[start + offset])
    used, sums = group_sums(point_arrays.from_points(POINTS), members, 6)
    assert dict(zip(used.tolist(), point_arrays.to_points(sums), strict=True)) == expected
    assert used.tolist() == sorted(expected)


def test_many_members_of_few_groups() -> None:
    """Blocks of every kind of addition: thousands of members, most of them in one group."""
    generator = np.random.default_rng(4)
    numbers = np.where(generator.random(20_000) < 0.9, 0, generator.integers(0, 50, 20_000)).astype(np.int32)
    scalars = generator.integers(1, 40, 20_000)
    multiples = point_arrays.from_points([g1.multiply(g1.GENERATOR, k) for k in range(40)])
    used, sums = group_sums(np.ascontiguousarray(multiples[scalars]), [(0, numbers)], 50)
    totals = np.bincount(numbers, weights=scalars).astype(int)
    assert point_arrays.to_points(sums) == [g1.multiply(g1.GENERATOR, int(totals[g])) for g in used]


@pytest.mark.parametrize(
    "member", [(0, _numbers(7)), (0, _numbers(-1)), (5, _numbers(0, 0)), (-1, _numbers(0))]
)
def test_a_point_or_group_that_does_not_exist_is_refused(member: tuple[int, np.ndarray]) -> None:
    with pytest.raises(IndexError):
        group_sums(point_arrays.from_points(POINTS), [member], 6)
