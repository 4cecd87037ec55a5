"""Zero knowledge: where its masks lie, of which degree they are, and what the verifier weighs them with.

Prover, Python verifier and generator take all of it from here. The protocol and the argument for it are
docs/zero-knowledge.md; r = (r_1 .. r_N) is the point of the batched sumcheck, q that of the claim reduction.

    commitments   C = sum f_i [tau^i] + b H (hiding.py)
    evaluations   V(x) + m_e x_N (1 - x_N) for every evaluation e that is sent: a quadratic in the last round
    rounds        g(x) = sum_i g_i(x_i), g_i(X) = sum_(d >= 1) c_(i,d) (X^d - 1/2), so that g_i(0) + g_i(1) = 0
    opening       two sparse chunks, A(2, .., 2) + A'(3, .., 3) = 0

All m_e and c_(i,d) are one tensor M, the first entries of A:

    [0, s)        m_e, in the order in which evaluations are sent
    then          c of the last round, c_(N,1) first, from a multiple of the block on
    then          a block for each round before it, the second to last first: only how many there are depends on t
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cache

from .evaluations import Evaluation, monomials
from .field.reference import SCALAR_MODULUS as MODULUS
from .plan import PRIVATE, Plan
from .relations import Ref

HALF = pow(2, -1, MODULUS)

MASK_CHUNKS: tuple[Hashable, Hashable] = (("masks", 0), ("masks", 1))
"""Keys of A and A'; no tensor has a key of this kind, because relations cannot refer to it."""
MASK_COORDINATES = (2, 3)
"""Every coordinate of the points at which A and A' are claimed: eq(c, .., c; q) = prod ((2 c - 1) q_j + 1 - c)."""


def places(chunk_bits: int) -> tuple[int, ...]:
    """Where A' is not zero: 0, every power of two, and every sum of two neighbours, round the end."""
    ones = [1 << i for i in range(chunk_bits)]
    pairs = [one | ones[(i + 1) % chunk_bits] for i, one in enumerate(ones)]
    return tuple(sorted({0, *ones, *pairs}))


def complemented_places(chunk_bits: int) -> tuple[int, ...]:
    """Where A is not zero behind M: the same places with every bit turned, so that they keep away from the beginning."""
    return tuple(sorted((1 << chunk_bits) - 1 - place for place in places(chunk_bits)))


def last_round_degree(plan: Plan) -> int:
    """Of the last round polynomial: a column that is sent is a quadratic there, any other a line."""
    sent = frozenset(plan.sent)

    def columns(evaluations: Sequence[Evaluation]) -> int:
        return sum(2 if evaluation in sent else 1 for evaluation in evaluations)

    degrees = [plan.round_degree]
    for group in plan.groups:  # times eq, or 1 - x_N where the domain has no variables
        refs = [refs for _, expression in group.expressions for refs in monomials(expression)]
        refs += [(Ref(name),) for _, name in group.inverses]
        degrees += [1 + columns([plan.group_evaluation(group, ref) for ref in each]) for each in refs]
    for product in plan.products:
        width = plan.width(product.domain)
        weighed = bool(product.batch) or (width.fixed, width.context) == (0, 0)
        factors = [plan.factor_evaluation(product, factor) for factor in product.factors]
        degrees.append(int(weighed) + columns(factors))
    return max(degrees)


