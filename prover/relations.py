"""The three kinds of relation, and the expressions that they are made of.

A *tensor* is a multilinear polynomial: a name and a tuple of *axes*. An axis is a block of index bits;
its width is `Bits(fixed, context)` = fixed + context * t, where 2^t is the number of context rows of the
statement at hand (t is constant 5 for statements about a single window). Index convention everywhere:
row-major, first variable = most significant bit.

Relations (they hold on the whole padded domain, as equations in the scalar field):

    Pointwise    for all x in domain:    expression(x) = 0
    Contraction  for all x in output:    expression(x) = sum_t coefficient_t * sum_{k in summed_t} prod factors_t(x, k)
    Lookup       for all x in domain:    (values(x)) is a row of a table

The same objects are read by check (integers), prove (sumchecks), verify (field evaluations) and the
Solidity generator. See docs/proof-system.md#relations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

__all__ = [
    "Along",
    "Bits",
    "Challenge",
    "Constant",
    "Contraction",
    "Expression",
    "FixedBits",
    "Lookup",
    "LookupTable",
    "Parameter",
    "ParameterBits",
    "Pointwise",
    "PowerOfTwo",
    "Product",
    "ProductTerm",
    "Public",
    "PublicBits",
    "Ref",
    "Relation",
    "Segment",
    "Sum",
    "references",
    "selected",
]


@dataclass(frozen=True, order=True)
class Bits:
    """A number of index bits: fixed + context * t."""

    fixed: int = 0
    context: int = 0

    def resolve(self, context_bits: int) -> int:
        """The width for a statement whose context has 2^context_bits rows."""
        return self.fixed + self.context * context_bits

    def __add__(self, other: Bits) -> Bits:
        return Bits(self.fixed + other.fixed, self.context + other.context)

    def __sub__(self, other: Bits) -> Bits:
        return Bits(self.fixed - other.fixed, self.context - other.context)


# --- how an axis of a tensor is indexed -------------------------------------------------------------


@dataclass(frozen=True)
class Along:
    """The axis runs with the equally wide axis `axis` of the relation; `flip` inverts its last bit."""

    axis: str
    flip: bool = False


@dataclass(frozen=True)
class PublicBits:
    """The bits of the public integer `name`."""

    name: str
    width: Bits


@dataclass(frozen=True)
class ParameterBits:
    """The bits of the step-key integer `name` minus one: such integers begin at 1."""

    name: str
    width: Bits


@dataclass(frozen=True)
class FixedBits:
    """The bits of a constant."""

    value: int
    width: Bits


Segment = Along | PublicBits | ParameterBits | FixedBits


def selected(segment: PublicBits | ParameterBits | FixedBits, integers: Mapping[str, int]) -> int:
    """The index that a segment says, given public and step-key integers by name."""
    match segment:
        case PublicBits(name):
            return integers[name]
        case ParameterBits(name):
            return integers[name] - 1
    return segment.value


# --- expressions ----------------------------------------------------------------------------------------


class Expression:
    """A polynomial in tensors with scalar coefficients."""

    def __add__(self, other: Expression | int) -> Expression:
        return Sum((self, as_expression(other)))

    def __radd__(self, other: int) -> Expression:
        return Sum((as_expression(other), self))

    def __sub__(self, other: Expression | int) -> Expression:
        return Sum((self, Product((Constant(-1), as_expression(other)))))

    def __rsub__(self, other: int) -> Expression:
        return as_expression(other) - self

    def __mul__(self, other: Expression | int) -> Expression:
        return Product((self, as_expression(other)))

    def __rmul__(self, other: int) -> Expression:
        return Product((as_expression(other), self))

    def __neg__(self) -> Expression:
        return Product((Constant(-1), self))


@dataclass(frozen=True)
class Constant(Expression):
    """An integer that belongs to the architecture."""

    value: int


@dataclass(frozen=True)
class Parameter(Expression):
    """An integer that belongs to the step key (a requantisation shift)."""

    name: str


@dataclass(frozen=True)
class PowerOfTwo(Expression):
    """2^(parameter + offset)."""

    parameter: str
    offset: int = 0


@dataclass(frozen=True)
class Public(Expression):
    """A scalar public input of the statement."""

    name: str


@dataclass(frozen=True)
class Challenge(Expression):
    """A verifier challenge (only in the relations that the argument itself adds)."""

    name: str


@dataclass(frozen=True)
class Ref(Expression):
    """A tensor, each of whose axes is indexed by segments, most significant first.

    An axis without an entry in `index` runs along the relation's axis of the same name.
    """

    tensor: str
    index: tuple[tuple[str, tuple[Segment, ...]], ...] = ()

    def segments(self, axis: str) -> tuple[Segment, ...]:
        for name, segments in self.index:
            if name == axis:
                return segments
        return (Along(axis),)


@dataclass(frozen=True)
class Sum(Expression):
    terms: tuple[Expression, ...]


@dataclass(frozen=True)
class Product(Expression):
    factors: tuple[Expression, ...]


def as_expression(value: Expression | int) -> Expression:
    """Integers become constants."""
    return Constant(value) if isinstance(value, int) else value


def references(expression: Expression) -> Iterator[Ref]:
    """Every tensor reference of an expression, in order of appearance."""
    if isinstance(expression, Ref):
        yield expression
    elif isinstance(expression, Sum):
        for term in expression.terms:
            yield from references(term)
    elif isinstance(expression, Product):
        for factor in expression.factors:
            yield from references(factor)


# --- relations ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pointwise:
    """expression = 0 at every index of the domain (axis names, most significant first)."""

    name: str
    domain: tuple[str, ...]
    expression: Expression


@dataclass(frozen=True)
class ProductTerm:
    """coefficient * sum over `summed` axes of the product of the factors."""

    coefficient: Expression
    summed: tuple[str, ...]
    factors: tuple[Ref, ...]


@dataclass(frozen=True)
class Contraction:
    """expression(x) = sum of product terms, at every index x of the output axes.

    An output axis that occurs in two or more factors of a term is a batch axis of that term: there the
    sum runs over it with an eq factor. An output axis in exactly one factor is bound at the relation's
    random point before the sumcheck.

    quads: the equation is one of quads instead: at every four neighbouring indices of the last output axis, the differences of the two
    sides are the digits of a number that is zero. Which relations say the same then, and why: quads.py.
    """

    name: str
    output: tuple[str, ...]
    expression: Expression
    terms: tuple[ProductTerm, ...]
    quads: bool = False


@dataclass(frozen=True)
class Lookup:
    """(tag, first, second) at every index of the domain is a row of the lookup universe.

    tag is a table's tag; for the range table tag = k means 0 <= first < 2^k and second = 0. where: a closed form over axes of
    the domain, 0 or 1; nothing is said of an index where it is 0.
    """

    name: str
    domain: tuple[str, ...]
    tag: Expression
    first: Expression
    second: Expression = field(default_factory=lambda: Constant(0))
    where: Ref | None = None


@dataclass(frozen=True)
class LookupTable:
    """A table of the lookup universe: one row (tag, first, second) per index of its own axis."""

    name: str
    axis: str
    width: Bits
    tag: Expression
    first: Expression
    second: Expression


Relation = Pointwise | Contraction | Lookup
