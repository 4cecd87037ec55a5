"""How large a witness can be, from its range checks alone: interval arithmetic over the relations of a program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from prover.field.arrays import MODULUS
from prover.model.bounds import EXACT_LIMIT
from prover.program import LARGEST_SHIFT, Kind, Program
from prover.quads import LARGEST_DIGIT
from prover.relations import (
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
    Sum,
    references,
)
from prover.streams import SUMS
from prover.tables import RANGE_BITS

BOUNDARY_BITS, WEIGHT_BITS = 31, 16
LARGEST_WEIGHT_BITS = 48
"""Of any weight: a bias, which lies at the scale of an accumulator."""


@dataclass(frozen=True)
class Interval:
    """All integers from low to high."""

    low: int
    high: int

    def __add__(self, other: Interval) -> Interval:
        return Interval(self.low + other.low, self.high + other.high)

    def __neg__(self) -> Interval:
        return Interval(-self.high, -self.low)

    def __mul__(self, other: Interval) -> Interval:
        corners = [a * b for a in (self.low, self.high) for b in (other.low, other.high)]
        return Interval(min(corners), max(corners))

    def times(self, count: int) -> Interval:
        """A sum of `count` of them."""
        return Interval(self.low * count, self.high * count)

    @property
    def magnitude(self) -> int:
        return max(-self.low, self.high)


def signed(bits: int) -> Interval:
    return Interval(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def of_expression(expression: Expression, known: dict[str, Interval]) -> Interval:
    match expression:
        case Constant(value):
            return Interval(value, value)
        case Parameter():
            return Interval(1, LARGEST_SHIFT)
        case PowerOfTwo(_, offset):
            return Interval(1 << (1 + offset), 1 << (LARGEST_SHIFT + offset))
        case Public():
            return Interval(0, 1)
        case Ref(tensor):
            return known[tensor]
        case Sum(terms):
            total = Interval(0, 0)
            for term in terms:
                total = total + of_expression(term, known)
            return total
        case Product(factors):
            product = Interval(1, 1)
            for factor in factors:
                product = product * of_expression(factor, known)
            return product
    raise TypeError(f"no interval for {expression!r}")


def residue(
    program: Program, relation: Pointwise | Contraction, known: dict[str, Interval], t: int
) -> Interval:
    """Both sides of a relation, the second one subtracted."""
    total = of_expression(relation.expression, known)
    for term in relation.terms if isinstance(relation, Contraction) else ():
        product = of_expression(Product((term.coefficient, *term.factors)), known)
        total = total + -product.times(prod(program.shape(term.summed, t)))
    return total


def is_one_of_integers(
    program: Program, relation: Pointwise | Contraction, known: dict[str, Interval], t: int
) -> bool:
    """Whether a relation says over the integers what it says in the field. Of quads what a product is said to be counts, whatever the product is."""
    if not isinstance(relation, Contraction) or not relation.quads:
        return residue(program, relation, known, t).magnitude < MODULUS // 2
    return of_expression(relation.expression, known).magnitude < LARGEST_DIGIT


def stream_limits(programs: Mapping[str, Program]) -> dict[str, int]:
    """Exclusive bound of every stream's rows, by the name of the tensors that hold them: what its writers check."""
    limits: dict[str, int] = {}
    for program in programs.values():
        for name in program.writes.values():
            if not name.endswith("sum_after"):
                limits[name] = max(program.limits[name], limits.get(name, 0))
    sums = dict.fromkeys(
        (*SUMS, *(f"{stream}_before" for stream in SUMS)), EXACT_LIMIT
    )  # no step checks them, but all weights together are small
    return {**limits, **sums, "before": limits["after"], "window": limits["after"]}


def bounds(
    program: Program, t: int, weight_bits: int = WEIGHT_BITS, streams: Mapping[str, int] | None = None
) -> dict[str, Interval]:
    """An interval for every tensor that the range checks bound; a field element outside it violates a relation.

    A value with coefficient 1 or -1 in a relation all of whose other values are bounded is bounded too: in the field
    it equals an integer of that size. streams: exclusive bounds of what is read.
    """
    known = dict(_given(program, weight_bits, streams or {}))
    while True:
        found = {
            name: interval
            for relation in program.relations
            for name, interval in _bounded_by(program, relation, known, t)
            if name not in known
        }
        if not found:
            return known
        known.update(found)


