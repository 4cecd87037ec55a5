"""The prover: commits, sums, reduces and opens, walking the plan of any layer program."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import reduce
from itertools import chain

import numpy as np

from .argument.columns import LIMIT, Column, Equality, repeated
from .argument.commitment import commit_chunks, commit_field, split_chunks
from .argument.mercury_prover import open_mercury
from .argument.multilinear import bind_integers, eq_table, to_field
from .argument.reduction_prover import prove_reduction
from .argument.round_masks import RoundMasks
from .argument.sumcheck_prover import SumcheckError, Term, prove_sumcheck
from .argument.tape import TapeBuilder
from .argument.transcript import Transcript
from .claims import Challenges, combine_claims, scalar_in_field
from .claims import Point as SymbolicPoint
from .committed_values import boundary_chunks
from .curve.g1 import Point
from .curve.srs import SRS
from .errors import BadInputError, GainsayError
from .evaluations import Evaluation
from .field import arrays
from .field.arrays import MODULUS
from .hiding import Blindings, blind, blinding_base, draw_blinding, system_scalar
from .lookups import RowView, Universe, commit_inverse_chunk, inverse_column
from .masks import MASK_CHUNKS, Masks, Scalars, bump_at, mask_layout
from .plan import PRIVATE, PUBLIC, Group, Plan, ProductSum
from .program import Kind, broadcast, gather
from .proof import Proof
from .quad_columns import numbers
from .quads import COORDINATES, QUAD_BITS, SCALE
from .relations import Challenge, Constant, Expression, Lookup, LookupTable, Product, Ref, Sum
from .statement import TABLES, WEIGHTS, Statement, VerifyingKey
from .zones import Zone

Progress = Callable[[str], None]


class StatementFalseError(GainsayError):
    """The witness violates a relation: there is nothing to prove. Of a private plan it names no value and no place."""

    exit_code = 6


class MasksHideNothingError(Exception):
    """A challenge is one of the few under which masks would not hide: the proof must not be sent."""


def _silent(_: str) -> None:
    """No progress wanted."""


def prove(
    verifying_key: VerifyingKey,
    srs: SRS,
    statement: Statement,
    tensors: Mapping[str, np.ndarray],
    progress: Progress = _silent,
    blindings: Blindings | None = None,
    scalar: Scalars = system_scalar,
) -> Proof:
    """Prove a statement from the padded integers of Program.witness (inputs and weights included).

    Of a private key, `blindings` are those of the statement's commitments, and `scalar` is where masks come from: anything but
    the system's source is for tests. Raises StatementFalseError when a relation does not hold, BadInputError when
    blindings are missing, or are given for a public key.
    """
    if verifying_key.plan.privacy == PUBLIC:
        prover = _Prover(verifying_key, srs, statement, tensors, progress, blindings, scalar)
        del tensors  # what is packed is kept once, if the caller lets go of it too
        return prover.prove()
    while True:
        try:
            return _Prover(verifying_key, srs, statement, tensors, progress, blindings, scalar).prove()
        except MasksHideNothingError:  # probability 2^-251: once more, with fresh masks
            continue


class _Prover:
    def __init__(
        self,
        verifying_key: VerifyingKey,
        srs: SRS,
        statement: Statement,
        tensors: Mapping[str, np.ndarray],
        progress: Progress,
        blindings: Blindings | None = None,
        scalar: Scalars = system_scalar,
    ) -> None:
        self.verifying_key, self.srs, self.statement, self.progress = verifying_key, srs, statement, progress
        self.plan: Plan = verifying_key.plan
        self.context_bits = statement.context_bits(self.plan)
        self.parameters = dict(zip(self.plan.program.parameters, statement.key.parameters, strict=True))
        self.integers: dict[str, np.ndarray] = dict(tensors)  # padded integer tensors
        self.fields: dict[str, np.ndarray] = {}  # field tensors (inverses), flat
        self.chunks: dict[Hashable, np.ndarray] = {}
        self.universe = Universe({})
        self.row_numbers: dict[str, list[np.ndarray]] = {}  # of every lookup of an inverse column
        self.row_counts, self.row_inverses = np.zeros(0, np.int64), arrays.zeros(0)
        self.transcript: Transcript = statement.transcript(verifying_key)
        self.scalar = scalar
        self.layout = mask_layout(self.plan)
        self.masks: Masks | None = None
        self.blindings: dict[Hashable, int] = {}  # b by chunk
        self._check_blindings(blindings)

    def _check_blindings(self, blindings: Blindings | None) -> None:
        name = self.plan.program.name
        if self.layout is None:
            if blindings is not None:
                raise BadInputError(f"a public {name} statement has no blindings; leave them out")
            return
        if blindings is None:
            raise BadInputError(f"a private {name} statement needs the blindings of its commitments")
        blindings.check(self.statement)
        self.blindings = blindings.by_chunk(self.verifying_key, self.statement)

    # --- the protocol -----------------------------------------------------------------------------------

    def prove(self) -> Proof:
        plan, transcript = self.plan, self.transcript
        self.progress("witness")
        self._read_lookups()
        self._public_chunks()
        self.progress("commit")
        commitments = [*self._commit(1), *self._commit_masks()]
        beta = transcript.challenge("beta", _coordinates(commitments))
        gamma = transcript.challenge("gamma")
        self.progress("logup")
        self._invert(beta, gamma)
        inverses = self._commit(2)
        self.row_numbers.clear()
        alpha = transcript.challenge("alpha", _coordinates(inverses))
        variables = plan.variables(self.context_bits)
        rho = transcript.challenges("rho", variables)
        challenges = Challenges(beta, gamma, alpha, rho, [])
        self.progress("sumcheck")
        # made one by one: the sumcheck drops a term's tables once it has them in its own form
        terms = chain(
            (self._group_term(group, challenges) for group in plan.groups),
            (self._product_term(product, challenges) for product in plan.products),
        )
        masks = self._round_masks(alpha)
        try:
            summed = prove_sumcheck(terms, variables, plan.round_degree, 0, transcript, "round", masks)
        except SumcheckError as error:
            raise StatementFalseError(f"{plan.program.name}: {error}") from error
        challenges.r = summed.point
        if self.masks is not None and not (alpha and bump_at(summed.point[-1])):
            raise MasksHideNothingError
        point = SymbolicPoint(plan, self.statement, self.context_bits, challenges)
        self.progress("reduction")
        sent = self._evaluations(point, summed.values)
        evaluations = [sent[e] for e in plan.sent]
        eta = transcript.challenge("eta", evaluations)
        if self.masks is not None and not eta:
            raise MasksHideNothingError
        claims, value = combine_claims(self.verifying_key, point, summed.claim, sent, eta)
        sparse = {} if self.masks is None else dict(zip(MASK_CHUNKS, self.masks.chunks, strict=True))
        reduced, combination = prove_reduction(claims, value, self.chunks, self.srs.mu, transcript, sparse)
        self.chunks.clear()
        self.fields.clear()
        self.progress("opening")
        blinding = self._combined_blinding(reduced.coefficients)
        opening = open_mercury(
            self.srs.g1, combination, reduced.point, reduced.claim, transcript, blinding=blinding
        )
        return Proof(
            tuple(commitments),
            tuple(inverses),
            tuple(tuple(r) for r in summed.rounds),
            tuple(evaluations),
            tuple(tuple(r) for r in reduced.rounds),
            blinding,
            opening,
        )

    # --- masks of a private plan ------------------------------------------------------------------------

    def _commit_masks(self) -> list[Point]:
        """Draw the masks and commit to them, before any challenge."""
        if self.layout is None:
            return []
        mu = self.srs.mu
        self.masks = Masks.draw(self.layout, self.plan.variables(self.context_bits), mu, self.scalar)
        points = []
        for entries in self.masks.chunks:
            places = sorted(entries)
            bases = np.ascontiguousarray(self.srs.g1[places])
            points.append(commit_field(bases, arrays.from_ints([entries[place] for place in places])))
        return self._hidden(points, MASK_CHUNKS)

    def _hidden(self, points: Sequence[Point], keys: Sequence[Hashable]) -> list[Point]:
        """Commitments of this proof as they are sent: in a private plan plus b H."""
        if self.layout is None:
            return list(points)
        base = blinding_base(self.verifying_key.srs_digest)
        for key in keys:
            self.blindings[key] = draw_blinding(self.scalar)
        return [blind(point, self.blindings[key], base) for point, key in zip(points, keys, strict=True)]

    def _round_masks(self, alpha: int) -> RoundMasks | None:
        if self.masks is None:
            return None
        univariates = [self.masks.round_values(i) for i in range(len(self.masks.rounds))]
        return RoundMasks(pow(alpha, self.plan.mask_power, MODULUS), univariates)

    def _column_masks(self, evaluations: Sequence[Evaluation], tables: int) -> tuple[int, ...]:
        """m of each of a term's tables: those of evaluations that are sent, zero for all others."""
        if self.masks is None:
            return ()
        known = dict(zip(self.plan.sent, self.masks.evaluations, strict=True))
        masks = [known.get(evaluation, 0) for evaluation in evaluations]
        return (*masks, *[0] * (tables - len(masks)))

    def _combined_blinding(self, coefficients: Mapping[Hashable, int]) -> tuple[int, ...]:
        """(b*,), of what is opened; nothing for a public plan. Public tables have no blinding, and nothing else has none."""
        if self.masks is None:
            return ()
        public = {(TABLES, index) for index in range(len(self.verifying_key.constants))}
        hidden = {key: c for key, c in coefficients.items() if key not in public}
        return (sum(c * self.blindings[key] for key, c in hidden.items()) % MODULUS,)

    # --- commitments ------------------------------------------------------------------------------------

    def _commit(self, phase: int) -> list[Point]:
        points: list[Point] = []
        for number, zone in enumerate(self.plan.zones):
            if zone.phase != phase:
                continue
            packed, committed = self._pack(zone), zone.committed(self.context_bits, self.srs.mu)
            every = split_chunks(packed, zone.chunks(self.context_bits, self.srs.mu), self.srs.mu)
            chunks = {index: _machine_words(every[index]) for index in committed}
            self.chunks.update({(number, index): chunk for index, chunk in chunks.items()})
            found = (
                self._inverse_commitments(zone, chunks)
                if phase == 2
                else commit_chunks(self.srs.g1, list(chunks.values()))
            )
            points += self._hidden(found, [(number, index) for index in committed])
        return points

    def _inverse_commitments(self, zone: Zone, chunks: Mapping[int, np.ndarray]) -> list[Point]:
        unit = 1 << self.context_bits if zone.moving else 1
        columns = [
            (first * unit, unit << bits, self.row_numbers.get(name, ())) for name, first, bits in zone.places
        ]
        return [
            commit_inverse_chunk(self.srs.g1, chunk, columns, index << self.srs.mu, self.row_inverses)
            for index, chunk in chunks.items()
        ]

    def _pack(self, zone: Zone) -> np.ndarray:
        """The zone's tensors one behind the other: their places leave no gaps."""
        kept = self.integers if zone.phase == 1 else self.fields
        flat = [_flat(kept[name], zone.phase) for name, _, _ in zone.places]
        kind = np.result_type(*flat)
        if kind.hasobject:  # a statistic beyond 64 bits: what lies beside it stays int64
            return np.concatenate(flat)
        packed, end = np.empty((sum(map(len, flat)), *flat[0].shape[1:]), dtype=kind), 0
        flat.clear()
        for (
            name,
            _,
            _,
        ) in zone.places:  # from here on a view: a column is kept once, and goes when it is copied
            shape, size = kept[name].shape, len(_flat(kept[name], zone.phase))
            part = packed[end : (end := end + size)]
            part[:] = _flat(kept[name], zone.phase)
            kept[name] = part.reshape(shape)
        return packed

    def _public_chunks(self) -> None:
        """Chunks behind the inputs, the step key and the constants."""
        mu = self.srs.mu
        for tensor in self.plan.tensors.values():
            values = self.integers.get(tensor.name)
            if tensor.kind in (Kind.BOUNDARY, Kind.ROW):
                assert values is not None
                publics = self.statement.publics
                chunks: Sequence[np.ndarray] = boundary_chunks(self.plan, tensor, values, publics, mu)
                self.chunks.update({(tensor.name, index): chunk for index, chunk in enumerate(chunks)})
        for index, chunk in enumerate(self.plan.pack_weights(self.integers, mu)):
            self.chunks[WEIGHTS, index] = chunk if chunk.ndim == 1 else numbers(chunk)
        for index, chunk in enumerate(self.plan.table_layout(mu).pack(self.integers)):
            self.chunks[TABLES, index] = chunk

    # --- lookups ----------------------------------------------------------------------------------------

    def _read_lookups(self) -> None:
        """Which table row every lookup reads, and how often each is read."""
        sources = self.plan.inverse_of
        tables = {name: s for name, s in sources.items() if isinstance(s, LookupTable)}
        self.universe = Universe({name: self._row_view(name, table) for name, table in tables.items()})
        for name, source in sources.items():
            if not isinstance(source, LookupTable):
                self.row_numbers[name] = [self._numbers(name, lookup) for lookup in source]
        self.row_counts = self.universe.counts([n for column in self.row_numbers.values() for n in column])
        for name, table in tables.items():
            self.integers[f"{table.name}_multiplicity"] = self.row_counts[self.universe.places[name]]

    def _numbers(self, inverse: str, lookup: Lookup) -> np.ndarray:
        view = self._row_view(inverse, lookup)
        numbers = self.universe.numbers(view)
        if lookup.where is not None:
            numbers[~self._reads(lookup)] = self.universe.nothing
        wrong = np.flatnonzero(numbers < 0)
        if len(wrong) and self.plan.privacy == PRIVATE:
            raise StatementFalseError(f"lookup {lookup.name}: an entry is in no table")
        if len(wrong):
            row = [
                int(part[0 if len(part) == 1 else wrong[0]]) for part in (view.tag, view.first, view.second)
            ]
            raise StatementFalseError(
                f"lookup {lookup.name}: no table has the row (tag {row[0]}, {row[1]}, {row[2]}), entry {wrong[0]}"
            )
        return numbers

    def _reads(self, lookup: Lookup) -> np.ndarray:
        """(entries of the domain,) bool: whether a lookup reads anything there."""
        where = Constant(1) if lookup.where is None else lookup.where
        return np.broadcast_to(self._integer(where, lookup.domain) != 0, self._shape(lookup.domain)).reshape(
            -1
        )

    def _row_view(self, inverse: str, row: Lookup | LookupTable) -> RowView:
        """Integers of a table's rows, or of those that a lookup claims to read."""
        axes = self.plan.tensors[inverse].axes
        shape = self._shape(axes)

        def flat(expression: Expression) -> np.ndarray:
            values = self._integer(expression, axes)
            return values.reshape(1) if values.size == 1 else np.broadcast_to(values, shape).reshape(-1)

        first = np.broadcast_to(self._integer(row.first, axes), shape).reshape(-1)
        return RowView(flat(row.tag), first, flat(row.second))

    def _shape(self, axes: Sequence[str]) -> tuple[int, ...]:
        return tuple(1 << self.plan.axes[axis].resolve(self.context_bits) for axis in axes)

    def _integer(self, expression: Expression, domain: Sequence[str]) -> np.ndarray:
        """An expression over the domain as int64 (the linear expressions of lookups stay far below 2^63)."""
        match expression:
            case Sum(terms):
                return reduce(lambda a, b: a + b, (self._integer(t, domain) for t in terms))
            case Product(factors):
                return reduce(lambda a, b: a * b, (self._integer(f, domain) for f in factors))
            case Ref():
                array, axes = self._gathered(expression)
                return broadcast(array, axes, domain)
        scalar = scalar_in_field(expression, self.statement, self.plan, Challenges(0, 0, 0, [], []))
        assert scalar is not None
        return np.array(scalar - MODULUS if scalar > MODULUS // 2 else scalar, dtype=np.int64)

    def _gathered(self, ref: Ref) -> tuple[np.ndarray, tuple[str, ...]]:
        integers = self.statement.integers(self.plan)
        return gather(self.integers[ref.tensor], self.plan, ref, integers, self.context_bits)  # type: ignore[arg-type]

    def _invert(self, beta: int, gamma: int) -> None:
        """Inverse columns: of the rows that lookups read, and times the multiplicity for a table."""
        self.row_inverses = self.universe.inverses(self.row_counts, beta, gamma)
        for name, source in self.plan.inverse_of.items():
            if isinstance(source, LookupTable):
                place = self.universe.places[name]
                multiplicity = arrays.from_int64(self.row_counts[place])
                self.fields[name] = arrays.mul(np.ascontiguousarray(self.row_inverses[place]), multiplicity)
            else:
                self.fields[name] = inverse_column(self.row_inverses, self.row_numbers[name])

    # --- sumcheck terms ---------------------------------------------------------------------------------

    def _group_term(self, group: Group, challenges: Challenges) -> Term:
        """eq(rho, x) * sum_i alpha^i e_i(x) + alpha^s * sum +-H(x) over a domain."""
        refs = list(group.refs)
        variables = group.width.resolve(self.context_bits)
        tables: list[Column] = [self._table(ref, group.domain) for ref in refs]
        builder = TapeBuilder(len(refs) + 1)
        position = {ref: index for index, ref in enumerate(refs)}
        total = builder.constant(0)
        point, scale = challenges.rho[len(challenges.rho) - variables :], 1
        if group.quads:
            point, scale = [*point[:-QUAD_BITS], *COORDINATES], SCALE
        for power, expression in group.expressions:
            value = self._emit(builder, expression, position, challenges)
            factor = scale * pow(challenges.alpha, power, MODULUS) % MODULUS
            scaled = builder.multiply(builder.constant(factor), value)
            total = builder.add(total, scaled)
        total = builder.multiply(builder.column(len(refs)), total)
        for sign, name in group.inverses:
            sums = builder.constant(sign * pow(challenges.alpha, self.plan.sum_power, MODULUS))
            total = builder.add(total, builder.multiply(sums, builder.column(position[Ref(name)])))
        tables.append(Equality(tuple(point)))
        evaluations = [self.plan.group_evaluation(group, ref) for ref in refs]
        return Term(tables, builder.finish(total), self._column_masks(evaluations, len(tables)))

    def _table(self, ref: Ref, domain: Sequence[str]) -> Column:
        """A reference over the whole domain: field elements, or integers where they are small enough."""
        shape = self._shape(domain)
        if ref.tensor in self.fields:
            return self.fields[ref.tensor]
        array, axes = self._gathered(ref)
        small = array.dtype == np.int64 and array.min() > -LIMIT and array.max() < LIMIT
        own = broadcast(array, axes, domain)
        table = np.broadcast_to(own, shape)
        if not small:
            return to_field(table)
        return repeated(own, shape) or np.ascontiguousarray(table).reshape(-1)

    def _emit(
        self,
        builder: TapeBuilder,
        expression: Expression,
        position: Mapping[Ref, int],
        challenges: Challenges,
    ) -> tuple[str, int]:
        match expression:
            case Sum(terms):
                return reduce(builder.add, (self._emit(builder, t, position, challenges) for t in terms))
            case Product(factors):
                return reduce(
                    builder.multiply, (self._emit(builder, f, position, challenges) for f in factors)
                )
            case Ref():
                return builder.column(position[expression])
        scalar = scalar_in_field(expression, self.statement, self.plan, challenges)
        assert scalar is not None, (
            f"unknown challenge {expression}" if isinstance(expression, Challenge) else ""
        )
        return builder.constant(scalar)

    def _product_term(self, product: ProductSum, challenges: Challenges) -> Term:
        """- alpha^i * coefficient * eq(rho_batch, x_batch) * prod of bound factors."""
        point = SymbolicPoint(self.plan, self.statement, self.context_bits, challenges)
        shape = tuple(1 << self.plan.axes[a].resolve(self.context_bits) for a in product.domain)
        tables: list[Column] = [
            self._bound_factor(product, factor, point, shape) for factor in product.factors
        ]
        if product.batch:
            weights = [eq_table(point.slice(rho)) for rho, _ in self.plan.batch_slices(product)]
            tables.append(_outer(weights, shape))
        builder = TapeBuilder(len(tables))
        scalar = scalar_in_field(product.coefficient, self.statement, self.plan, challenges)
        assert scalar is not None
        value = builder.constant(-scalar * pow(challenges.alpha, product.power, MODULUS))
        for index in range(len(tables)):
            value = builder.multiply(value, builder.column(index))
        evaluations = [self.plan.factor_evaluation(product, factor) for factor in product.factors]
        return Term(tables, builder.finish(value), self._column_masks(evaluations, len(tables)))

    def _bound_factor(
        self, product: ProductSum, factor: Ref, point: SymbolicPoint, shape: tuple[int, ...]
    ) -> np.ndarray:
        """A factor with its output axes bound at rho, over the product's domain."""
        array, axes = self._gathered(factor)
        kept = [axis for axis in product.domain if axis in axes]
        bound = [axis for axis in axes if axis not in kept]
        bound_last = axes == (*kept, *bound)  # then binding reads the array as it lies, without a copy
        order = axes if bound_last else (*bound, *kept)
        ordered = np.transpose(array, [axes.index(axis) for axis in order])
        sizes = [1 << self.plan.axes[axis].resolve(self.context_bits) for axis in kept]
        if not bound:
            values = to_field(ordered)
        else:
            slices = [self.plan.slice("rho", product.output, axis) for axis in bound]
            coordinates = [c for part in slices for c in point.slice(part)]
            if factor.tensor in self.plan.in_quads:
                weights = eq_table([*coordinates[:-QUAD_BITS], *COORDINATES], SCALE)
            else:
                weights = eq_table(coordinates)
            shape_2d = (-1, len(weights)) if bound_last else (len(weights), -1)
            matrix = np.ascontiguousarray(ordered.reshape(shape_2d), dtype=np.int64)
            values = bind_integers(matrix, weights, axis=1 if bound_last else 0)
        if len(kept) == len(product.domain):
            return values
        full = broadcast(values.reshape(*sizes, 4), (*kept, "limbs"), (*product.domain, "limbs"))
        return np.ascontiguousarray(np.broadcast_to(full, (*shape, 4))).reshape(-1, 4)

    # --- evaluations ------------------------------------------------------------------------------------

    def _evaluations(self, point: SymbolicPoint, values: Sequence[Sequence[int]]) -> dict[Evaluation, int]:
        """What the sumcheck left in its tables: every relation's references are among them."""
        plan = self.plan
        known: dict[Evaluation, int] = {}
        for group, row in zip(plan.groups, values, strict=False):
            for ref, value in zip(group.refs, row, strict=False):
                known[plan.group_evaluation(group, ref)] = value
        for product, row in zip(plan.products, values[len(plan.groups) :], strict=True):
            for factor, value in zip(product.factors, row, strict=False):
                known[plan.factor_evaluation(product, factor)] = value
        return {evaluation: known[evaluation] for evaluation in plan.evaluations}


def _flat(values: np.ndarray, phase: int) -> np.ndarray:
    """Integers of any shape as a vector; field elements are one already, of four words each."""
    return values.reshape(-1) if phase == 1 else values


def _machine_words(chunk: np.ndarray) -> np.ndarray:
    """A chunk as int64, or as field elements where an integer is larger (the statistic of a norm can be)."""
    if chunk.dtype != object:
        return chunk
    fits = chunk.min() >= -(1 << 63) and chunk.max() < 1 << 63
    return chunk.astype(np.int64) if fits else to_field(chunk)


def _coordinates(points: Sequence[Point]) -> list[int]:
    return [coordinate for point in points for coordinate in point]


def _outer(weights: Sequence[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """The outer product of eq tables over batch axes, repeated along the summed axes that follow."""
    table = weights[0]
    for other in weights[1:]:
        left = np.repeat(table, len(other), axis=0)
        right = np.tile(other, (len(table), 1))
        table = arrays.mul(np.ascontiguousarray(left), np.ascontiguousarray(right))
    repeats = int(np.prod(shape)) // len(table)
    return np.ascontiguousarray(np.repeat(table, repeats, axis=0))


__all__ = ["StatementFalseError", "prove"]
