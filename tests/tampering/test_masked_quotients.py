"""Private embeddings: a prover of a false window that chooses a part of its masked quotient last is rejected, by both verifiers.

Each forgery satisfies the verifier's equation for the challenges that the prover had in mind, and is accepted when they are not drawn
anew: what rejects it is the order in which things are absorbed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from prover import embedding_prover
from prover.argument.commitment import commit_chunks, commit_field
from prover.argument.multilinear import to_field
from prover.argument.transcript import Transcript
from prover.curve.combinations import combine
from prover.curve.g1 import INFINITY
from prover.embedding import EmbeddingKey, MaskedQuotient, row_powers
from prover.embedding_prover import prove_embedding
from prover.errors import BadInputError, ProofRejectedError
from prover.field import arrays
from prover.field.arrays import MODULUS
from prover.hidden_points import blind_all
from prover.hiding import Blindings, blinding_base, draw_blinding
from prover.plan import PRIVATE
from tests.prover.operators.random_layers import SMALL, padded
from tests.prover.private.statements import seeded
from tests.prover.statements import srs
from tests.verifier_gen.evm import Verifier

from .claims import MaskedEmbeddingClaim, contract_rejects

Verifiers = Callable[[str], Verifier]


class Fixed(Transcript):
    """A transcript whose later challenges are known beforehand."""

    def __init__(self, epsilon: int) -> None:
        super().__init__("fixed")
        self._epsilon = epsilon

    def challenge(self, label: str, words: object = (), index: int = 0) -> int:
        return self._epsilon


def fix(monkeypatch: pytest.MonkeyPatch, z: int | None, epsilon: int) -> None:
    """The verifier draws these challenges, whatever was sent; z None: its own."""
    draw = EmbeddingKey.challenge

    def fixed(key: EmbeddingKey, *absorbed: object) -> tuple[int, Transcript]:
        return (draw(key, *absorbed)[0] if z is None else z), Fixed(epsilon)  # type: ignore[arg-type]

    monkeypatch.setattr(EmbeddingKey, "challenge", fixed)


@dataclass
class Liar:
    """Rows, and a window in which one value is another; who knows all blindings, and proves with any challenges."""

    seed: int = 1

    def __post_init__(self) -> None:
        self.key = EmbeddingKey.create(SMALL.channel_bits, srs(), PRIVATE)
        values = np.random.default_rng(self.seed).integers(-30_000, 30_000, (29, SMALL.hidden))
        self.row_values = padded(values, (32, 1 << SMALL.channel_bits))
        self.window_values = self.row_values.copy()
        self.window_values[3, 5] += 1
        plain = commit_chunks(srs().g1, [*self.row_values, self.window_values.reshape(-1)])
        scalar = seeded(self.seed)
        self.blindings = [0 if p == INFINITY else draw_blinding(scalar) for p in plain]
        *self.rows, self.window = blind_all(plain, self.blindings, srs().digest)

    def claim(self, proof: MaskedQuotient) -> MaskedEmbeddingClaim:
        return MaskedEmbeddingClaim(
            tuple(self.rows), self.window, proof.mask, proof.value, proof.blinding, proof.quotient
        )

    def mask(self, constant: int, slope: int, blinding: int) -> tuple[int, int]:
        points = [*commit_chunks(srs().g1, [np.array([1]), np.array([0, 1])]), blinding_base(srs().digest)]
        return combine(points, [constant, slope, blinding])

    def difference(self, z: int) -> list[int]:
        """Coefficients of Q."""
        return arrays.to_ints(
            embedding_prover._difference(self.key, z, self.row_values, self.window_values.reshape(-1))
        )

    def blinding(self, z: int) -> int:
        weights = [-power for power in row_powers(self.key, z)]
        return sum(w * b for w, b in zip([*weights, 1], self.blindings, strict=True)) % MODULUS

    def error(self, z: int) -> int:
        """Q(z), which is not zero."""
        return sum(c * pow(z, i, MODULUS) for i, c in enumerate(self.difference(z)) if c) % MODULUS

    def forged(
        self, z: int, epsilon: int, constant: int = 11, slope: int = 13, own: int = 17, shift: int = 0
    ) -> MaskedQuotient:
        """What satisfies the equation at (z, epsilon); shift: added to b* and taken from the quotient's part of H, which it has not."""
        polynomial = [epsilon * c % MODULUS for c in self.difference(z)]
        polynomial[0] += constant
        polynomial[1] += slope
        value = (epsilon * self.error(z) + constant + slope * z) % MODULUS
        quotient = embedding_prover._quotient(srs(), polynomial, z)
        blinding = (epsilon * self.blinding(z) + own + shift) % MODULUS
        return MaskedQuotient(self.mask(constant, slope, own), value, blinding, quotient)


