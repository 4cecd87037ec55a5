"""What the reduction and the opening reveal of a chunk, as a matrix, and the rank of the mask chunks in it.

Every revealed value is linear in the chunk that it is about, for fixed challenges. The matrix comes from the prover's own code: a
chunk with one entry is reduced and opened, with challenges given and commitments replaced by values at tau. The masks
hide if adding any other chunk, with a claim at any other point, raises the rank by one only: the claimed value, which the
transcript has fixed before (docs/zero-knowledge.md, section 3).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from prover.argument import mercury_prover
from prover.argument.multilinear import bind_field, eq_table
from prover.argument.reduction import Claim, chunk_coefficients
from prover.argument.reduction_prover import prove_reduction
from prover.argument.transcript import Transcript
from prover.curve.g1 import Point
from prover.field import arrays
from prover.field.arrays import MODULUS
from prover.masks import MASK_COORDINATES, complemented_places, places

ETA_OF_MASKS, ETA_OF_WITNESS = 0x1234567, 0x89ABCDE
FREE = 1 + 6 + 5
"""Besides two per round: the masks' claim, six scalars, [h], [q], [g], [S], [D]."""


class Fixed(Transcript):
    """Challenges that depend on their label only."""

    def challenge(self, label: str, words: Iterable[int] = (), index: int = 0) -> int:
        return random.Random(f"{label} {index}").randrange(2, MODULUS)


@dataclass(frozen=True)
class Revealed:
    """Of a chunk with one entry: the claim about it, and what is sent about it."""

    masks_claim: int
    witness_claim: int
    free: tuple[int, ...]
    others: tuple[int, ...]

    @property
    def row(self) -> list[int]:
        return [self.masks_claim, self.witness_claim, *self.free]

    @property
    def whole(self) -> list[int]:
        return [*self.row, *self.others]


class Revealing:
    """Reduces and opens chunks of 2^mu with one entry."""

    def __init__(self, bits: int, patch: pytest.MonkeyPatch) -> None:
        self.bits = bits
        power, tau = 1, random.Random("tau").randrange(MODULUS)
        powers = []
        for _ in range(1 << bits):
            powers.append(power)
            power = power * tau % MODULUS
        self._powers = arrays.from_ints(powers)
        patch.setattr(mercury_prover, "commit_field", self._at_tau)

    def _at_tau(self, _: object, coefficients: np.ndarray) -> Point:
        table = np.ascontiguousarray(self._powers[: len(coefficients)])
        return arrays.to_int(bind_field(np.ascontiguousarray(coefficients), table)[0]), 0

    def of(self, place: int, point: Sequence[int], factor: int, *, masks: bool) -> Revealed:
        """Of entry `place` of a chunk that is claimed at a point, times a power of eta."""
        equal = len(set(point)) == 1
        entry = {place: 1}
        chunk = arrays.zeros(1 << self.bits)
        chunk[place] = arrays.scalar(1)
        value = factor
        for bit, x in zip(f"{place:0{self.bits}b}", point, strict=True):
            value = value * (x if bit == "1" else 1 - x) % MODULUS
        claims = [Claim(factor, tuple(point), ((("c", 0), 1),))]
        dense, sparse = ({}, {("c", 0): entry}) if equal else ({("c", 0): chunk}, {})
        # the sum of all claims is the value; the prover sends what is left of it in every round
        reduced, combination = prove_reduction(claims, value, dense, self.bits, Fixed("r"), sparse)
        assert reduced.coefficients == chunk_coefficients(claims, reduced.point)
        opening = mercury_prover.open_mercury(
            np.zeros((0, 8), np.uint64), combination, reduced.point, reduced.claim, Fixed("r")
        )
        scalars = (opening.g_zeta, opening.g_inverse, opening.h_zeta, opening.h_inverse, opening.s_zeta)
        points = (opening.h, opening.q, opening.g, opening.s, opening.d)
        rest = (opening.quotient, opening.w, opening.w_prime, self._at_tau(None, combination))
        rounds = [c for sent in reduced.rounds for c in sent]
        free = (*rounds, *scalars, opening.s_inverse, *(p[0] for p in points))
        claims_of = (value, 0) if masks else (0, value)
        return Revealed(*claims_of, free, tuple(p[0] for p in rest))

    def masks(
        self, where: Sequence[Sequence[int]], coordinates: Sequence[int] = MASK_COORDINATES
    ) -> list[Revealed]:
        """Of mask chunks, one after the other, with their places and the coordinates of their points."""
        return [
            self.of(place, (c,) * self.bits, ETA_OF_MASKS, masks=True)
            for own, c in zip(where, coordinates, strict=False)
            for place in own
        ]

    def witness(self, count: int) -> list[Revealed]:
        """Of random entries of a chunk that is claimed at a random point."""
        source = random.Random(f"witness {self.bits}")
        point = [source.randrange(2, MODULUS) for _ in range(self.bits)]
        chosen = source.sample(range(1 << self.bits), min(count, 1 << self.bits))
        return [self.of(place, point, ETA_OF_WITNESS, masks=False) for place in chosen]


