"""Hiding commitments: C = sum f_i [tau^i] + b H, and what a prover must know to open them.

H is a point whose logarithm nobody knows: hashed to the curve from the SRS digest, so that it is the same for all who use
that SRS and can be recomputed. With b uniform, C is uniform whatever f is. All uses of commitments are linear, so
what is opened is C* - b* H for one sum b* of blindings, which the prover sends (docs/zero-knowledge.md).

A blinding lives as long as its commitment: those of weights and token rows are drawn once, those of windows once per response,
those of a proof's own commitments in every proof. A point that is used twice must keep its blinding; a blinding must never be
used for two contents.
"""

from __future__ import annotations

import secrets
from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import lru_cache

from eth_hash.auto import keccak

from .curve.combinations import combine
from .curve.g1 import CURVE_CONSTANT, INFINITY, Point
from .errors import BadInputError
from .field.reference import BASE_MODULUS
from .field.reference import SCALAR_MODULUS as MODULUS
from .masks import Scalars
from .statement import WEIGHTS, Statement, VerifyingKey, input_chunks

_DOMAIN = b"gainsay.blinding.1"


def system_scalar() -> int:
    """A uniform field element from the operating system."""
    return secrets.randbelow(MODULUS)


@lru_cache
def blinding_base(srs_digest: bytes) -> Point:
    """H: the first x = keccak(domain || SRS digest || counter) mod q on the curve, with the even y.

    About every second x is on the curve. The cofactor is one, so every point of the curve generates the group.
    """
    counter = 0
    while True:
        seed = _DOMAIN + srs_digest + counter.to_bytes(32, "big")
        x = int.from_bytes(keccak(seed), "big") % BASE_MODULUS
        square = (pow(x, 3, BASE_MODULUS) + CURVE_CONSTANT) % BASE_MODULUS
        y = pow(square, (BASE_MODULUS + 1) // 4, BASE_MODULUS)  # q = 3 modulo 4
        if y * y % BASE_MODULUS == square and y:
            return x, y if y % 2 == 0 else BASE_MODULUS - y
        counter += 1


def draw_blinding(scalar: Scalars = system_scalar) -> int:
    """A uniform blinding that is not zero: zero, which never comes up, is what a forgotten blinding looks like."""
    while not (blinding := scalar()):
        pass
    return blinding


def blind(point: Point, blinding: int, base: Point) -> Point:
    """point + b H."""
    return combine([point, base], [1, blinding])


@dataclass(frozen=True)
class Blindings:
    """b of every commitment of a statement: of the step key's points and of the inputs, in their orders."""

    key: tuple[int, ...] = field(repr=False)
    inputs: tuple[int, ...] = field(repr=False)

    def check(self, statement: Statement) -> None:
        """Raise BadInputError unless there is a blinding for each point, canonical, and not zero but for infinity.

        The point at infinity stands for a stream that nobody wrote, which is no secret. A zero for any other point
        would open a deterministic commitment, from which weights and activations can be guessed and compared.
        """
        for name, points, blindings in (
            ("key", statement.key.points, self.key),
            ("inputs", statement.inputs, self.inputs),
        ):
            if len(points) != len(blindings):
                raise BadInputError(
                    f"blindings.{name} has {len(blindings)} numbers for {len(points)} commitments: give one for each"
                )
            for index, (point, blinding) in enumerate(zip(points, blindings, strict=True)):
                if not 0 <= blinding < MODULUS:
                    raise BadInputError(
                        f"blindings.{name}[{index}] is not a field element: reduce it modulo r"
                    )
                if blinding == 0 and point != INFINITY:
                    raise BadInputError(
                        f"blindings.{name}[{index}] is zero, so its commitment hides nothing: commit again with a"
                        " uniform blinding"
                    )

    def by_chunk(self, key: VerifyingKey, statement: Statement) -> dict[Hashable, int]:
        """b by the key of a chunk, as claims name them."""
        plan, mu = key.plan, key.chunk_bits
        found: dict[Hashable, int] = dict(
            zip(input_chunks(plan, statement.publics, mu), self.inputs, strict=True)
        )
        found.update(((WEIGHTS, index), blinding) for index, blinding in enumerate(self.key))
        return found


__all__ = [
    "Blindings",
    "blind",
    "blinding_base",
    "draw_blinding",
    "system_scalar",
]
