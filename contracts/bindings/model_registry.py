"""`ModelRegistry`: models, immutable once registered."""

from __future__ import annotations

from collections.abc import Sequence

from ..protocol.model import ModelSpec, StepKind
from .contract import BlockId, BoundContract, Call


class ModelRegistry(BoundContract):
    def register(self, spec: ModelSpec, verifiers: Sequence[str]) -> Call:
        """`verifiers` in the order of `StepKind`."""
        return self._call("register", spec, list(verifiers))

    def deprecate(self, model_id: bytes) -> Call:
        """By whoever registered the model: a mark, for ever, that stops nobody."""
        return self._call("deprecate", model_id)

    def is_deprecated(self, model_id: bytes, block: BlockId = None) -> bool:
        return self._read("isDeprecated", model_id, block=block)  # type: ignore[no-any-return]

    def registrant_of(self, model_id: bytes, block: BlockId = None) -> str:
        """Who registered a model; the zero address for nobody."""
        return self._read("registrantOf", model_id, block=block)  # type: ignore[no-any-return]

    def model_id_of(self, spec: ModelSpec) -> bytes:
        return self._read("modelIdOf", spec)  # type: ignore[no-any-return]

    def is_registered(self, model_id: bytes, block: BlockId = None) -> bool:
        return self._read("isRegistered", model_id, block=block)  # type: ignore[no-any-return]

    def spec(self, model_id: bytes, block: BlockId = None) -> ModelSpec:
        """Raises `ContractError` (ModelUnknown) for an unregistered model."""
        return self._read("spec", model_id, record=ModelSpec, block=block)  # type: ignore[no-any-return]

    def verifier(self, model_id: bytes, kind: StepKind) -> str:
        return self._read("verifier", model_id, kind)  # type: ignore[no-any-return]