@pytest.fixture
def revealing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Revealing]:
    yield Revealing(request.param, monkeypatch)


def rank(rows: Sequence[Sequence[int]]) -> int:
    """By elimination modulo p."""
    left = [list(row) for row in rows]
    found = 0
    for column in range(len(left[0])):
        pivot = next((i for i in range(found, len(left)) if left[i][column]), None)
        if pivot is None:
            continue
        left[found], left[pivot] = left[pivot], left[found]
        inverse = pow(left[found][column], -1, MODULUS)
        for i in range(found + 1, len(left)):
            if left[i][column]:
                scale = left[i][column] * inverse % MODULUS
                left[i] = [(a - scale * b) % MODULUS for a, b in zip(left[i], left[found], strict=True)]
        found += 1
    return found


def design(bits: int) -> list[tuple[int, ...]]:
    return [complemented_places(bits), places(bits)]


@pytest.mark.parametrize("revealing", [4, 6, 8, pytest.param(18, marks=pytest.mark.long)], indirect=True)
def test_the_masks_hide_whatever_is_revealed(revealing: Revealing) -> None:
    """Adding a secret chunk adds its claimed value and nothing else; what the other elements say follows from these."""
    masks = revealing.masks(design(revealing.bits))
    secrets = revealing.witness(40 if revealing.bits < 18 else 6)
    rows = [r.row for r in masks]
    alone = rank(rows)
    if revealing.bits >= 6:  # with fewer coordinates some messages depend on others
        assert alone == 2 * revealing.bits + FREE
    assert rank(rows + [r.row for r in secrets]) == alone + 1
    assert rank([r.whole for r in masks + secrets]) == alone + 1


LONG = pytest.param(18, marks=pytest.mark.long)
RANKS = {"one chunk": 30, "equal points": 30, "powers of two": 38}
"""At mu = 18, of 48: what the page says."""


@pytest.mark.parametrize("revealing", [6, 8, LONG], indirect=True)
@pytest.mark.parametrize(
    "case", ["one chunk", "equal points", "powers of two", "the first ones", "one place too few"]
)
def test_weaker_masks_leak(revealing: Revealing, case: str) -> None:
    bits = revealing.bits
    powers = (0, *(1 << i for i in range(bits)))
    needed = 2 * bits + FREE
    where, coordinates = {
        "one chunk": ([places(bits)], MASK_COORDINATES),
        "equal points": (design(bits), (2, 2)),
        "powers of two": ([powers, powers], MASK_COORDINATES),
        "the first ones": ([range(4), range(needed)], MASK_COORDINATES),
        "one place too few": (
            [places(bits)[: needed // 2], places(bits)[: needed - needed // 2 - 1]],
            MASK_COORDINATES,
        ),
    }[case]
    masks = [r.row for r in revealing.masks(where, coordinates)]
    secrets = [r.row for r in revealing.witness(40 if bits < 18 else 24)]
    alone = rank(masks)
    assert alone < needed
    if bits == 18:
        assert alone == RANKS.get(case, alone)
    assert rank(masks + secrets) > alone + 1


@pytest.mark.parametrize("revealing", [8, LONG], indirect=True)
def test_complements_are_as_good(revealing: Revealing) -> None:
    bits = revealing.bits
    plain = rank([r.row for r in revealing.masks([places(bits), places(bits)])])
    assert plain == rank([r.row for r in revealing.masks(design(bits))]) == 2 * bits + FREE


@pytest.mark.parametrize("revealing", [8], indirect=True)
def test_one_chunk_has_a_distinguisher(revealing: Revealing) -> None:
    """Round i of one chunk is a multiple of eq(z_i, X): it vanishes at (1 - z_i)/(1 - 2 z_i), where the secret does not."""
    coordinate = MASK_COORDINATES[0]
    x = (1 - coordinate) * pow(1 - 2 * coordinate, -1, MODULUS) % MODULUS
    for revealed, hidden in (
        (revealing.masks([places(8)]), True),
        (revealing.witness(5), False),
    ):
        seen = []
        for r in revealed:
            c0, c2 = r.free[0], r.free[1]
            c1 = (r.masks_claim + r.witness_claim - 2 * c0 - c2) % MODULUS
            seen.append((c0 + c1 * x + c2 * x * x) % MODULUS)
        assert (not any(seen)) == hidden


def test_eq_of_the_points_is_what_verifiers_multiply() -> None:
    """prod (3 q_j - 1) and prod (5 q_j - 2)."""
    q = [random.Random(j).randrange(MODULUS) for j in range(6)]
    for coordinate, slope, shift in ((2, 3, -1), (3, 5, -2)):
        product = 1
        for x in q:
            product = product * (slope * x + shift) % MODULUS
        claim = Claim(1, (coordinate,) * 6, ((("c", 0), 1),))
        assert claim.at(q) == product
        assert arrays.to_int(bind_field(eq_table(q), eq_table((coordinate,) * 6))[0]) == product
