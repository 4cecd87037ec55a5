"""The embedding statement: a window of b_0 holds the committed embedding rows of its 32 tokens.

Window and rows are commitments of coefficient vectors, W(X) and E_i(X), and the row-major window is exactly
    W(X) = sum_i X^(i * padded_d) E_i(X).
At a random z this is a statement about one linear combination of commitments,
    Q = W - sum_i z^(i * padded_d) E_i,   Q(z) = 0,
proven by a single KZG quotient: e(Q + z * quotient, [1]_2) = e(quotient, [tau]_2).

Soundness error: (published powers of tau) / r, by Schwartz-Zippel over all coefficients that a commitment can have, those
beyond the window's length included: the window commitment is unique (docs/uniqueness.md). Why not a layer program like the others: this needs 64 bytes instead of 5 KB,
and covers 32 rows at once, so a challenger need not know which row of a window is wrong (it cannot: it sees
commitments only).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from eth_hash.auto import keccak

from .argument.commitment import commit_field
from .argument.multilinear import accumulate, to_field
from .argument.transcript import Transcript
from .canonical_form import embedding_form, encode
from .chunk_size import check_window
from .curve.g1 import Point, negate, point_to_bytes
from .curve.msm import combine
from .curve.pairing import pairing_check
from .curve.srs import SRS
from .errors import BadInputError, ProofRejectedError
from .field import arrays
from .field.arrays import MODULUS
from .program import WINDOW_ROWS
from .proof import check_point

TRANSCRIPT_DOMAIN = "gainsay.embedding.1"
PROOF_BYTES = 64


@dataclass(frozen=True)
class EmbeddingKey:
    """What both sides agree on. channel_bits: index bits of a row (2^channel_bits = padded_d)."""

    channel_bits: int
    chunk_bits: int
    srs_digest: bytes
    g2_one: tuple[tuple[int, int], tuple[int, int]]
    g2_tau: tuple[tuple[int, int], tuple[int, int]]

    @classmethod
    def create(cls, channel_bits: int, srs: SRS) -> EmbeddingKey:
        """The key for rows of 2^channel_bits entries under an SRS. Raises ChunkSizeError when its size does not suit them."""
        check_window(channel_bits, srs.mu)
        return cls(channel_bits, srs.mu, srs.digest, srs.g2_one, srs.g2_tau)

    @property
    def digest(self) -> bytes:
        """Keccak of the canonical form of the statement (canonical_form.py)."""
        return keccak(
            encode(embedding_form(TRANSCRIPT_DOMAIN, WINDOW_ROWS, self.channel_bits, self.chunk_bits))
        )

    def challenge(self, rows: Sequence[Point], window: Point) -> int:
        """z, from everything that the equation uses."""
        words = [
            int.from_bytes(self.digest, "big"),
            int.from_bytes(self.srs_digest, "big"),
            *(c for point in (*rows, window) for c in point),
        ]
        return Transcript(TRANSCRIPT_DOMAIN).challenge("embedding.z", words)


def prove_embedding(
    key: EmbeddingKey,
    srs: SRS,
    rows: Sequence[Point],
    window: Point,
    row_values: np.ndarray,
    window_values: np.ndarray,
) -> bytes:
    """The quotient's commitment, 64 bytes. row_values (32, d) and window_values (32, padded_d) are integers."""
    z = key.challenge(rows, window)
    padded = 1 << key.channel_bits
    difference = to_field(window_values)
    power, step = 1, pow(z, padded, MODULUS)
    for row in row_values:
        accumulate(difference, np.ascontiguousarray(row, dtype=np.int64), -power)
        power = power * step % MODULUS
    coefficients = arrays.to_ints(difference)
    quotient, carry = [0] * len(coefficients), 0
    for index in range(len(coefficients) - 1, -1, -1):
        quotient[index] = carry
        carry = (coefficients[index] + z * carry) % MODULUS
    return point_to_bytes(commit_field(srs.g1, arrays.from_ints(quotient)))


def verify_embedding(key: EmbeddingKey, rows: Sequence[Point], window: Point, encoded: bytes) -> None:
    """Raise ProofRejectedError unless the window holds the rows. A padded position has the row (0, 0)."""
    if len(rows) != WINDOW_ROWS:
        raise BadInputError(f"an embedding statement has {WINDOW_ROWS} rows, got {len(rows)}")
    for index, point in enumerate((*rows, window)):
        check_point(point, f"input {index}")
    if len(encoded) != PROOF_BYTES:
        raise ProofRejectedError(f"the proof has {len(encoded)} bytes; an embedding proof has {PROOF_BYTES}")
    quotient = check_point(
        (int.from_bytes(encoded[:32], "big"), int.from_bytes(encoded[32:], "big")), "quotient"
    )
    z = key.challenge(rows, window)
    step = pow(z, 1 << key.channel_bits, MODULUS)
    scalars, power = [], MODULUS - 1
    for _ in rows:
        scalars.append(power)
        power = power * step % MODULUS
    left = combine([window, quotient, *rows], [1, z, *scalars])
    if not pairing_check([(left, key.g2_one), (negate(quotient), key.g2_tau)]):
        raise ProofRejectedError("the window does not hold these embedding rows")
