"""Expressions evaluated on plain integers."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from prover.relations import Constant, Expression, Product, Ref, Sum


def value(expression: Expression, tensors: Mapping[str, int]) -> int:
    """An expression of constants and references; raises AssertionError for anything else in it."""
    match expression:
        case Sum(terms):
            return sum(value(term, tensors) for term in terms)
        case Product(factors):
            return prod(value(factor, tensors) for factor in factors)
        case Constant(number):
            return number
        case Ref(tensor):
            return tensors[tensor]
    raise AssertionError(expression)
