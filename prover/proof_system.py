"""All verifying keys of one architecture under one SRS, of public models or of private ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock

from eth_hash.auto import keccak

from .architectures import ModelConfig
from .architectures.audit_steps import HEAD_TILE, statement_programs
from .architectures.config import HEAD
from .canonical_form import encode
from .curve.srs import SRS
from .embedding import EmbeddingKey
from .plan import PRIVATE, PUBLIC, Privacy
from .statement import VerifyingKey


@dataclass(frozen=True, eq=False)
class ProofSystem:
    """Verifying keys are made on first use (committing the public tables takes about a second)."""

    config: ModelConfig
    srs: SRS
    privacy: Privacy = PUBLIC
    _keys: dict[str, VerifyingKey] = field(default_factory=dict, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    @classmethod
    def shared(cls, config: ModelConfig, srs: SRS, privacy: Privacy = PUBLIC) -> ProofSystem:
        """The one instance of this process for an architecture, an SRS and a privacy."""
        with _SHARED_LOCK:
            return _SHARED.setdefault((config, srs.digest, privacy), cls(config, srs, privacy))

    def verifying_key(self, kind: str) -> VerifyingKey:
        """The key of a layer program: a kind of step, those that only audits have included, or "head"."""
        with self._lock:
            if kind not in self._keys:
                program = statement_programs(self.config)[kind]
                self._keys[kind] = VerifyingKey.create(program, self.srs, self.privacy)
            return self._keys[kind]

    @cached_property
    def embedding_key(self) -> EmbeddingKey:
        """The key of the embedding statement."""
        return EmbeddingKey.create(self.config.channel_bits, self.srs, self.privacy)

    @cached_property
    def architecture_digest(self) -> bytes:
        """Keccak over streams, kinds and the digests of all verifiers: what a boundary is, and what each step does to it."""
        streams = [[s.name, s.row_bits, s.placed] for s in self.config.streams]
        of_audits = (HEAD_TILE,) if self.privacy == PRIVATE else ()
        names = (*self.config.kinds, HEAD, *of_audits)
        kinds = [[kind, self.verifying_key(kind).digest.hex()] for kind in names]
        return keccak(encode(["architecture", streams, kinds, self.embedding_key.digest.hex()]))


_SHARED: dict[tuple[ModelConfig, bytes, Privacy], ProofSystem] = {}
_SHARED_LOCK = Lock()
