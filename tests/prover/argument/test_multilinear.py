"""eq, point by point."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prover.argument.multilinear import eq_table
from prover.argument.points import eq_value, index_bits
from prover.field import arrays
from prover.field.arrays import MODULUS

ELEMENTS = st.integers(0, MODULUS - 1) | st.integers(0, 1)


@settings(max_examples=30, deadline=None)
@given(point=st.lists(ELEMENTS, max_size=5), factor=ELEMENTS)
def test_eq_table_has_one_entry_per_corner(point: list[int], factor: int) -> None:
    table = arrays.to_ints(eq_table(point, factor))
    assert len(table) == 1 << len(point)
    for index, value in enumerate(table):
        assert value == factor * eq_value(point, index_bits(index, len(point))) % MODULUS


@settings(max_examples=30, deadline=None)
@given(pairs=st.lists(st.tuples(ELEMENTS, ELEMENTS), max_size=5))
def test_eq_is_a_product_over_coordinates(pairs: list[tuple[int, int]]) -> None:
    expected = 1
    for a, b in pairs:
        expected = expected * (a * b + (1 - a) * (1 - b)) % MODULUS
    assert eq_value([a for a, _ in pairs], [b for _, b in pairs]) == expected


def test_index_bits_come_most_significant_first() -> None:
    assert index_bits(6, 4) == [0, 1, 1, 0]
    assert index_bits(0, 0) == []


def test_points_of_different_lengths_have_no_eq() -> None:
    with pytest.raises(ValueError, match="zip"):
        eq_value([1], [1, 0])
