"""The embedding statement: a window of b_0 holds the committed embedding rows of its 32 tokens.

Window and rows are commitments of coefficient vectors, W(X) and E_i(X), and the row-major window is exactly
    W(X) = sum_i X^(i * padded_d) E_i(X).
At a random z this is a statement about one linear combination of commitments,
    Q = W - sum_i z^(i * padded_d) E_i,   Q(z) = 0,
proven by a single KZG quotient: e(Q + z * quotient, [1]_2) = e(quotient, [tau]_2).

A private model's rows and window are hiding commitments (hiding.py), and its proof a masked quotient, with p = a + c X uniform:

    P = [p] + b' H                         sent                                get z
    v = p(z)                               sent                                get epsilon
    b* = epsilon b_Q + b', [quotient]      sent, of (epsilon Q + p - v) / (X - z)
    e(epsilon Q + P - b* H - v [1] + z * quotient, [1]_2) = e(quotient, [tau]_2)

Whatever p is, two values of epsilon show Q(z) = 0; and (a, c, b') make (v, quotient, P) uniform whatever Q is (docs/zero-knowledge.md, section 6).

Soundness error: (published powers of tau) / r, by Schwartz-Zippel over all coefficients that a commitment can have, those
beyond the window's length included: the window commitment is unique (docs/uniqueness.md). Why not a layer program like the others: this needs 64 bytes instead of 5 KB,
and covers 32 rows at once, so a challenger need not know which row of a window is wrong (it cannot: it sees
commitments only).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eth_hash.auto import keccak

from .argument.transcript import Transcript
from .canonical_form import embedding_form, encode
from .chunk_size import check_window
from .curve.combinations import combine
from .curve.g1 import GENERATOR, Point, negate, point_to_bytes
from .curve.pairing_checks import pairing_check
from .curve.srs import SRS
from .errors import BadInputError, ProofRejectedError
from .field.reference import SCALAR_MODULUS as MODULUS
from .hiding import blinding_base
from .plan import PUBLIC, Privacy
from .program import WINDOW_ROWS
from .proof import check_point

TRANSCRIPT_DOMAIN = "gainsay.embedding.1"
PROOF_BYTES, PRIVATE_PROOF_BYTES = 64, 192


@dataclass(frozen=True)
class EmbeddingKey:
    """What both sides agree on. channel_bits: index bits of a row (2^channel_bits = padded_d).

    privacy: whether rows and window are hiding commitments.
    """

    channel_bits: int
    chunk_bits: int
    srs_digest: bytes
    g2_one: tuple[tuple[int, int], tuple[int, int]]
    g2_tau: tuple[tuple[int, int], tuple[int, int]]
    privacy: Privacy = PUBLIC

    @classmethod
    def create(cls, channel_bits: int, srs: SRS, privacy: Privacy = PUBLIC) -> EmbeddingKey:
        """The key for rows of 2^channel_bits entries under an SRS. Raises ChunkSizeError when its size does not suit them."""
        check_window(channel_bits, srs.mu)
        return cls(channel_bits, srs.mu, srs.digest, srs.g2_one, srs.g2_tau, privacy)

    @property
    def proof_bytes(self) -> int:
        """Length of a proof."""
        return PROOF_BYTES if self.privacy == PUBLIC else PRIVATE_PROOF_BYTES

    @property
    def digest(self) -> bytes:
        """Keccak of the canonical form of the statement (canonical_form.py)."""
        form = embedding_form(
            TRANSCRIPT_DOMAIN, WINDOW_ROWS, self.channel_bits, self.chunk_bits, self.privacy
        )
        return keccak(encode(form))

    def challenge(
        self, rows: Sequence[Point], window: Point, mask: Sequence[int] = ()
    ) -> tuple[int, Transcript]:
        """z and its transcript, from everything that the equation uses; mask: the words of P."""
        words = [
            int.from_bytes(self.digest, "big"),
            int.from_bytes(self.srs_digest, "big"),
            *(c for point in (*rows, window) for c in point),
            *mask,
        ]
        transcript = Transcript(TRANSCRIPT_DOMAIN)
        return transcript.challenge("embedding.z", words), transcript


@dataclass(frozen=True)
class MaskedQuotient:
    """A private proof, in the order in which it is sent."""

    mask: Point
    value: int
    blinding: int
    quotient: Point

    def encode(self) -> bytes:
        """P, v, b*, quotient."""
        scalars = b"".join(scalar.to_bytes(32, "big") for scalar in (self.value, self.blinding))
        return point_to_bytes(self.mask) + scalars + point_to_bytes(self.quotient)

    @classmethod
    def decode(cls, encoded: bytes) -> MaskedQuotient:
        """Strict inverse. Raises ProofRejectedError."""
        words = [int.from_bytes(encoded[i : i + 32], "big") for i in range(0, PRIVATE_PROOF_BYTES, 32)]
        for name, scalar in (("value", words[2]), ("blinding", words[3])):
            if scalar >= MODULUS:
                raise ProofRejectedError(f"the proof's {name} is not reduced modulo r")
        return cls(
            check_point((words[0], words[1]), "mask"),
            words[2],
            words[3],
            check_point((words[4], words[5]), "quotient"),
        )


def row_powers(key: EmbeddingKey, z: int) -> list[int]:
    """z^(i 2^channel_bits) of every row."""
    power, step, powers = 1, pow(z, 1 << key.channel_bits, MODULUS), []
    for _ in range(WINDOW_ROWS):
        powers.append(power)
        power = power * step % MODULUS
    return powers


def verify_embedding(key: EmbeddingKey, rows: Sequence[Point], window: Point, encoded: bytes) -> None:
    """Raise ProofRejectedError unless the window holds the rows. A padded position has the row (0, 0)."""
    if len(rows) != WINDOW_ROWS:
        raise BadInputError(f"an embedding statement has {WINDOW_ROWS} rows, got {len(rows)}")
    for index, point in enumerate((*rows, window)):
        check_point(point, f"input {index}")
    if len(encoded) != key.proof_bytes:
        raise ProofRejectedError(
            f"the proof has {len(encoded)} bytes; an embedding proof has {key.proof_bytes}"
        )
    if key.privacy == PUBLIC:
        words = (int.from_bytes(encoded[:32], "big"), int.from_bytes(encoded[32:], "big"))
        quotient = check_point(words, "quotient")
        (z, _), epsilon = key.challenge(rows, window), 1
        more: list[tuple[Point, int]] = []
    else:
        proof = MaskedQuotient.decode(encoded)
        quotient = proof.quotient
        z, transcript = key.challenge(rows, window, proof.mask)
        epsilon = transcript.challenge("embedding.epsilon", [proof.value])
        more = [
            (proof.mask, 1),
            (blinding_base(key.srs_digest), -proof.blinding),
            (GENERATOR, -proof.value),
        ]
    terms = [
        (window, epsilon),
        (quotient, z),
        *((row, -epsilon * power) for row, power in zip(rows, row_powers(key, z), strict=True)),
        *more,
    ]
    left = combine([point for point, _ in terms], [scalar % MODULUS for _, scalar in terms])
    if not pairing_check([(left, key.g2_one), (negate(quotient), key.g2_tau)]):
        raise ProofRejectedError("the window does not hold these embedding rows")
