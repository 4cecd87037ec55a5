"""The check reader: every relation evaluated directly on integers, no cryptography.

This is what makes "is this operator under-constrained?" testable: change any witness value and ask whether
some relation notices. Values are taken modulo the field, as the argument takes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from .field.arrays import MODULUS
from .program import Program, broadcast, gather, relation_expressions
from .quads import to_quads
from .relations import (
    Constant,
    Contraction,
    Expression,
    Lookup,
    Parameter,
    Pointwise,
    PowerOfTwo,
    Product,
    Public,
    Ref,
    Relation,
    Sum,
    references,
)


@dataclass(frozen=True)
class Violation:
    """A relation that does not hold, and how many indices of its domain fail."""

    relation: str
    failures: int
    first_index: tuple[int, ...]


def check(
    program: Program,
    tensors: Mapping[str, np.ndarray],
    parameters: Mapping[str, int],
    publics: Mapping[str, int],
    context_bits: int,
) -> list[Violation]:
    """All violated relations of a statement; empty for a valid witness."""
    checker = Checker(program, tensors, parameters, publics, context_bits)
    return [violation for relation in program.relations if (violation := checker.violation(relation))]


class Checker:
    """Evaluates relations of one statement over object arrays of Python integers."""

    def __init__(
        self,
        program: Program,
        tensors: Mapping[str, np.ndarray],
        parameters: Mapping[str, int],
        publics: Mapping[str, int],
        context_bits: int,
    ) -> None:
        self._program = program
        self._tensors = {name: np.asarray(value).astype(object) for name, value in tensors.items()}
        self._parameters, self._publics, self._context_bits = parameters, publics, context_bits
        self._rows = self._table_rows()

    def violations_with(self, name: str, array: np.ndarray) -> list[Violation]:
        """Violations when one tensor is replaced; only relations that mention it are evaluated again."""
        before = self._tensors[name]
        self._tensors[name] = np.asarray(array).astype(object)
        try:
            return [v for r in self._mentions(name) if (v := self.violation(r))]
        finally:
            self._tensors[name] = before

    def _mentions(self, name: str) -> list[Relation]:
        return [
            relation
            for relation in self._program.relations
            if any(ref.tensor == name for e in relation_expressions(relation) for ref in references(e))
        ]

    def violation(self, relation: Relation) -> Violation | None:
        """The violation of one relation, or None."""
        match relation:
            case Pointwise():
                residue = self._evaluate(relation.expression, relation.domain)
            case Contraction():
                residue = self._evaluate(relation.expression, relation.output)
                for term in relation.terms:
                    coefficient = self._scalar(term.coefficient)
                    residue = residue - coefficient * self._contract(
                        term.factors, term.summed, relation.output
                    )
                if relation.quads:
                    shape = self._program.shape(relation.output, self._context_bits)
                    residue = to_quads(np.broadcast_to(residue, shape))
            case Lookup():
                columns = [
                    self._evaluate(e, relation.domain)
                    for e in (relation.tag, relation.first, relation.second)
                ]
                shape = self._program.shape(relation.domain, self._context_bits)
                flat = [np.broadcast_to(c, shape).reshape(-1) % MODULUS for c in columns]
                member = [row in self._rows for row in zip(*flat, strict=True)]
                residue = np.array([not m for m in member], dtype=object).reshape(shape)
                if relation.where is not None:
                    residue = residue * self._evaluate(relation.where, relation.domain)
        failing = np.argwhere(np.asarray(residue, dtype=object) % MODULUS != 0)
        if len(failing) == 0:
            return None
        return Violation(relation.name, len(failing), tuple(int(i) for i in failing[0]))

    def _table_rows(self) -> set[tuple[int, int, int]]:
        rows: set[tuple[int, int, int]] = set()
        for table in self._program.tables:
            columns = [self._evaluate(e, (table.axis,)) for e in (table.tag, table.first, table.second)]
            size = self._program.shape((table.axis,), self._context_bits)
            flat = [np.broadcast_to(c, size) % MODULUS for c in columns]
            rows |= set(zip(*flat, strict=True))
        return rows

    def _scalar(self, expression: Expression) -> int:
        return scalar_value(expression, self._parameters, self._publics)

    def _evaluate(self, expression: Expression, domain: Sequence[str]) -> np.ndarray:
        match expression:
            case Sum(terms):
                return reduce(lambda a, b: a + b, (self._evaluate(t, domain) for t in terms))
            case Product(factors):
                return reduce(lambda a, b: a * b, (self._evaluate(f, domain) for f in factors))
            case Ref():
                array, axes = gather(
                    self._tensors[expression.tensor],
                    self._program,
                    expression,
                    {**self._publics, **self._parameters},
                    self._context_bits,
                )
                return broadcast(array, axes, domain)
            case _:
                return np.array(self._scalar(expression), dtype=object)

    def _contract(self, factors: Sequence[Ref], summed: Sequence[str], output: Sequence[str]) -> np.ndarray:
        domain = (*output, *summed)
        product = reduce(lambda a, b: a * b, (self._evaluate(f, domain) for f in factors))
        axes = tuple(range(len(output), len(domain)))
        shape = product.shape
        # a summed axis that no factor has still repeats the product
        missing = reduce(
            lambda count, axis: (
                count
                * (
                    self._program.shape((axis,), self._context_bits)[0]
                    if shape[domain.index(axis)] == 1
                    else 1
                )
            ),
            summed,
            1,
        )
        return product.sum(axis=axes) * missing


def scalar_value(expression: Expression, parameters: Mapping[str, int], publics: Mapping[str, int]) -> int:
    """The integer that a scalar expression stands for."""
    match expression:
        case Constant(value):
            return value
        case Parameter(name):
            return parameters[name]
        case PowerOfTwo(parameter, offset):
            return 1 << (parameters[parameter] + offset)
        case Public(name):
            return publics[name]
        case Sum(terms):
            return sum(scalar_value(t, parameters, publics) for t in terms)
        case Product(factors):
            return reduce(lambda a, b: a * b, (scalar_value(f, parameters, publics) for f in factors), 1)
    raise TypeError(f"not a scalar: {expression!r}")
