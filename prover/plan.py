"""From a layer program to the argument: what is committed, summed, evaluated and claimed, in which order.

The plan is symbolic in t (2^t context rows), so one plan serves every position of a window. Prover, Python
verifier and Solidity generator walk the same plan; none of them orders anything by itself.

    groups      all pointwise expressions over one domain:   eq(rho, x) * sum_i alpha^i expression_i(x)
                plus the logUp inverses of that domain       + alpha^s * sum +-H(x)
    products    the sums of contractions:                    - alpha^i * coefficient * eq(rho_batch, x_batch) * prod factors
    classes     committed tensors with the same axes, stacked along slot bits, committed as one polynomial
    evaluations tensor values at symbolic points that the final sumcheck check needs

rho and r are vectors of N coordinates; a domain of n variables uses the last n of both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from .program import Kind, Program, Tensor
from .relations import (
    Along,
    Bits,
    Challenge,
    Constant,
    Contraction,
    Expression,
    FixedBits,
    Lookup,
    LookupTable,
    Pointwise,
    PublicBits,
    Ref,
    Relation,
    references,
)

LOOKUPS_PER_INVERSE = 2
"""Lookups that share one inverse column: degree LOOKUPS_PER_INVERSE + 2 rounds."""
ROUND_DEGREE = LOOKUPS_PER_INVERSE + 2


@dataclass(frozen=True)
class Slice:
    """Coordinates [N - start, N - start + width) of vector "r" or "rho"; `flip` complements the last one."""

    vector: str
    start: Bits
    width: Bits
    flip: bool = False


PointPart = Slice | PublicBits | FixedBits


@dataclass(frozen=True)
class Evaluation:
    """A tensor's extension at a symbolic point, one or more parts per axis, most significant first."""

    tensor: str
    parts: tuple[PointPart, ...]