@dataclass(frozen=True)
class MaskLayout:
    """Where the entries of M are. degree: of every round but the last."""

    evaluations: int
    degree: int
    last_degree: int
    bits: int  # M lies at [0, 2^bits)

    @classmethod
    def of(cls, plan: Plan) -> MaskLayout:
        """The layout for a plan, with room for the rounds of its longest statement."""
        layout = cls(len(plan.sent), plan.round_degree, last_round_degree(plan), 0)
        entries = layout.entries(plan.variables(plan.largest_context_bits))
        return cls(layout.evaluations, layout.degree, layout.last_degree, (entries - 1).bit_length())

    @property
    def block_bits(self) -> int:
        """log2 of the entries that a round takes."""
        return (self.degree - 1).bit_length()

    @property
    def last_round(self) -> int:
        """First entry of the last round."""
        return -(-self.evaluations >> self.block_bits) << self.block_bits

    @property
    def other_rounds(self) -> int:
        """First entry of the second to last round; the one before it follows a block later."""
        return self.last_round + (-(-self.last_degree >> self.block_bits) << self.block_bits)

    def round(self, index: int, rounds: int) -> tuple[int, int]:
        """(first entry, degree) of round `index` of `rounds`."""
        if index == rounds - 1:
            return self.last_round, self.last_degree
        return self.other_rounds + (rounds - 2 - index << self.block_bits), self.degree

    def degree_of(self, index: int, rounds: int) -> int:
        """How many coefficients round `index` sends."""
        return self.round(index, rounds)[1]

    def entries(self, rounds: int) -> int:
        """End of the last entry."""
        return self.other_rounds + (rounds - 1 << self.block_bits)

    def check_room(self, chunk_bits: int) -> bool:
        """Whether M ends before the places of A begin."""
        return self.bits <= chunk_bits and 1 << self.bits <= complemented_places(chunk_bits)[0]

    def weights(self, etas: Sequence[int], alpha_power: int, r: Sequence[int]) -> list[int]:
        """u: what the entries of M count in the claims, 2^bits numbers.

        etas: the power of eta of every evaluation that is sent, for r_N (1 - r_N) m_e; alpha_power: that of g(r).
        """
        vector = [0] * (1 << self.bits)
        bump = bump_at(r[-1])
        vector[: self.evaluations] = [eta * bump % MODULUS for eta in etas]
        for index, x in enumerate(r):
            first, degree = self.round(index, len(r))
            power = 1
            for entry in range(first, first + degree):
                power = power * x % MODULUS
                vector[entry] = alpha_power * (power - HALF) % MODULUS
        return vector


@cache
def mask_layout(plan: Plan) -> MaskLayout | None:
    """The masks of a private plan; a public one has none."""
    return MaskLayout.of(plan) if plan.privacy == PRIVATE else None


def bump_at(x: int) -> int:
    """x (1 - x): what multiplies m_e."""
    return x * (1 - x) % MODULUS


Scalars = Callable[[], int]
"""A source of uniform field elements: one for each call."""


@dataclass
class Masks:
    """What the prover draws for one proof: M, and the two chunks as their entries that are not zero."""

    layout: MaskLayout
    evaluations: list[int]  # m_e
    rounds: list[list[int]]  # c_(i,1), c_(i,2), ... of round i
    chunks: tuple[dict[int, int], dict[int, int]]

    @classmethod
    def draw(cls, layout: MaskLayout, rounds: int, chunk_bits: int, scalar: Scalars) -> Masks:
        """Uniform, but for one entry of A' that makes the two evaluations add up to zero."""
        evaluations = [scalar() for _ in range(layout.evaluations)]
        drawn = [[scalar() for _ in range(layout.degree_of(i, rounds))] for i in range(rounds)]
        first = dict(enumerate(evaluations))
        for index, coefficients in enumerate(drawn):
            start, _ = layout.round(index, rounds)
            first.update({start + d: value for d, value in enumerate(coefficients)})
        first.update({place: scalar() for place in complemented_places(chunk_bits)})
        second = {place: scalar() for place in places(chunk_bits) if place}
        c, d = MASK_COORDINATES
        missing = evaluation_at(first, c, chunk_bits) + evaluation_at(second, d, chunk_bits)
        second[0] = -missing * pow(eq_at(0, d, chunk_bits), -1, MODULUS) % MODULUS
        return cls(layout, evaluations, drawn, (first, second))

    def round_values(self, index: int) -> list[int]:
        """Coefficients of g_i, the constant one first."""
        coefficients = self.rounds[index]
        return [-HALF * sum(coefficients) % MODULUS, *coefficients]


def eq_at(index: int, coordinate: int, chunk_bits: int) -> int:
    """eq of (c, .., c) and the bits of an index."""
    ones = index.bit_count()
    return pow(coordinate, ones, MODULUS) * pow(1 - coordinate, chunk_bits - ones, MODULUS) % MODULUS


def evaluation_at(entries: dict[int, int], coordinate: int, chunk_bits: int) -> int:
    """The extension of a sparse chunk at (c, .., c)."""
    return sum(value * eq_at(index, coordinate, chunk_bits) for index, value in entries.items()) % MODULUS


__all__ = [
    "MASK_CHUNKS",
    "MASK_COORDINATES",
    "MaskLayout",
    "Masks",
    "Scalars",
    "bump_at",
    "complemented_places",
    "evaluation_at",
    "last_round_degree",
    "mask_layout",
    "places",
]
