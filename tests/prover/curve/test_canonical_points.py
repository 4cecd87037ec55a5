"""A point has one encoding: coordinates that differ by q are refused even where the curve's equation holds."""

from __future__ import annotations

import pytest

from prover.curve import g1
from prover.field.reference import BASE_MODULUS

SQUARE_ROOT_OF_2 = 0x279D7BC4E184E3A57F5FA684690C6DF6B484A7F1DAA1DE608D266A2A4BE6593F
CUBE_ROOT_OF_MINUS_2 = 0x2409ED9A7B7567337C6BFD3B97E9703C9DEFFB228C6C7324D8A447837238B15E


def test_the_roots_are_roots() -> None:
    assert SQUARE_ROOT_OF_2**2 % BASE_MODULUS == 2
    assert CUBE_ROOT_OF_MINUS_2**3 % BASE_MODULUS == BASE_MODULUS - 2


@pytest.mark.parametrize(
    ("canonical", "same"),
    [
        ((BASE_MODULUS - 1, SQUARE_ROOT_OF_2), (-1, SQUARE_ROOT_OF_2)),
        ((CUBE_ROOT_OF_MINUS_2, BASE_MODULUS - 1), (CUBE_ROOT_OF_MINUS_2, -1)),
        ((1, 2), (1 + BASE_MODULUS, 2)),
        ((1, 2), (1, 2 - BASE_MODULUS)),
    ],
)
def test_only_one_of_two_equal_points_is_one(canonical: g1.Point, same: g1.Point) -> None:
    assert g1.is_on_curve(canonical)
    assert g1.validate(canonical) == canonical
    assert not g1.is_on_curve(same)
    with pytest.raises(g1.CoordinateRangeError):
        g1.validate(same)


@pytest.mark.parametrize("point", [(-1, 2), (1, -1), (BASE_MODULUS, 2), (1, BASE_MODULUS)])
def test_a_coordinate_out_of_range_is_named_as_such(point: g1.Point) -> None:
    with pytest.raises(g1.CoordinateRangeError):
        g1.validate(point)
