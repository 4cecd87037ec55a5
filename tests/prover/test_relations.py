"""Expressions mean what Python's operators say, and references index axes as they are told."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from prover.relations import (
    Along,
    Bits,
    Constant,
    FixedBits,
    PowerOfTwo,
    Ref,
    as_expression,
    references,
)

from .expression_values import value

VALUES = {"x": 11, "y": 5}


@pytest.mark.parametrize(
    "formula",
    [
        lambda x, y: x + y,
        lambda x, y: x + 3,
        lambda x, y: 3 + x,
        lambda x, y: x - y,
        lambda x, y: x - 3,
        lambda x, y: 3 - x,
        lambda x, y: x * y,
        lambda x, y: x * 3,
        lambda x, y: 3 * x,
        lambda x, y: -x,
        lambda x, y: -(2 - x) * (y + 1) - 7,
    ],
)
def test_an_expression_has_the_value_of_its_formula(formula: Callable) -> None:  # type: ignore[type-arg]
    assert value(formula(Ref("x"), Ref("y")), VALUES) == formula(VALUES["x"], VALUES["y"])


def test_integers_become_constants_and_expressions_stay() -> None:
    assert as_expression(7) == Constant(7)
    assert as_expression(Ref("x")) == Ref("x")
    assert PowerOfTwo("shift") == PowerOfTwo("shift", 0)


def test_references_are_listed_in_order_of_appearance() -> None:
    x, y = Ref("x"), Ref("y")
    assert list(references((x + 1) * (y - x))) == [x, y, x]
    assert list(references(Constant(1) + PowerOfTwo("shift"))) == []


def test_an_axis_that_is_not_indexed_runs_along() -> None:
    fixed = (FixedBits(3, Bits(2)),)
    ref = Ref("x", (("row", fixed), ("channel", (Along("column"),))))
    assert ref.segments("row") == fixed
    assert ref.segments("channel") == (Along("column"),)
    assert ref.segments("head") == (Along("head"),)