@dataclass(frozen=True)
class TensorClass:
    """Committed tensors with the same axes. phase 1: before beta and gamma; 2: after; 0: public inputs."""

    axes: tuple[str, ...]
    width: Bits
    tensors: tuple[str, ...]
    phase: int

    @property
    def slot_bits(self) -> int:
        """Index bits that select a tensor of the class."""
        return (len(self.tensors) - 1).bit_length()

    def chunks(self, context_bits: int, chunk_bits: int) -> int:
        """Number of chunk commitments; chunks beyond the last tensor are absent (zero)."""
        entries = len(self.tensors) << self.width.resolve(context_bits)
        return -(-entries // (1 << chunk_bits))


@dataclass
class Group:
    """Everything that is summed with eq over one domain."""

    domain: tuple[str, ...]
    width: Bits
    expressions: list[tuple[int, Expression]] = field(default_factory=list)  # (power of alpha, expression)
    inverses: list[tuple[int, str]] = field(default_factory=list)  # (sign, tensor) of the logUp sum

    @cached_property
    def refs(self) -> tuple[Ref, ...]:
        """Distinct references, in order of appearance."""
        found = dict.fromkeys(ref for _, expression in self.expressions for ref in references(expression))
        found.update(dict.fromkeys(Ref(name) for _, name in self.inverses))
        return tuple(found)


@dataclass(frozen=True)
class ProductSum:
    """One product term of a contraction, over its batch and summed axes."""

    power: int
    coefficient: Expression
    output: tuple[str, ...]
    batch: tuple[str, ...]
    summed: tuple[str, ...]
    factors: tuple[Ref, ...]

    @property
    def domain(self) -> tuple[str, ...]:
        """Axes that the sum runs over."""
        return (*self.batch, *self.summed)


class Plan:
    """The argument for one program. `axes` and `tensors` extend the program's by multiplicities and inverses."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.axes = dict(program.axes)
        self.tensors: dict[str, Tensor] = dict(program.tensors)
        self.lookups: dict[tuple[str, ...], list[Lookup]] = {}
        self.inverse_of: dict[str, tuple[Lookup, ...] | LookupTable] = {}
        self.groups: list[Group] = []
        self.products: list[ProductSum] = []
        self._power = 0
        relations = (*program.relations, *self._lookup_relations())
        for relation in relations:
            self._add(relation)
        self.sum_power = self._power
        self.powers = self._power + 1
        for tensor, source in self.inverse_of.items():
            sign = -1 if isinstance(source, LookupTable) else 1
            self._group(self.tensors[tensor].axes).inverses.append((sign, tensor))
        self.classes = self._classes()
        self.evaluations = self._evaluations()

    # --- relations --------------------------------------------------------------------------------------

    def _lookup_relations(self) -> Iterable[Relation]:
        """The logUp relations: inverse columns for lookups and tables, and their multiplicities."""
        for relation in self.program.relations:
            if isinstance(relation, Lookup):
                self.lookups.setdefault(relation.domain, []).append(relation)
        result: list[Relation] = []
        gamma = Challenge("gamma")
        for domain, lookups in self.lookups.items():
            for start in range(0, len(lookups), LOOKUPS_PER_INVERSE):
                batch = tuple(lookups[start : start + LOOKUPS_PER_INVERSE])
                name = f"inverse_{'_'.join(domain)}_{start // LOOKUPS_PER_INVERSE}"
                self.tensors[name] = Tensor(name, domain, Kind.WITNESS)
                self.inverse_of[name] = batch
                shifted = [gamma + folded(lookup) for lookup in batch]
                result.append(Pointwise(name, domain, inverse_expression(Ref(name), shifted)))
        for table in self.program.tables if self.lookups else ():
            multiplicity, inverse = f"{table.name}_multiplicity", f"{table.name}_inverse"
            self.tensors[multiplicity] = Tensor(multiplicity, (table.axis,), Kind.WITNESS)
            self.tensors[inverse] = Tensor(inverse, (table.axis,), Kind.WITNESS)
            self.inverse_of[inverse] = table
            expression = Ref(inverse) * (gamma + folded(table)) - Ref(multiplicity)
            result.append(Pointwise(inverse, (table.axis,), expression))
        return result

    def _add(self, relation: Relation) -> None:
        match relation:
            case Pointwise():
                self._group(relation.domain).expressions.append((self._power, relation.expression))
            case Contraction():
                self._group(relation.output).expressions.append((self._power, relation.expression))
                for term in relation.terms:
                    along = [axis for factor in term.factors for axis in along_axes(self.tensors, factor)]
                    batch = tuple(axis for axis in relation.output if along.count(axis) > 1)
                    self.products.append(
                        ProductSum(
                            self._power, term.coefficient, relation.output, batch, term.summed, term.factors
                        )
                    )
            case Lookup():
                return
        self._power += 1

    def _group(self, domain: tuple[str, ...]) -> Group:
        for group in self.groups:
            if group.domain == domain:
                return group
        self.groups.append(Group(domain, self.width(domain)))
        return self.groups[-1]

    # --- commitments ------------------------------------------------------------------------------------

    def _classes(self) -> tuple[TensorClass, ...]:
        """Phase 0: the last input (the output window), whose chunk must be bound beyond its own length."""
        phases: dict[tuple[int, tuple[str, ...]], list[str]] = {}
        for tensor in self.tensors.values():
            if tensor.kind is Kind.WITNESS:
                phases.setdefault((2 if tensor.name in self.inverse_of else 1, tensor.axes), []).append(
                    tensor.name
                )
        classes = [
            TensorClass(axes, self.width(axes), tuple(names), phase)
            for (phase, axes), names in phases.items()
        ]
        output = [
            TensorClass(t.axes, self.width(t.axes), (t.name,), 0)
            for t in self.program.inputs
            if t.name == "after"
        ]
        return tuple(sorted([*output, *classes], key=lambda c: c.phase))

    def width(self, axes: Sequence[str]) -> Bits:
        """Variables of a product of axes."""
        return sum((self.axes[axis] for axis in axes), Bits())

    def class_of(self, tensor: str) -> TensorClass | None:
        """The class that a committed tensor belongs to."""
        return next((c for c in self.classes if tensor in c.tensors), None)

    # --- evaluations ------------------------------------------------------------------------------------

    def natural(self, tensor: str) -> Evaluation:
        """A tensor at the last coordinates of r, as if its axes were a whole domain."""
        axes = self.tensors[tensor].axes
        return self.evaluation(Ref(tensor), {axis: self.slice("r", axes, axis) for axis in axes})

    def slice(self, vector: str, domain: Sequence[str], axis: str) -> Slice:
        """The coordinates of one axis of a domain, which uses the last coordinates of the vector."""
        return Slice(vector, self.width(domain[domain.index(axis) :]), self.axes[axis])

    def evaluation(self, ref: Ref, point: dict[str, Slice]) -> Evaluation:
        """The evaluation of a reference when the axes are bound to the given slices."""
        parts: list[PointPart] = []
        for axis in self.tensors[ref.tensor].axes:
            for segment in ref.segments(axis):
                if isinstance(segment, Along):
                    bound = point[segment.axis]
                    parts.append(Slice(bound.vector, bound.start, bound.width, segment.flip))
                else:
                    parts.append(segment)
        return Evaluation(ref.tensor, tuple(parts))

    def group_evaluation(self, group: Group, ref: Ref) -> Evaluation:
        """A reference of a group, at r."""
        return self.evaluation(ref, {axis: self.slice("r", group.domain, axis) for axis in group.domain})

    def factor_evaluation(self, product: ProductSum, ref: Ref) -> Evaluation:
        """A factor of a product: summed and batch axes at r, bound output axes at rho."""
        point = {axis: self.slice("rho", product.output, axis) for axis in product.output}
        point.update({axis: self.slice("r", product.domain, axis) for axis in product.domain})
        return self.evaluation(ref, point)

    def batch_slices(self, product: ProductSum) -> list[tuple[Slice, Slice]]:
        """(rho, r) slices whose eq multiplies a product with batch axes."""
        return [
            (self.slice("rho", product.output, axis), self.slice("r", product.domain, axis))
            for axis in product.batch
        ]

    def _evaluations(self) -> tuple[Evaluation, ...]:
        """What the prover sends: every class at its natural point, then whatever else is needed, once."""
        wanted: dict[Evaluation, None] = {}
        for tensor_class in self.classes:
            wanted.update(dict.fromkeys(self.natural(name) for name in tensor_class.tensors))
        for group in self.groups:
            wanted.update(dict.fromkeys(self.group_evaluation(group, ref) for ref in group.refs))
        for product in self.products:
            wanted.update(dict.fromkeys(self.factor_evaluation(product, ref) for ref in product.factors))
        return tuple(e for e in wanted if self.tensors[e.tensor].kind is not Kind.CLOSED_FORM)

    @cached_property
    def single_evaluations(self) -> tuple[Evaluation, ...]:
        """Evaluations that are claimed one by one, not through the stack of their class."""
        stacked = {self.natural(name) for tensor_class in self.classes for name in tensor_class.tensors}
        return tuple(e for e in self.evaluations if e not in stacked)

    # --- sizes ------------------------------------------------------------------------------------------

    def variables(self, context_bits: int) -> int:
        """N: rounds of the batched sumcheck."""
        widths = [group.width for group in self.groups] + [self.width(p.domain) for p in self.products]
        return max(width.resolve(context_bits) for width in self.all_widths(widths))

    @staticmethod
    def all_widths(widths: Sequence[Bits]) -> Sequence[Bits]:
        """Distinct widths (a hook for the generator, which emits their maximum)."""
        return sorted(set(widths))

    def weight_chunks(self, tensor: Tensor, chunk_bits: int) -> int:
        """Chunks of a weight up to its last unpadded entry."""
        last = 0
        for axis in tensor.axes:
            last = (last << self.axes[axis].fixed) + self.program.real_sizes[axis] - 1
        return (last >> chunk_bits) + 1

    @property
    def constants(self) -> tuple[Tensor, ...]:
        """Tensors whose commitments are baked into the verifier."""
        return tuple(t for t in self.tensors.values() if t.kind is Kind.CONSTANT)


def along_axes(tensors: dict[str, Tensor], ref: Ref) -> list[str]:
    """The relation axes that a reference runs along."""
    return [s.axis for axis in tensors[ref.tensor].axes for s in ref.segments(axis) if isinstance(s, Along)]


def folded(row: Lookup | LookupTable) -> Expression:
    """first + beta * second + beta^2 * tag."""
    beta = Challenge("beta")
    tag = beta * beta * row.tag
    if row.second == Constant(0):
        return row.first + tag
    return row.first + beta * row.second + tag


def inverse_expression(inverse: Expression, shifted: Sequence[Expression]) -> Expression:
    """H * prod shifted - sum_i prod_{j != i} shifted, which is zero iff H = sum_i 1 / shifted_i."""
    product = inverse
    for value in shifted:
        product = product * value
    total: Expression = Constant(0)
    for i in range(len(shifted)):
        others: Expression = Constant(1)
        for j, value in enumerate(shifted):
            if j != i:
                others = others * value
        total = others if i == 0 else total + others
    return product - total
