"""Statements with their proofs, as the two verifiers take them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from prover.argument.commitment import commit_chunks
from prover.curve.g1 import Point, point_from_bytes, point_to_bytes
from prover.embedding import EmbeddingKey, MaskedQuotient, verify_embedding
from prover.embedding_prover import prove_embedding
from prover.errors import BadInputError, ProofRejectedError
from prover.plan import PRIVATE
from prover.proof import Proof
from prover.statement import Statement, StepKey, VerifyingKey
from prover.verify import verify
from tests.prover.private.statements import private
from tests.verifier_gen.evm import Verifier
from tests.verifier_gen.statements import privacy_of, prove_random_embedding

from ..prover.operators.random_layers import SMALL, padded
from ..prover.statements import proven, srs

Calldata = tuple[bytes, list[int], bytes]
"""key, inputs, proof"""


@dataclass(frozen=True)
class StepClaim:
    """A statement about a step, and what is said to prove it."""

    statement: Statement
    proof: Proof

    def calldata(self) -> Calldata:
        words = [*self.statement.publics.values(), *(c for point in self.statement.inputs for c in point)]
        return self.statement.key.encode(), words, self.proof.encode()

    def verify(self, key: VerifyingKey) -> None:
        step_key = StepKey.decode(self.statement.key.encode(), key.plan, key.chunk_bits)
        verify(key, replace(self.statement, key=step_key), self.proof.encode())


@dataclass(frozen=True)
class EmbeddingClaim:
    """Embedding rows, the window that holds them, and the quotient that proves it."""

    rows: tuple[Point, ...]
    window: Point
    quotient: Point

    def calldata(self) -> Calldata:
        return b"", [c for point in (*self.rows, self.window) for c in point], _two_words(self.quotient)

    def verify(self, key: EmbeddingKey) -> None:
        verify_embedding(key, self.rows, self.window, _two_words(self.quotient))


@dataclass(frozen=True)
class MaskedEmbeddingClaim:
    """The same of a private model, with what is sent in its proof."""

    rows: tuple[Point, ...]
    window: Point
    mask: Point
    value: int
    blinding: int
    quotient: Point

    @property
    def proof(self) -> MaskedQuotient:
        return MaskedQuotient(self.mask, self.value, self.blinding, self.quotient)

    def calldata(self) -> Calldata:
        return b"", [c for point in (*self.rows, self.window) for c in point], self.proof.encode()

    def verify(self, key: EmbeddingKey) -> None:
        verify_embedding(key, self.rows, self.window, self.proof.encode())


def _two_words(point: Point) -> bytes:
    return b"".join(coordinate.to_bytes(32, "big") for coordinate in point)


Claim = StepClaim | EmbeddingClaim | MaskedEmbeddingClaim
Key = VerifyingKey | EmbeddingKey


@cache
def true_claim(kind: str, window: int = 0, seed: int = 1) -> tuple[Key, Claim]:
    """A claim that both verifiers accept."""
    if kind == "embedding":
        return _true_embedding(seed)
    plain, privacy = privacy_of(kind)
    if kind == "private embedding":
        return _true_masked_embedding(seed)
    if privacy == PRIVATE:
        hidden = private(plain, window, seed)
        return hidden.key, StepClaim(hidden.statement, hidden.proof)
    case = proven(kind, window, seed)
    return case.verifying_key, StepClaim(case.statement, case.proof)


def _true_embedding(seed: int) -> tuple[EmbeddingKey, EmbeddingClaim]:
    """29 tokens and three padded positions."""
    key = EmbeddingKey.create(SMALL.channel_bits, srs())
    values = np.random.default_rng(seed).integers(-30_000, 30_000, (29, SMALL.hidden))
    rows = padded(values, (32, 1 << SMALL.channel_bits))
    points = tuple(commit_chunks(srs().g1, list(rows)))
    (window,) = commit_chunks(srs().g1, [rows.reshape(-1)])
    proof = prove_embedding(key, srs(), points, window, rows[:, : SMALL.hidden], rows)
    assert point_to_bytes(point_from_bytes(proof)) == proof
    return key, EmbeddingClaim(points, window, point_from_bytes(proof))


def _true_masked_embedding(seed: int) -> tuple[EmbeddingKey, MaskedEmbeddingClaim]:
    proven = prove_random_embedding(srs(), privacy=PRIVATE, seed=seed)
    key, words = proven.verifying_key, proven.inputs
    assert isinstance(key, EmbeddingKey)
    points = list(zip(words[::2], words[1::2], strict=True))
    proof = MaskedQuotient.decode(proven.proof)
    sent = (proof.mask, proof.value, proof.blinding, proof.quotient)
    return key, MaskedEmbeddingClaim(tuple(points[:-1]), points[-1], *sent)


def python_rejects(key: Key, claim: Claim) -> bool:
    """With a typed error; anything else is a failure of the verifier."""
    try:
        claim.verify(key)  # type: ignore[arg-type]
    except (ProofRejectedError, BadInputError):
        return True
    return False


def contract_rejects(verifier: Verifier, claim: Claim) -> bool:
    return verifier.verdict(*claim.calldata()) != "accepted"
