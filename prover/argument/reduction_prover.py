"""How the claim reduction (reduction.py) is made.

The prover uses what the points have in common. Most claims end in the same coordinates y (`own`), and what is in front
of them are bits that say where in its chunk a tensor lies. Claims with equal y form a bundle:
    sum_c sum_(a, b) W_c(a) eq(y, b) chunk_c(a, b),    W_c(a) = sum of coefficient * weight * eq(front, a)
so the first rounds work on the short tables W_c(a) and V_c(a) = chunk_c(a, y), and the others on one table per bundle.
Claims about sparse chunks, the masks of a private plan, have terms of their own (sparse_claims.py).
Chunks are bound early, so that it takes mu rounds only (docs/proof-system.md#claims).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from ..field import arrays
from ..field.arrays import MODULUS
from .columns import Equality
from .multilinear import bind_field, bind_integers, combine_tables, eq_table, fold
from .reduction import AnyClaim, Claim, chunk_coefficients
from .sparse_claims import SparseTerm, VectorClaim
from .sumcheck import evaluate_coefficients
from .sumcheck_prover import RunningTerm, SumcheckResult, Term, interpolate
from .tape import Tape, TapeBuilder
from .transcript import Transcript

SHORTEST_OWN = 6
"""Coordinates that every bundle keeps for its own table: with fewer, the front tables would be longer than it."""
_BLOCK_BITS = 5
"""Front coordinates that are bound in one pass over a chunk; further ones are folded."""


@dataclass(frozen=True)
class Reduced(SumcheckResult):
    """coefficients: of every chunk in the combination that is opened."""

    coefficients: dict[Hashable, int] = field(default_factory=dict)


class _Bundle:
    """All claims whose points end in the same coordinates `own`."""

    def __init__(self, own: tuple[int, ...], front: int, chunks: Mapping[Hashable, np.ndarray]) -> None:
        self.own, self.front = own, front
        self.chunks = chunks
        self.weights: dict[Hashable, np.ndarray] = {}  # W_c
        self.bound: list[int] = []
        self._parts: list[tuple[Hashable, RunningTerm]] = []
        self._inner: RunningTerm | None = None

    def add(self, claim: Claim) -> None:
        """Put a claim into the tables W_c."""
        for key, weight in claim.weights:
            if key not in self.weights:
                self.weights[key] = arrays.zeros(1 << self.front)
            self._spread(self.weights[key], claim.point[: self.front], claim.coefficient * weight % MODULUS)

    @staticmethod
    def _spread(table: np.ndarray, coordinates: Sequence[int], factor: int) -> None:
        """table += factor * eq(coordinates, .); leading bits only say where."""
        known = leading_bits(coordinates)
        first = 0
        for bit in coordinates[:known]:
            first = 2 * first + bit
        rest = coordinates[known:]
        first <<= len(rest)
        part = table[first : first + (1 << len(rest))]
        part[:] = arrays.add(part, eq_table(rest, factor))

    def start(self) -> None:
        """Bind every chunk at `own`, which gives V_c."""
        weights = eq_table(self.own)
        for key, table in self.weights.items():
            chunk = self.chunks[key]
            values = arrays.zeros(1 << self.front)
            bound = _bind_own(chunk, weights)
            values[: len(bound)] = bound
            self._parts.append((key, RunningTerm(Term([table, values], _product()))))
        if not self.front:
            self._finish_front()

    @property
    def claim(self) -> int:
        """The bundle's part of the sum."""
        if self._inner is not None:
            return self._inner.claim
        return sum(part.claim for _, part in self._parts) % MODULUS

    def coefficients(self) -> list[int]:
        """This round's polynomial."""
        if self._inner is not None:
            return interpolate(self._inner.round())
        columns = zip(*(interpolate(part.round()) for _, part in self._parts), strict=True)
        return [sum(column) % MODULUS for column in columns]

    def bind(self, challenge: int) -> None:
        """Go on to the next variable."""
        if self._inner is not None:
            self._inner.bind(challenge)
            return
        for _, part in self._parts:
            part.bind(challenge)
        self.bound.append(challenge)
        if len(self.bound) == self.front:
            self._finish_front()

    def _finish_front(self) -> None:
        """One table over the own variables: sum_c W_c(q_front) * chunk_c(q_front, .)."""
        scales = {key: part.values()[0] for key, part in self._parts}
        table = _bind_front(
            [self.chunks[key] for key in scales], list(scales.values()), self.bound, len(self.own)
        )
        self._parts = []
        self._inner = RunningTerm(Term([Equality(self.own), table], _product()))


@cache
def _product() -> Tape:
    """Of the two tables of a term."""
    builder = TapeBuilder(2)
    return builder.finish(builder.multiply(builder.column(0), builder.column(1)))


def leading_bits(coordinates: Sequence[int]) -> int:
    """How many coordinates at the start are 0 or 1."""
    return next((i for i, x in enumerate(coordinates) if x not in (0, 1)), len(coordinates))


