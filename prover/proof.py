"""A step proof: its fields, its length, and its strict encoding.

Encoding: 32-byte big-endian words, concatenated in field order. The length follows from the plan, the number
of context bits and mu, so there is no framing: anything longer, shorter or non-canonical is rejected.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .argument.mercury import OPENING_POINTS, OPENING_SCALARS, MercuryOpening
from .argument.reduction import REDUCTION_DEGREE
from .curve.g1 import Point, PointError, validate
from .errors import ProofRejectedError
from .field.reference import SCALAR_MODULUS as MODULUS
from .masks import MASK_CHUNKS, mask_layout
from .plan import Plan

WORD = 32


@dataclass(frozen=True)
class Proof:
    """commitments: phase-1 chunks in plan order; inverses: phase-2 chunks; rounds: of the batched sumcheck;
    evaluations: those that the plan has sent; reduction: rounds of the claim reduction; opening: Mercury.

    Of a private plan, the mask chunks are the last commitments, the last round is longer, and `blinding`, b* of what is
    opened, stands in front of the opening.
    """

    commitments: tuple[Point, ...]
    inverses: tuple[Point, ...]
    rounds: tuple[tuple[int, ...], ...]
    evaluations: tuple[int, ...]
    reduction: tuple[tuple[int, ...], ...]
    blinding: tuple[int, ...]
    opening: MercuryOpening

    def encode(self) -> bytes:
        """All words, in field order."""
        words = [
            *(c for point in (*self.commitments, *self.inverses) for c in point),
            *(c for coefficients in self.rounds for c in coefficients),
            *self.evaluations,
            *(c for coefficients in self.reduction for c in coefficients),
            *self.blinding,
            *self.opening.words(),
        ]
        return b"".join(word.to_bytes(WORD, "big") for word in words)


@dataclass(frozen=True)
class ProofShape:
    """How many of each field a proof has."""

    commitments: int
    inverses: int
    rounds: int
    evaluations: int
    reduction: int
    round_degree: int
    last_degree: int
    blindings: int = 0

    @classmethod
    def of(cls, plan: Plan, context_bits: int, chunk_bits: int) -> ProofShape:
        """The shape for a plan, t and mu."""

        def chunks(phase: int) -> int:
            return sum(len(z.committed(context_bits, chunk_bits)) for z in plan.zones if z.phase == phase)

        rounds = plan.variables(context_bits)
        common = (rounds, len(plan.sent), chunk_bits, plan.round_degree)
        masks = mask_layout(plan)
        if masks is None:
            return cls(chunks(1), chunks(2), *common, plan.round_degree)
        return cls(chunks(1) + len(MASK_CHUNKS), chunks(2), *common, masks.last_degree, 1)

    @property
    def words(self) -> int:
        """Length of the encoding in words."""
        return (
            2 * (self.commitments + self.inverses)
            + self.round_degree * (self.rounds - 1)
            + self.last_degree
            + self.evaluations
            + REDUCTION_DEGREE * self.reduction
            + self.blindings
            + 2 * OPENING_POINTS
            + OPENING_SCALARS
        )

    def decode(self, encoded: bytes) -> Proof:
        """Parse strictly: exact length, canonical scalars, canonical points on the curve."""
        if len(encoded) != self.words * WORD:
            raise ProofRejectedError(
                f"the proof has {len(encoded)} bytes; this statement needs {self.words * WORD}"
            )
        stream = (int.from_bytes(encoded[i : i + WORD], "big") for i in range(0, len(encoded), WORD))
        commitments = _points(stream, self.commitments, "commitments")
        inverses = _points(stream, self.inverses, "inverses")
        degrees = (*[self.round_degree] * (self.rounds - 1), self.last_degree)
        rounds = tuple(_scalars(stream, degree, "rounds") for degree in degrees)
        evaluations = _scalars(stream, self.evaluations, "evaluations")
        reduction = tuple(_scalars(stream, REDUCTION_DEGREE, "reduction") for _ in range(self.reduction))
        blinding = _scalars(stream, self.blindings, "blinding")
        opening = MercuryOpening.from_words(
            [next(stream) for _ in range(2 * OPENING_POINTS + OPENING_SCALARS)]
        )
        check_opening(opening)
        return Proof(commitments, inverses, rounds, evaluations, reduction, blinding, opening)


def check_opening(opening: MercuryOpening) -> None:
    """Canonical scalars and points of an opening."""
    for name, value in vars(opening).items():
        if isinstance(value, tuple):
            check_point(value, f"opening.{name}")
        elif not 0 <= value < MODULUS:
            raise ProofRejectedError(f"opening.{name} is not a canonical scalar")


def check_point(point: Point, name: str) -> Point:
    """A canonical point of the curve, or a typed rejection."""
    try:
        return validate(point)
    except PointError as error:
        raise ProofRejectedError(f"{name}: {error}") from error


def _points(stream: Iterator[int], count: int, name: str) -> tuple[Point, ...]:
    return tuple(check_point((next(stream), next(stream)), f"{name}[{i}]") for i in range(count))


def _scalars(stream: Iterator[int], count: int, name: str) -> tuple[int, ...]:
    values = tuple(next(stream) for _ in range(count))
    _check_scalars(values, name)
    return values


def _check_scalars(values: Sequence[int], name: str) -> None:
    for index, value in enumerate(values):
        if value >= MODULUS:
            raise ProofRejectedError(f"{name}[{index}] is not a canonical scalar")
