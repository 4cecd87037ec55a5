"""The blindings of a private model's commitments, all from one secret seed.

    b = 1 + HMAC-SHA-512(seed, domain || context || kind || indices) mod (r - 1)

context: the digests of the model's integers, its architecture and its SRS, so that one seed under two contents gives unrelated
blindings. Every weight chunk, every embedding row, every head row and every window of a response has a number of its own. 512 bits
modulo r - 1 are uniform but for 2^-258, and never zero.

Numbers from a pseudorandom function hide as long as nobody tells it from a random one, which here rests on HMAC-SHA-512 with a key of 256
bits. A stored list of scalars would hide whatever an adversary can compute, but what protects the list, a file's cipher, is of the
same kind, and so is the rest of the system.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field

from eth_hash.auto import keccak

from .curve.srs import SRS
from .field.arrays import MODULUS
from .model.weights import IntegerModel

SEED_BYTES = 32
_DOMAIN = b"gainsay.model.blindings.1"
_KINDS = {"identity": 0, "weight": 1, "embedding": 2, "head": 3, "window": 4}


@dataclass(frozen=True)
class ModelBlindings:
    """b of everything that is committed once about a private model."""

    seed: bytes = field(repr=False)
    context: bytes

    @classmethod
    def draw(cls, context: bytes) -> ModelBlindings:
        """With a seed from the operating system."""
        return cls(secrets.token_bytes(SEED_BYTES), context)

    @property
    def identity(self) -> bytes:
        """32 bytes that tell seeds apart and nothing about them: which blindings a commitment was made with."""
        return self._output("identity")[:32]

    def of_step(self, step: int, count: int) -> tuple[int, ...]:
        """b of the `count` points of a step key, in their order."""
        return tuple(self._scalar("weight", step, chunk) for chunk in range(count))

    def of_row(self, token: int) -> tuple[int, int]:
        """b of a token's embedding row and of its head row."""
        return self._scalar("embedding", token), self._scalar("head", token)

    def of_rows(self, kind: str, first: int, count: int) -> list[int]:
        """b of `count` rows of the embedding or of the head, from token `first` on."""
        return [self._scalar(kind, token) for token in range(first, first + count)]

    def of_response(self, nonce: bytes) -> ResponseBlindings:
        """Those of a response's windows. A nonce belongs to one run: another run, a retry too, takes another nonce."""
        return ResponseBlindings(self, nonce)

    def _scalar(self, kind: str, *indices: int, of: bytes = b"") -> int:
        return 1 + int.from_bytes(self._output(kind, *indices, of=of), "big") % (MODULUS - 1)

    def _output(self, kind: str, *indices: int, of: bytes = b"") -> bytes:
        words = b"".join(index.to_bytes(8, "big") for index in indices)
        return hmac.digest(self.seed, _DOMAIN + self.context + bytes([_KINDS[kind]]) + words + of, "sha512")


@dataclass(frozen=True)
class ResponseBlindings:
    """b of the windows of one response's streams: whoever has seed and nonce makes the same commitments again."""

    model: ModelBlindings
    nonce: bytes

    def __post_init__(self) -> None:
        if len(self.nonce) != SEED_BYTES:
            raise ValueError(f"the nonce of a response has {len(self.nonce)} bytes: draw {SEED_BYTES}")

    @classmethod
    def draw(cls, model: ModelBlindings) -> ResponseBlindings:
        """With a nonce from the operating system."""
        return cls(model, secrets.token_bytes(SEED_BYTES))

    def of_window(self, boundary: int, stream: int, window: int) -> int:
        """b of a window of the stream with this number; boundary: the first one at which the stream has this content."""
        return self.model._scalar("window", boundary, stream, window, of=self.nonce)


def context_of(model: IntegerModel, srs: SRS, architecture_digest: bytes) -> bytes:
    """What the blindings of a model are for. It is a fingerprint of the weights, and never published."""
    return keccak(_DOMAIN + model.digest + srs.digest + architecture_digest)


__all__ = ["SEED_BYTES", "ModelBlindings", "ResponseBlindings", "context_of"]
