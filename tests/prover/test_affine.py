"""The final value as a linear form: by numbers, and refused where it is none."""

from __future__ import annotations

import pytest

from prover.evaluations import Evaluation, affine, monomials
from prover.relations import Constant, Expression, Product, Ref, Sum

from .expression_values import value

X, Y, Z = Ref("x"), Ref("y"), Ref("z")
OPENED = {X: Evaluation("x", ()), Y: Evaluation("y", ())}
VALUES = {"x": 3, "y": 5, "z": 7}


@pytest.mark.parametrize(
    ("expression", "coefficients"),
    [
        (Constant(4), {}),
        (Z, {}),
        (X, {"x": 1}),
        (Sum((X, Constant(-1), Z)), {"x": 1}),
        (Sum((X, Constant(0))), {"x": 1}),
        (Sum((X, Constant(4), Z)), {"x": 1}),
        (Sum((X, Product((Z, X)), Y, X)), {"x": 9, "y": 1}),
        (Product((Constant(2), Sum((X, Z, Y)), Z)), {"x": 14, "y": 14}),
        (Product((Sum((Z, Constant(1))), Sum((Constant(2), X)))), {"x": 8}),
        (Product((Z, Z)), {}),
    ],
)
def test_constant_and_coefficients_make_the_expression(
    expression: Expression, coefficients: dict[str, int]
) -> None:
    constant, found = affine(expression, OPENED.get)
    assert {evaluation.tensor: value(c, VALUES) for evaluation, c in found.items()} == coefficients
    assert value(constant, VALUES) + sum(VALUES[name] * c for name, c in coefficients.items()) == value(
        expression, VALUES
    )


@pytest.mark.parametrize(
    "expression", [Product((X, Y)), Product((X, X)), Product((Sum((X, Z)), Z, Sum((Z, Y))))]
)
def test_what_is_not_linear_is_refused(expression: Expression) -> None:
    with pytest.raises(ValueError, match="not linear"):
        affine(expression, OPENED.get)


def test_monomials_are_multiplied_out_once_each() -> None:
    expression = Sum((Product((Sum((X, Constant(1))), Sum((Y, Z)))), Product((X, Y)), Constant(2)))
    assert monomials(expression) == ((X, Y), (X, Z), (Y,), (Z,), ())
