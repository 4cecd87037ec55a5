"""From a layer program to the argument: what is committed, summed, evaluated and claimed, in which order.

The plan is symbolic in t (2^t context rows), so one plan serves every position of a window. Prover, Python
verifier and Solidity generator walk the same plan; none of them orders anything by itself.

    groups      all pointwise expressions over one domain:   eq(rho, x) * sum_i alpha^i expression_i(x)
                plus the logUp inverses of that domain       + alpha^s * sum +-H(x)
    products    the sums of contractions:                    - alpha^i * coefficient * eq(rho_batch, x_batch) * prod factors
    quads       both have powers of a base in place of eq of the last coordinates of rho, and V in place of W (quads.py)
    zones       witness tensors packed one behind the other into as few chunks as possible
    evaluations tensor values at symbolic points that the final check of the sumcheck needs: `sent` by the prover, or
                `opened`: the check is linear in those, so it becomes one claim about committed tensors instead

rho and r are vectors of N coordinates; a domain of n variables uses the last n of both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np

from .block_layout import Block, BlockLayout, TensorShape
from .evaluations import Evaluation, PointPart, Slice, affine, monomials, split_evaluations
from .program import WINDOW_BITS, Kind, Program, Tensor, relation_expressions
from .quads import QUAD, QUAD_BITS, quads_of
from .relations import (
    Along,
    Bits,
    Challenge,
    Constant,
    Contraction,
    Expression,
    Lookup,
    LookupTable,
    Pointwise,
    Ref,
    Relation,
    references,
)
from .zones import Place, Zone, gaps_of

LOOKUPS_PER_INVERSE = 2
"""Lookups that share one inverse column, found by measuring (README); rounds have this degree plus 2."""


Privacy = Literal["public", "private"]
PUBLIC: Privacy = "public"
PRIVATE: Privacy = "private"
"""Whether proofs are zero-knowledge: a private plan has the masks of masks.py, a public one none."""


@dataclass
class Group:
    """Everything that is summed with eq over one domain; `quads`: with that of quads."""

    domain: tuple[str, ...]
    width: Bits
    quads: bool = False
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
    quads: bool = False

    @property
    def domain(self) -> tuple[str, ...]:
        """Axes that the sum runs over."""
        return (*self.batch, *self.summed)


class Plan:
    """The argument for one program. `axes` and `tensors` extend the program's by multiplicities and inverses."""

    def __init__(
        self,
        program: Program,
        lookups_per_inverse: int = LOOKUPS_PER_INVERSE,
        *,
        chunk_bits: int | None = None,
        privacy: Privacy = PUBLIC,
    ) -> None:
        """chunk_bits: mu, which decides whether an output's evaluation is sent; without it, it is not for its own sake."""
        if privacy not in (PUBLIC, PRIVATE):
            raise ValueError(f"privacy is {privacy!r}: it must be {PUBLIC!r} or {PRIVATE!r}")
        self.program = program
        self.privacy = privacy
        self.lookups_per_inverse = lookups_per_inverse
        self.round_degree = max(4, lookups_per_inverse + 2)  # pointwise relations have degree 3, eq adds one
        self.axes = dict(program.axes)
        self.tensors: dict[str, Tensor] = dict(program.tensors)
        self.lookups: dict[tuple[str, ...], list[Lookup]] = {}
        self.inverse_of: dict[str, tuple[Lookup, ...] | LookupTable] = {}
        self.groups: list[Group] = []
        self.products: list[ProductSum] = []
        self._power = 0
        self._layouts: dict[tuple[Kind, int], BlockLayout] = {}
        self.in_quads = _weights_in_quads(program)
        relations = (*program.relations, *self._lookup_relations())
        for relation in relations:
            self._add(relation)
        self.sum_power = self._power
        self.mask_power = self._power + 1  # of the masks of rounds, which only a private plan has
        self.powers = self._power + (2 if privacy == PRIVATE else 1)
        for tensor, source in self.inverse_of.items():
            sign = -1 if isinstance(source, LookupTable) else 1
            self._group(self.tensors[tensor].axes).inverses.append((sign, tensor))
        self.zones = self._zones()
        self.sent, self.opened = split_evaluations(self._monomials())
        if chunk_bits is not None:
            for output in self.outputs:
                if self.fills_chunk(output, chunk_bits):
                    self._send(output)
        self.evaluations = (*self.sent, *self.opened)

    # --- relations --------------------------------------------------------------------------------------

    def _lookup_relations(self) -> Iterable[Relation]:
        """The logUp relations: inverse columns for lookups and tables, and their multiplicities."""
        for relation in self.program.relations:
            if isinstance(relation, Lookup):
                self.lookups.setdefault(relation.domain, []).append(relation)
        result: list[Relation] = []
        gamma = Challenge("gamma")
        for domain, lookups in self.lookups.items():
            for start in range(0, len(lookups), self.lookups_per_inverse):
                batch = tuple(lookups[start : start + self.lookups_per_inverse])
                name = f"inverse_{'_'.join(domain)}_{start // self.lookups_per_inverse}"
                where = {lookup.where for lookup in batch}
                inside = next(iter(where)) if len(where) == 1 else None
                self.tensors[name] = Tensor(
                    name, domain, Kind.WITNESS, inside=None if inside is None else inside.tensor
                )
                self.inverse_of[name] = batch
                shifted = [(gamma + folded(lookup), lookup.where) for lookup in batch]
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
                group = self._group(relation.output, relation.quads)
                group.expressions.append((self._power, relation.expression))
                for term in relation.terms:
                    along = [axis for factor in term.factors for axis in along_axes(self.tensors, factor)]
                    batch = tuple(axis for axis in relation.output if along.count(axis) > 1)
                    self.products.append(
                        ProductSum(
                            self._power,
                            term.coefficient,
                            relation.output,
                            batch,
                            term.summed,
                            term.factors,
                            relation.quads,
                        )
                    )
            case Lookup():
                return
        self._power += 1

    def _group(self, domain: tuple[str, ...], quads: bool = False) -> Group:
        for group in self.groups:
            if (group.domain, group.quads) == (domain, quads):
                return group
        self.groups.append(Group(domain, self.width(domain), quads))
        return self.groups[-1]

    # --- commitments ------------------------------------------------------------------------------------

    def _zones(self) -> tuple[Zone, ...]:
        """Two phases, tensors without and with a context axis; the largest come first, so no place is wasted."""
        zones = []
        for phase, moving in ((1, False), (1, True), (2, False), (2, True)):
            members = [
                (tensor.name, self.width(tensor.axes))
                for tensor in self.tensors.values()
                if tensor.kind is Kind.WITNESS
                and (tensor.name in self.inverse_of) == (phase == 2)
                and (self.width(tensor.axes).context == 1) == moving
            ]
            places, first = [], 0
            for name, width in sorted(members, key=lambda member: -member[1].fixed):
                places.append((name, first, width.fixed))
                first += 1 << width.fixed
            if places:
                zones.append(
                    Zone(
                        phase,
                        moving,
                        tuple(places),
                        gaps_of(places, self._insides(places)) if moving else None,
                    )
                )
        return tuple(zones)

    def _insides(self, places: Sequence[Place]) -> dict[str, np.ndarray]:
        return {name: form for name, _, _ in places if (form := self._inside(name)) is not None}

    def _inside(self, tensor: str) -> np.ndarray | None:
        """(entries of the leading axes,) bool: where a tensor may be other than zero."""
        name = self.tensors[tensor].inside
        if name is None:
            return None
        form, axes = self.tensors[name].closed_form, self.tensors[name].axes
        if form is None or axes != self.tensors[tensor].axes[: len(axes)]:
            raise ValueError(
                f"{tensor} cannot lie inside {name}: that must be a closed form over its first axes"
            )
        return form.values([self.axes[axis].fixed for axis in axes], {}).reshape(-1) != 0

    def zone_of(self, tensor: str) -> int | None:
        """Index of the zone that a witness tensor lies in."""
        return next(
            (i for i, zone in enumerate(self.zones) if any(name == tensor for name, _, _ in zone.places)),
            None,
        )

    @cached_property
    def outputs(self) -> tuple[Evaluation, ...]:
        """The written windows at r: some power of eta must multiply each one's chunk alone, or its commitment is not unique."""
        return tuple(self.natural(tensor.name) for tensor in self.program.written)

    def window_bits(self, tensor: Tensor) -> int:
        """n: log2 of the entries of one window of a boundary."""
        axes = (axis for axis in tensor.axes if axis != "context")
        return self.width(tuple(axes)).fixed + (WINDOW_BITS if "context" in tensor.axes else 0)

    def output_bits(self, output: Evaluation) -> int:
        """Variables of an output window."""
        return self.window_bits(self.tensors[output.tensor])

    def fills_chunk(self, output: Evaluation, chunk_bits: int) -> bool:
        """Whether nothing of the output's chunk lies outside the output.

        Then there is no claim about what lies there, which has its power of eta otherwise (docs/uniqueness.md).
        """
        return self.output_bits(output) == chunk_bits

    def short_outputs(self, chunk_bits: int) -> tuple[Evaluation, ...]:
        """The outputs that are shorter than a chunk."""
        return tuple(output for output in self.outputs if self.output_bits(output) < chunk_bits)

    def _send(self, output: Evaluation) -> None:
        """Every evaluation that is sent has a claim, and a power of eta, of its own."""
        if output not in (*self.sent, *self.opened):
            raise ValueError(f"program {self.program.name}: no relation evaluates {output.tensor} at r")
        if output in self.opened:
            self.sent = (*self.sent, output)
            self.opened = tuple(evaluation for evaluation in self.opened if evaluation != output)

    def width(self, axes: Sequence[str]) -> Bits:
        """Variables of a product of axes."""
        return sum((self.axes[axis] for axis in axes), Bits())

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
        """A factor of a product: summed and batch axes at r, bound output axes at rho, which says nothing of places in quads."""
        point = {axis: self.slice("rho", product.output, axis) for axis in product.output}
        if product.quads:
            last = point[product.output[-1]]
            point[product.output[-1]] = replace(last, width=last.width - Bits(QUAD_BITS))
        point.update({axis: self.slice("r", product.domain, axis) for axis in product.domain})
        return self.evaluation(ref, point)

    def batch_slices(self, product: ProductSum) -> list[tuple[Slice, Slice]]:
        """(rho, r) slices whose eq multiplies a product with batch axes."""
        return [
            (self.slice("rho", product.output, axis), self.slice("r", product.domain, axis))
            for axis in product.batch
        ]

    def _monomials(self) -> list[tuple[Evaluation, ...]]:
        """Products of evaluations in the final value, each with the evaluations that the verifier cannot compute."""
        found: dict[tuple[Evaluation, ...], None] = {}

        def add(evaluations: Iterable[Evaluation]) -> None:
            unknown = [e for e in evaluations if self.tensors[e.tensor].kind is not Kind.CLOSED_FORM]
            found[tuple(unknown)] = None

        for group in self.groups:
            for _, expression in group.expressions:
                for refs in monomials(expression):
                    add(self.group_evaluation(group, ref) for ref in refs)
            for _, name in group.inverses:
                add([self.group_evaluation(group, Ref(name))])
        for product in self.products:
            add(self.factor_evaluation(product, factor) for factor in product.factors)
        return list(found)

    def affine(
        self, expression: Expression, evaluate: Callable[[Ref], Evaluation]
    ) -> tuple[Expression, dict[Evaluation, Expression]]:
        """expression = first + sum_e second[e] * e over opened evaluations e."""
        return affine(expression, lambda ref: ((e := evaluate(ref)) in self._opened and e) or None)

    @cached_property
    def _opened(self) -> frozenset[Evaluation]:
        return frozenset(self.opened)

    # --- sizes ------------------------------------------------------------------------------------------

    def variables(self, context_bits: int) -> int:
        """N: rounds of the batched sumcheck."""
        widths = [group.width for group in self.groups] + [self.width(p.domain) for p in self.products]
        return max(width.resolve(context_bits) for width in self.all_widths(widths))

    @property
    def largest_context_bits(self) -> int:
        """t of the last window of the longest sequence."""
        program = self.program
        return WINDOW_BITS + (
            (program.public_scalars["window"] - 1).bit_length() if program.has_context else 0
        )

    @staticmethod
    def all_widths(widths: Sequence[Bits]) -> Sequence[Bits]:
        """Distinct widths (a hook for the generator, which emits their maximum)."""
        return sorted(set(widths))

    def place_bits(self, tensor: Tensor, chunk_bits: int) -> int:
        """mu - n: bits of the place of a window in its chunk; 0 for windows that start chunks of their own."""
        return chunk_bits - self.window_bits(tensor) if tensor.placed else 0

    def place(self, tensor: Tensor, publics: Mapping[str, int], chunk_bits: int) -> int:
        """w mod 2^(mu - n): the place of the statement's own window in its chunk."""
        bits = self.place_bits(tensor, chunk_bits)
        return publics["window"] & ((1 << bits) - 1) if bits else 0

    def input_points(self, tensor: Tensor, publics: Mapping[str, int], chunk_bits: int) -> int:
        """Commitments of an input: one for a window, one for every chunk that windows 0..w touch."""
        if "context" not in tensor.axes:
            return 1
        return (publics["window"] >> self.place_bits(tensor, chunk_bits)) + 1

    def key_layout(self, chunk_bits: int) -> BlockLayout:
        """Which chunks of the step key hold what of which weight."""
        return self.layout(Kind.WEIGHT, chunk_bits)

    def table_layout(self, chunk_bits: int) -> BlockLayout:
        """Which chunks, whose commitments are baked into the verifier, hold which public table."""
        return self.layout(Kind.CONSTANT, chunk_bits)

    def layout(self, kind: Kind, chunk_bits: int) -> BlockLayout:
        """Where all weights or all tables lie."""
        if (kind, chunk_bits) not in self._layouts:
            shapes = [self._shape_of(tensor) for tensor in self.tensors.values() if tensor.kind is kind]
            self._layouts[kind, chunk_bits] = BlockLayout.of(shapes, chunk_bits)
        return self._layouts[kind, chunk_bits]

    def _shape_of(self, tensor: Tensor) -> TensorShape:
        """Axes of weights that claims bind to r lie last: there eq of r and the point of the reduction is known already."""
        widths = [self.own_width(tensor, axis).fixed for axis in tensor.axes]
        order = tuple(range(len(widths)))
        if tensor.kind is Kind.CONSTANT:
            sizes = tuple(1 << width for width in widths)
            return TensorShape(tensor.name, order, tuple(widths), sizes, (False,) * len(order))
        parts = [self.parts_by_axis(e) for e in self.evaluations if e.tensor == tensor.name]
        of_axes = list(zip(*parts, strict=True))
        order = tuple(sorted(order, key=lambda axis: all(map(_is_behind, of_axes[axis]))))
        return TensorShape(
            tensor.name,
            order,
            tuple(widths[axis] for axis in order),
            tuple(self._real_size(tensor, tensor.axes[axis]) for axis in order),
            tuple(all(len(own) == 1 and _is_slice(own) for own in of_axes[axis]) for axis in order),
        )

    def own_width(self, tensor: Tensor, axis: str) -> Bits:
        """Index bits of an axis in a tensor's commitment: of quads, not of their members."""
        quads = tensor.name in self.in_quads and axis == tensor.axes[-1]
        return self.axes[axis] - Bits(QUAD_BITS) if quads else self.axes[axis]

    def _real_size(self, tensor: Tensor, axis: str) -> int:
        size = self.program.real_sizes[axis]
        return size if self.own_width(tensor, axis) == self.axes[axis] else -(-size // QUAD)

    def pack_weights(self, weights: Mapping[str, np.ndarray], chunk_bits: int) -> list[np.ndarray]:
        """The chunks of the step key, from padded weights: (n,) int64, or (n, 4) the digits of numbers where a chunk has quads."""
        own = {name: quads_of(w) if name in self.in_quads else w for name, w in weights.items()}
        return self.key_layout(chunk_bits).pack(own, digits=self.in_quads)

    def parts_by_axis(self, evaluation: Evaluation) -> tuple[tuple[PointPart, ...], ...]:
        """The parts of every axis, without those of no coordinates."""
        rest = [part for part in evaluation.parts if part.width != Bits()]
        found: list[tuple[PointPart, ...]] = []
        tensor = self.tensors[evaluation.tensor]
        for axis in tensor.axes:
            own: list[PointPart] = []
            while sum((part.width for part in own), Bits()) != self.own_width(tensor, axis):
                own.append(rest.pop(0))
            found.append(tuple(own))
        return tuple(found)

    def in_block(
        self, evaluation: Evaluation, block: Block
    ) -> tuple[tuple[tuple[Slice, int], ...], tuple[PointPart, ...]]:
        """((slice, bits) whose eq are the block's factor; the block's own point) of an evaluation of a weight or a table."""
        factors: list[tuple[Slice, int]] = []
        parts: list[PointPart] = []
        by_axis = self.parts_by_axis(evaluation)
        tensor = self.tensors[evaluation.tensor]
        for axis, piece in zip(block.axes, block.pieces, strict=True):
            front = self.own_width(tensor, tensor.axes[axis]).fixed - piece.bits
            if not front:
                parts += by_axis[axis]
                continue
            (part,) = by_axis[axis]
            if not isinstance(part, Slice):
                raise ValueError(f"{evaluation.tensor}: an axis that is indexed by bits cannot be cut")
            factors.append((Slice(part.vector, part.start, Bits(front)), piece.first >> piece.bits))
            if piece.bits:
                parts.append(Slice(part.vector, part.start - Bits(front), Bits(piece.bits)))
        return tuple(factors), tuple(parts)

    @property
    def constants(self) -> tuple[Tensor, ...]:
        """Public tables."""
        return tuple(t for t in self.tensors.values() if t.kind is Kind.CONSTANT)


def _weights_in_quads(program: Program) -> frozenset[str]:
    """Weights whose outputs are committed as quads. Raises ValueError for a relation that cannot be about quads."""
    found: set[str] = set()
    others: set[str] = set()
    for relation in program.relations:
        if not isinstance(relation, Contraction) or not relation.quads:
            others |= {ref.tensor for e in relation_expressions(relation) for ref in references(e)}
            continue
        last = relation.output[-1]
        if program.axes[last].fixed < QUAD_BITS:
            raise ValueError(
                f"{relation.name}: quads need an output axis of {QUAD} entries; {last} has fewer"
            )
        for term in relation.terms:
            along = [ref for ref in term.factors if last in along_axes(program.tensors, ref)]
            if len(along) != 1 or not _is_weight_over(program, along[0], last):
                raise ValueError(
                    f"{relation.name}: of quads one factor is a weight whose last axis is {last}"
                )
            found.add(along[0].tensor)
        others |= {ref.tensor for ref in references(relation.expression)}
    if both := found & others:
        raise ValueError(
            f"program {program.name}: {sorted(both)} are in quads, and other relations read them"
        )
    return frozenset(found)


def _is_weight_over(program: Program, ref: Ref, axis: str) -> bool:
    tensor = program.tensors[ref.tensor]
    return tensor.kind is Kind.WEIGHT and not ref.index and tensor.axes[-1] == axis


def _is_slice(parts: Sequence[PointPart]) -> bool:
    return all(isinstance(part, Slice) and not part.flip for part in parts)


def _is_behind(parts: Sequence[PointPart]) -> bool:
    """Whether an axis is bound to r, or has no coordinates."""
    return _is_slice(parts) and all(isinstance(part, Slice) and part.vector == "r" for part in parts)


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


def inverse_expression(inverse: Expression, shifted: Sequence[tuple[Expression, Ref | None]]) -> Expression:
    """H * prod shifted - sum_i where_i prod_{j != i} shifted, which is zero iff H = sum_i where_i / shifted_i.

    Of lookups in one place (the same `where`) the sum is multiplied once.
    """
    product = inverse
    for value, _ in shifted:
        product = product * value
    same = {where for _, where in shifted}
    total: Expression = Constant(0)
    for i, (_, where) in enumerate(shifted):
        others: Expression = Constant(1) if where is None or len(same) == 1 else where
        for j, (value, _) in enumerate(shifted):
            if j != i:
                others = others * value
        total = others if i == 0 else total + others
    (only,) = same if len(same) == 1 else (None,)
    return product - (total if only is None else only * total)
