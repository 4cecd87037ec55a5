"""Sums of many rows over the same points, beside one multi-scalar multiplication for each row."""

from __future__ import annotations

import random

import numpy as np
import pytest

from prover.curve import g1, point_arrays
from prover.curve.msm import FixedBase, msm_int
from prover.curve.row_sums import LARGEST, row_sums
from prover.field import arrays
from prover.field.arrays import MODULUS

POINTS = [g1.multiply(g1.GENERATOR, 3 + 5 * number) for number in range(40)]
BASES = point_arrays.from_points(POINTS)


def checked(matrix: np.ndarray, bases: np.ndarray = BASES) -> None:
    found = point_arrays.to_points(row_sums(bases, matrix))
    assert found == [msm_int(bases, row) for row in matrix]


@pytest.mark.parametrize("largest", [1, 3, 100, 2**12, 2**20, 2**31, 2**53, LARGEST - 1])
def test_integers_of_every_size(largest: int) -> None:
    generator = np.random.default_rng(largest)
    matrix = generator.integers(-largest, largest, (5, 40), endpoint=True)
    matrix[1] = (
        matrix[0] + generator.integers(-2, 3, 40) if largest < LARGEST - 1 else 0
    )  # close to the row before it
    matrix[3, ::2] = 0
    matrix[3, 0], matrix[4, 1] = largest, -largest
    checked(matrix)


def test_rows_of_nothing_and_of_few() -> None:
    single = np.zeros((6, 40), np.int64)
    single[1, 7], single[2, 7], single[4, 39] = 1, 1, -(2**13)
    checked(single)
    assert row_sums(BASES, np.zeros((0, 40), np.int64)).shape == (0, 8)
    assert not row_sums(BASES[:0], np.zeros((2, 0), np.int64)).any()


def test_sums_that_cancel_and_points_that_repeat() -> None:
    """Equal points are neighbours in a bucket, opposite ones make infinity, and a base may be infinity itself."""
    points = [*POINTS[:4], POINTS[0], POINTS[0], g1.negate(POINTS[0]), g1.INFINITY, g1.INFINITY, POINTS[1]]
    bases = point_arrays.from_points(points)
    rows = [[1, 0, 0, 0, 1, 1, 1, 1, 5, 0], [5, 5, 5, 5, 5, 5, 5, 5, 5, 5], [1, 0, 0, 0, -1, 0, 0, 0, 0, 0]]
    rows += [[0] * 10, [7, -9, 300, 2**20, 7, -7, 7, 1, 1, -9], [7, -9, 300, 2**20, 7, -7, 7, 1, 1, -8]]
    checked(np.array(rows), bases)


def test_more_rows_than_are_summed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Differences go on across the parts; many small integers fill whole vectors of additions."""
    monkeypatch.setattr("prover.curve.row_sums._AT_ONCE", 3 * 40)
    generator = np.random.default_rng(5)
    matrix = np.cumsum(generator.integers(-9, 10, (11, 40)), axis=0) * 4 + generator.integers(0, 2**16, 40)
    checked(matrix)


def test_what_cannot_be_summed_is_refused() -> None:
    with pytest.raises(ValueError, match="give a column for each point"):
        row_sums(BASES, np.zeros((2, 39), np.int64))
    for value in (LARGEST, -LARGEST, -(2**63)):
        with pytest.raises(ValueError, match="msm_int"):
            row_sums(BASES[:1], np.array([[value]]))


def test_multiples_from_a_table_made_once() -> None:
    generator = random.Random(3)
    scalars = [
        0,
        1,
        2,
        127,
        128,
        129,
        255,
        256,
        MODULUS - 1,
        *(generator.randrange(MODULUS) for _ in range(8)),
    ]
    table = FixedBase(POINTS[3])
    for some in (scalars, scalars[:1], []):
        found = point_arrays.to_points(table.multiples(arrays.from_ints(some)))
        assert found == [g1.multiply(POINTS[3], scalar) for scalar in some]
