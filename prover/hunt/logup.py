"""What the argument adds to a witness, and the relations that it proves in place of lookups, for the check readers.

    inverse of lookups   H(x) * prod (gamma + row_i(x)) = sum of the products without one factor, where lookups read anything
    inverse of a table   H(x) * (gamma + row(x)) = multiplicity(x)
    sum of inverses      sum over lookups H - sum over tables H = 0

All of them are read off the plan, which is what the prover and the verifiers walk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from ..field.arrays import MODULUS
from ..plan import Plan
from ..relations import (
    Constant,
    Contraction,
    Lookup,
    LookupTable,
    Pointwise,
    ProductTerm,
    Ref,
    Relation,
    references,
)
from .noticing import Hunt

SUM_OF_INVERSES = "sum_of_inverses"


def argument_relations(plan: Plan) -> list[Relation]:
    """Everything that the batched sumcheck proves: pointwise relations, contractions and the sum of all inverses."""
    names = _names(plan)
    relations: list[Relation] = []
    for group in plan.groups:
        for power, expression in group.expressions:
            terms = tuple(
                ProductTerm(product.coefficient, product.summed, product.factors)
                for product in plan.products
                if product.power == power
            )
            if terms:
                relations.append(Contraction(names[power], group.domain, expression, terms, group.quads))
            else:
                relations.append(Pointwise(names[power], group.domain, expression))
    inverses = tuple(
        ProductTerm(Constant(sign), group.domain, (Ref(name),))
        for group in plan.groups
        for sign, name in group.inverses
    )
    if inverses:
        relations.append(Contraction(SUM_OF_INVERSES, (), Constant(0), inverses))
    return relations


def _names(plan: Plan) -> list[str]:
    """Names of the relations by power of alpha: those of the program that are no lookups, then the inverses'."""
    stated = [r.name for r in plan.program.relations if not isinstance(r, Lookup)]
    return [*stated, *plan.inverse_of]


def logup_columns(
    plan: Plan,
    tensors: Mapping[str, np.ndarray],
    parameters: Mapping[str, int],
    publics: Mapping[str, int],
    context_bits: int,
    challenges: Mapping[str, int],
) -> dict[str, np.ndarray]:
    """Multiplicities and inverses of a valid witness, by definition and in plain integers, each in its own shape."""
    program = plan.program
    reader = Hunt(program, program.relations, (), tensors, parameters, publics, context_bits)
    looked_up: Counter[tuple[int, ...]] = Counter()
    columns: dict[str, np.ndarray] = {}
    shifted = _Shifted(challenges["beta"], challenges["gamma"])
    for name, source in plan.inverse_of.items():
        if isinstance(source, LookupTable):
            continue
        rows = [_read_rows(reader, lookup) for lookup in source]
        for of_lookup in rows:
            looked_up.update(row for row in of_lookup if row is not None)
        total = [
            sum(shifted.inverse(row) for row in at_x if row is not None) % MODULUS
            for at_x in zip(*rows, strict=True)
        ]
        columns[name] = np.array(total, dtype=object).reshape(reader.shape(plan.tensors[name].axes))
    for name, source in plan.inverse_of.items():
        if isinstance(source, LookupTable):
            rows_of_table = _rows(reader, source, (source.axis,))
            # a row that occurs twice is counted at its last place
            places = {row: place for place, row in enumerate(rows_of_table)}
            multiplicity = np.zeros(len(rows_of_table), dtype=object)
            inverse = np.zeros(len(rows_of_table), dtype=object)
            for row, place in places.items():
                if looked_up[row]:
                    multiplicity[place] = looked_up[row]
                    inverse[place] = looked_up[row] * shifted.inverse(row) % MODULUS
            columns[f"{source.name}_multiplicity"], columns[name] = multiplicity, inverse
    return columns


class _Shifted:
    """1 / (gamma + first + beta second + beta^2 tag), remembered."""

    def __init__(self, beta: int, gamma: int) -> None:
        self._beta, self._gamma = beta, gamma
        self._known: dict[tuple[int, ...], int] = {}

    def inverse(self, row: tuple[int, ...]) -> int:
        if row not in self._known:
            tag, first, second = row
            value = self._gamma + first + self._beta * second + self._beta * self._beta * tag
            self._known[row] = pow(value, -1, MODULUS)
        return self._known[row]


def _read_rows(reader: Hunt, lookup: Lookup) -> list[tuple[int, ...] | None]:
    """The row that a lookup reads at every index of its domain; None where it reads none."""
    rows = _rows(reader, lookup, lookup.domain)
    reads = reader.reads(lookup, np.arange(len(rows)))
    return [row if read else None for row, read in zip(rows, reads, strict=True)]


def _rows(reader: Hunt, row: Lookup | LookupTable, axes: Sequence[str]) -> list[tuple[int, ...]]:
    """(tag, first, second) at every index of the axes."""
    domain, size = tuple(axes), int(np.prod(reader.shape(axes), dtype=np.int64))
    parts = (row.tag, row.first, row.second)
    refs = {ref for part in parts for ref in references(part)}
    columns = {ref: reader.value(ref.tensor)[reader.entries(ref, domain)] for ref in refs}
    return list(zip(*(reader.column(part, columns, size).tolist() for part in parts), strict=True))