def _bind_own(chunk: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """chunk(a, y) for every a, where weights = eq(y, .); the chunk may end within a row."""
    width = len(weights)
    rows = -(-len(chunk) // width)
    if len(chunk) % width:
        padded = np.zeros((rows * width, *chunk.shape[1:]), dtype=chunk.dtype)
        padded[: len(chunk)] = chunk
        chunk = padded
    if chunk.ndim == 1:
        return bind_integers(chunk.reshape(rows, width), weights, axis=1)
    return bind_field(chunk, weights)


def _bind_front(
    chunks: Sequence[np.ndarray], scales: Sequence[int], front: Sequence[int], own: int
) -> np.ndarray:
    """sum_c scale_c * chunk_c(front, .) as 2^own field elements."""
    folded = max(0, len(front) - _BLOCK_BITS)  # coordinates that are folded one by one afterwards
    weights_of_blocks = arrays.to_ints(eq_table(front[: len(front) - folded]))
    size = 1 << (own + folded)
    tables, weights = [], []
    for chunk, scale in zip(chunks, scales, strict=True):
        for index in range(-(-len(chunk) // size)):
            tables.append(np.ascontiguousarray(chunk[index * size : (index + 1) * size]))
            weights.append(scale * weights_of_blocks[index] % MODULUS)
    table = combine_tables(tables, weights, size)
    for challenge in front[len(front) - folded :]:
        table = fold(table, challenge)
    return table


def _bundles(
    claims: Sequence[Claim], chunks: Mapping[Hashable, np.ndarray], chunk_bits: int
) -> list[_Bundle]:
    """Claims by the coordinates in which their points end."""
    bundles: dict[tuple[int, ...], _Bundle] = {}
    for claim in claims:
        if not claim.weights:
            continue
        longest = (max(len(chunks[key]) for key, _ in claim.weights) - 1).bit_length()
        own = min(chunk_bits - leading_bits(claim.point), longest)
        own = min(max(own, SHORTEST_OWN), chunk_bits)
        place = claim.point[chunk_bits - own :]
        if place not in bundles:
            bundles[place] = _Bundle(place, chunk_bits - own, chunks)
        bundles[place].add(claim)
    return list(bundles.values())


def _sparse_terms(
    claims: Sequence[AnyClaim], sparse: Mapping[Hashable, Mapping[int, int]], chunk_bits: int
) -> tuple[list[Claim], list[SparseTerm]]:
    """(claims about other chunks, one term per sparse chunk)."""
    terms = {key: SparseTerm(entries, chunk_bits) for key, entries in sparse.items()}
    others: list[Claim] = []
    for claim in claims:
        if isinstance(claim, VectorClaim):
            terms[claim.chunk].add_vector(claim.vector)
        elif claim.weights and claim.weights[0][0] in terms:
            for key, weight in claim.weights:
                terms[key].add_point(claim.point, claim.coefficient * weight)
        else:
            others.append(claim)
    return others, list(terms.values())


def prove_reduction(
    claims: Sequence[AnyClaim],
    value: int,
    chunks: Mapping[Hashable, np.ndarray],
    chunk_bits: int,
    transcript: Transcript,
    sparse: Mapping[Hashable, Mapping[int, int]] | None = None,
) -> tuple[Reduced, np.ndarray]:
    """Reduce; returns the rounds and the combination F as 2^mu field elements.

    sparse: chunks as (entry -> value), about which claims are vectors or at points with equal coordinates.
    """
    others, terms = _sparse_terms(claims, sparse or {}, chunk_bits)
    bundles: list[_Bundle | SparseTerm] = [*_bundles(others, chunks, chunk_bits), *terms]
    for bundle in bundles:
        if isinstance(bundle, _Bundle):
            bundle.start()
    if (sum(bundle.claim for bundle in bundles) - value) % MODULUS:
        raise ArithmeticError("internal: the claims to reduce are not true of the committed chunks")
    q: list[int] = []
    rounds: list[list[int]] = []
    for index in range(chunk_bits):
        parts = [bundle.coefficients() for bundle in bundles]
        coefficients = [sum(column) % MODULUS for column in zip(*parts, strict=True)]
        sent = [coefficients[0], coefficients[2]]
        challenge = transcript.challenge("reduction.round", sent, index)
        for bundle in bundles:
            bundle.bind(challenge)
        value = evaluate_coefficients(coefficients, challenge)
        q.append(challenge)
        rounds.append(sent)
    coefficients_of = chunk_coefficients(claims, q)
    dense = {key: c for key, c in coefficients_of.items() if key not in (sparse or {})}
    combination = combine_tables([chunks[key] for key in dense], list(dense.values()), 1 << chunk_bits)
    for key, entries in (sparse or {}).items():
        _add_sparse(combination, entries, coefficients_of[key])
    return Reduced(q, rounds, value, [], coefficients_of), combination


def _add_sparse(table: np.ndarray, entries: Mapping[int, int], factor: int) -> None:
    """table += factor * entries."""
    places = np.array(list(entries), dtype=np.int64)
    values = arrays.from_ints([factor * value % MODULUS for value in entries.values()])
    table[places] = arrays.add(np.ascontiguousarray(table[places]), values)