@pytest.fixture(scope="module")
def liar() -> Liar:
    return Liar()


def _rejected(liar: Liar, proof: MaskedQuotient, verifier: Verifier) -> None:
    claim = liar.claim(proof)
    with pytest.raises(ProofRejectedError):
        claim.verify(liar.key)
    assert contract_rejects(verifier, claim)


def _accepted_with(liar: Liar, proof: MaskedQuotient, z: int | None, epsilon: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        fix(patch, z, epsilon)
        liar.claim(proof).verify(liar.key)


def test_who_proves_honestly_what_is_false_is_rejected(liar: Liar, verifier_of: Verifiers) -> None:
    encoded = prove_embedding(
        liar.key, srs(), liar.rows, liar.window, liar.row_values, liar.window_values.reshape(-1),
        Blindings((), tuple(liar.blindings)), seeded(3),
    )  # fmt: skip
    _rejected(liar, MaskedQuotient.decode(encoded), verifier_of("private embedding"))


def test_a_value_chosen_after_epsilon_is_rejected(liar: Liar, verifier_of: Verifiers) -> None:
    """v = epsilon Q(z) + p(z) makes up for any error. Its epsilon is the one of another v."""
    z, transcript = liar.key.challenge(liar.rows, liar.window, liar.mask(11, 13, 17))
    epsilon = transcript.challenge("embedding.epsilon", [(11 + 13 * z) % MODULUS])
    proof = liar.forged(z, epsilon)
    _accepted_with(liar, proof, None, epsilon)
    _rejected(liar, proof, verifier_of("private embedding"))


def test_a_mask_chosen_after_the_challenges_is_rejected(liar: Liar, verifier_of: Verifiers) -> None:
    """The mask takes the error up: p(z) = v - epsilon Q(z) for the v that was sent. Its z is that of another mask."""
    z, transcript = liar.key.challenge(liar.rows, liar.window, liar.mask(11, 13, 17))
    value = (11 + 13 * z) % MODULUS
    epsilon = transcript.challenge("embedding.epsilon", [value])
    proof = liar.forged(z, epsilon, constant=(11 - epsilon * liar.error(z)) % MODULUS)
    assert proof.value == value
    _accepted_with(liar, proof, z, epsilon)
    _rejected(liar, proof, verifier_of("private embedding"))


def test_a_window_chosen_after_z_is_rejected(liar: Liar, verifier_of: Verifiers) -> None:
    """A window that agrees with the rows at one z only."""
    z, _ = liar.key.challenge(liar.rows, liar.window, liar.mask(11, 13, 17))
    other = Liar()
    content = to_field(liar.window_values.reshape(-1))
    content[0] = arrays.from_ints([(arrays.to_ints(content[:1])[0] - liar.error(z)) % MODULUS])[0]
    (other.window,) = blind_all([commit_field(srs().g1, content)], [liar.blindings[-1]], srs().digest)
    epsilon = 23
    polynomial = [epsilon * c % MODULUS for c in liar.difference(z)]
    polynomial[0] += 11 - epsilon * liar.error(z)
    polynomial[1] += 13
    proof = MaskedQuotient(
        liar.mask(11, 13, 17), (11 + 13 * z) % MODULUS, (epsilon * liar.blinding(z) + 17) % MODULUS,
        embedding_prover._quotient(srs(), polynomial, z),
    )  # fmt: skip
    _accepted_with(other, proof, z, epsilon)
    _rejected(other, proof, verifier_of("private embedding"))


def test_a_blinding_is_determined(liar: Liar) -> None:
    """b* of a proof that is right in all else, and one of the same statement with a window's blinding left out."""
    z, epsilon = 29, 23
    right = liar.forged(z, epsilon)
    for wrong in (
        replace(right, blinding=(right.blinding + 1) % MODULUS),
        liar.forged(z, epsilon, shift=-epsilon * liar.blindings[-1] % MODULUS),
        liar.forged(z, epsilon, shift=-17),
    ):
        with pytest.MonkeyPatch.context() as patch:
            fix(patch, z, epsilon)
            with pytest.raises(ProofRejectedError):
                liar.claim(wrong).verify(liar.key)


def test_what_is_proven_needs_its_blindings(liar: Liar) -> None:
    values = (liar.row_values, liar.window_values.reshape(-1))
    for key, given, match in (
        (liar.key, None, "with the blindings of its commitments"),
        (EmbeddingKey.create(SMALL.channel_bits, srs()), liar.blindings, "a public one without any"),
        (liar.key, liar.blindings[:-1], "give one for each"),
        (liar.key, [0] * 33, "hides nothing"),
    ):
        blindings = None if given is None else Blindings((), tuple(given))
        with pytest.raises(BadInputError, match=match):
            prove_embedding(key, srs(), liar.rows, liar.window, *values, blindings)