def _given(program: Program, weight_bits: int, streams: Mapping[str, int]) -> Iterator[tuple[str, Interval]]:
    for tensor in program.tensors.values():
        if tensor.kind is Kind.BOUNDARY and tensor not in program.written:
            limit = streams.get(tensor.name, 1 << (BOUNDARY_BITS - 1))
            yield tensor.name, Interval(-limit, limit - 1)
        elif tensor.kind in (Kind.ROW, Kind.WEIGHT):
            yield tensor.name, signed(weight_bits)
        elif tensor.kind is Kind.CONSTANT and tensor.values is not None:
            values = tensor.values()
            yield tensor.name, Interval(int(values.min()), int(values.max()))
        elif tensor.kind is Kind.CLOSED_FORM and tensor.closed_form is not None:
            widths = [program.axes[axis].resolve(5) for axis in tensor.axes]
            values = np.asarray(tensor.closed_form.values(widths, {"window": 0})).astype(object)
            yield tensor.name, Interval(int(values.min()), int(values.max()))


def _bounded_by(
    program: Program, relation: object, known: dict[str, Interval], t: int
) -> Iterator[tuple[str, Interval]]:
    match relation:
        case Lookup(first=first, second=second, tag=tag):
            for expression, interval in zip((first, second), _columns(program, tag, known), strict=True):
                yield from _solved(expression, interval, known)
        case Contraction(quads=True):
            return  # it says nothing of any output before all of a quad are known to be small
        case Contraction() | Pointwise():
            if isinstance(relation, Contraction):
                factors = {factor.tensor for term in relation.terms for factor in term.factors}
                if not factors <= known.keys():
                    return
            left = Interval(0, 0)
            if isinstance(relation, Contraction):
                left = -residue(program, Contraction("", (), Constant(0), relation.terms), known, t)
            yield from _solved(relation.expression, left, known)


def _columns(program: Program, tag: Expression, known: dict[str, Interval]) -> tuple[Interval, Interval]:
    """What a lookup with a tag says about its columns: those of all tables that it may read, since no row has another tag."""
    tags = of_expression(tag, {**known, **{ref.tensor: Interval(0, 1) for ref in references(tag)}})
    if tags.high <= RANGE_BITS:
        return Interval(0, (1 << tags.high) - 1), Interval(0, 0)
    columns = [
        (of_expression(table.first, known), of_expression(table.second, known))
        for table in program.tables
        if (own := of_expression(table.tag, known)).low <= tags.high and tags.low <= own.high
    ]
    first, second = zip(*columns, strict=True)
    return _hull(first), _hull(second)


def _hull(intervals: Sequence[Interval]) -> Interval:
    return Interval(min(each.low for each in intervals), max(each.high for each in intervals))


def _solved(
    expression: Expression, interval: Interval, known: dict[str, Interval]
) -> Iterator[tuple[str, Interval]]:
    """The one unknown of an expression that lies in an interval, when its coefficient is 1 or -1."""
    unknown = {ref.tensor for ref in references(expression)} - known.keys()
    if len(unknown) != 1:
        return
    terms = list(_terms(expression, 1))
    with_unknown = [(sign, e) for sign, e in terms if {r.tensor for r in references(e)} & unknown]
    if len(with_unknown) != 1 or not isinstance(with_unknown[0][1], Ref):
        return
    sign = with_unknown[0][0]
    rest = Interval(0, 0)
    for own, term in terms:
        if (own, term) != with_unknown[0]:
            value = of_expression(term, known)
            rest = rest + (value if own == 1 else -value)
    value = interval + -rest
    yield with_unknown[0][1].tensor, value if sign == 1 else -value


def _terms(expression: Expression, sign: int) -> Iterator[tuple[int, Expression]]:
    """The summands with their signs."""
    match expression:
        case Sum(terms):
            for term in terms:
                yield from _terms(term, sign)
        case Product((Constant(-1), factor)):
            yield from _terms(factor, -sign)
        case _:
            yield sign, expression
