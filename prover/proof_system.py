"""All verifying keys of one architecture under one SRS."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

from eth_hash.auto import keccak

from .architectures.llama import LlamaConfig
from .curve.srs import SRS
from .embedding import EmbeddingKey
from .statement import VerifyingKey

PROGRAM_KINDS = ("mlp", "attention", "head")


@dataclass(frozen=True, eq=False)
class ProofSystem:
    """Verifying keys are made on first use (committing the public tables takes about a second)."""

    config: LlamaConfig
    srs: SRS

    def verifying_key(self, kind: str) -> VerifyingKey:
        """The key of a layer program: "mlp", "attention" or "head"."""
        return self._keys(kind)

    @cached_property
    def _keys(self):  # type: ignore[no-untyped-def]
        return cache(lambda kind: VerifyingKey.create(self.config.programs[kind], self.srs))

    @cached_property
    def embedding_key(self) -> EmbeddingKey:
        """The key of the embedding statement."""
        return EmbeddingKey.create(self.config.channel_bits, self.srs)

    @cached_property
    def architecture_digest(self) -> bytes:
        """Keccak over the digests of the four verifiers, mlp, attention, head, embedding."""
        digests = [self.verifying_key(kind).digest for kind in PROGRAM_KINDS]
        return keccak(b"".join([*digests, self.embedding_key.digest]))
