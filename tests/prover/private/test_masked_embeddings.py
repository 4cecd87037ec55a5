"""The masked quotient of a private embedding hides: its masks reach every transcript, and a simulator needs no rows."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from prover import embedding, hiding
from prover.argument.commitment import commit_chunks
from prover.argument.transcript import Transcript
from prover.curve.g1 import GENERATOR, INFINITY, add, multiply, negate
from prover.curve.srs import SRS, _devnet_tau
from prover.embedding import PRIVATE_PROOF_BYTES, EmbeddingKey, MaskedQuotient, row_powers, verify_embedding
from prover.embedding_prover import prove_embedding
from prover.errors import ProofRejectedError
from prover.field.arrays import MODULUS
from prover.hidden_points import blind_all
from prover.hiding import Blindings
from prover.plan import PRIVATE
from tests.prover.operators.random_layers import SMALL, padded
from tests.prover.private.statements import seeded
from tests.prover.statements import srs


class _Fixed(Transcript):
    def challenge(self, label: str, words: object = (), index: int = 0) -> int:
        return 23


@pytest.fixture
def prove(monkeypatch: pytest.MonkeyPatch) -> Callable[..., MaskedQuotient]:
    """A prover with given masks (a, c, b') under fixed challenges: everything else stays as it is."""
    values = np.random.default_rng(1).integers(-9, 9, (29, SMALL.hidden))
    key = EmbeddingKey.create(SMALL.channel_bits, srs(), PRIVATE)
    monkeypatch.setattr(EmbeddingKey, "challenge", lambda *_: (29, _Fixed("fixed")))
    rows = padded(values, (32, 1 << SMALL.channel_bits))
    plain = commit_chunks(srs().g1, [*rows, rows.reshape(-1)])
    own = tuple(0 if point == INFINITY else 7 + i for i, point in enumerate(plain))
    points = blind_all(plain, own, srs().digest)

    def run(*masks: int) -> MaskedQuotient:
        source = iter(masks)
        encoded = prove_embedding(
            key, srs(), points[:-1], points[-1], rows, rows.reshape(-1), Blindings((), own), lambda: next(source)
        )  # fmt: skip
        return MaskedQuotient.decode(encoded)

    return run


def test_each_mask_changes_what_it_must(prove: Callable[..., MaskedQuotient]) -> None:
    """(a, c, b') move (P, v, quotient) by [1], 1, 0 / [tau], z, [1] / H, 0, 0: a matrix whose determinant is H's logarithm."""
    base = prove(11, 13, 17)
    assert len(base.encode()) == PRIVATE_PROOF_BYTES == 192
    one, tau = commit_chunks(srs().g1, [np.array([1]), np.array([0, 1])])
    expected = {
        (12, 13, 17): (one, 1, INFINITY, 0),
        (11, 14, 17): (tau, 29, one, 0),
        (11, 13, 18): (hiding.blinding_base(srs().digest), 0, INFINITY, 1),
    }
    for masks, (mask, value, quotient, blinding) in expected.items():
        other = prove(*masks)
        assert add(other.mask, negate(base.mask)) == mask
        assert add(other.quotient, negate(base.quotient)) == quotient
        assert (other.value - base.value) % MODULUS == value
        assert (other.blinding - base.blinding) % MODULUS == blinding


@pytest.mark.parametrize("order", [3, 5])
def test_every_transcript_comes_up_once_whatever_the_secrets_are(order: int) -> None:
    """That matrix over a small field, with all masks: exactly once each; without one of the three, or with c alone in v, not."""
    field = range(order)
    for tau, z, h in itertools.product(field, field, range(1, order)):
        for secret in field:  # what the masks are added to: epsilon [Q / (X - z)]
            seen = Counter(
                ((a + c * tau + b * h) % order, (a + c * z) % order, (c + secret) % order)
                for a, c, b in itertools.product(field, field, field)
            )
            assert len(seen) == order**3 and set(seen.values()) == {1}
            assert len({(c * z % order, (c + secret) % order) for c in field}) < order**2  # without a
            assert len({(a % order, secret) for a in field}) < order**2  # without c


def test_a_simulator_makes_accepted_proofs_about_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """With tau and the logarithm of H, and neither rows nor blindings: points drawn at random, all of them multiples that it knows."""
    source, logarithm = random.Random(4), 1234577
    monkeypatch.setattr(embedding, "blinding_base", lambda digest: multiply(GENERATOR, logarithm))
    string = SRS.devnet(14)
    tau = _devnet_tau()
    key = EmbeddingKey.create(SMALL.channel_bits, string, PRIVATE)
    drawn = [source.randrange(1, MODULUS) for _ in range(35)]  # rows, window, P, quotient
    points = [multiply(GENERATOR, x) for x in drawn]
    *rows, window, mask, quotient = drawn
    z, transcript = key.challenge(points[:32], points[32], points[33])
    value = source.randrange(MODULUS)
    epsilon = transcript.challenge("embedding.epsilon", [value])
    powers = row_powers(key, z)
    combined = window - sum(power * row for power, row in zip(powers, rows, strict=True))
    rest = epsilon * combined + mask - value + (z - tau) * quotient
    blinding = rest * pow(logarithm, -1, MODULUS) % MODULUS
    proof = MaskedQuotient(points[33], value, blinding, points[34])
    verify_embedding(key, points[:32], points[32], proof.encode())


def test_two_proofs_share_nothing(prove: Callable[..., MaskedQuotient]) -> None:
    first, second = (prove(*itertools.starmap(seeded(i), [()] * 3)) for i in (1, 2))
    assert first.mask != second.mask and first.quotient != second.quotient
    assert first.value != second.value and first.blinding != second.blinding


@pytest.mark.parametrize(("name", "word"), [("value", 2), ("blinding", 3)])
def test_a_scalar_has_one_encoding(prove: Callable[..., MaskedQuotient], name: str, word: int) -> None:
    encoded = prove(11, 13, 17).encode()
    for least, refused in ((MODULUS - 1, False), (MODULUS, True)):
        changed = encoded[: 32 * word] + least.to_bytes(32, "big") + encoded[32 * (word + 1) :]
        if refused:
            with pytest.raises(ProofRejectedError, match=f"{name} is not reduced"):
                MaskedQuotient.decode(changed)
        else:
            assert MaskedQuotient.decode(changed).encode() == changed
