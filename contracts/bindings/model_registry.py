"""`ModelRegistry`: models, immutable once registered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..protocol.model import ModelSpec
from .contract import BlockId, BoundContract, Call


@dataclass(frozen=True)
class StepRules:
    """What a statement about a step of one kind follows from, beside the boundaries and its key."""

    step_keys_root: bytes
    key_count: int
    streams: int
    access: int
    verifier: str


@dataclass(frozen=True)
class HeadTileRules:
    """Mirror of `struct HeadTileRules`: what a statement about a tile of a private model's head follows from."""

    step_keys_root: bytes
    step_count: int
    tiles: int
    kind: int
    streams: int
    verifier: str


@dataclass(frozen=True)
class TokenPair:
    """Mirror of `struct TokenPair`; `sampling` as a game keeps it."""

    sampling: int
    position: int
    chosen_id: int
    rival_id: int
    winner_id: int


@dataclass(frozen=True)
class HeadRules:
    """Mirror of `struct HeadRules`: what a statement about the head follows from."""

    rows_root: bytes
    vocab_size: int
    verifier: str
    factor: int
    offset: int


class ModelRegistry(BoundContract):
    def register(
        self, spec: ModelSpec, step_verifiers: Sequence[str], embedding_verifier: str, head_verifier: str
    ) -> Call:
        """`step_verifiers` in the order of the spec's kinds."""
        return self._call("register", spec, list(step_verifiers), embedding_verifier, head_verifier)

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

    def step_rules(self, model_id: bytes, kind: int, block: BlockId = None) -> StepRules:
        """Raises `ContractError` (ModelUnknown, KindUnknown)."""
        return self._read("stepRules", model_id, kind, record=StepRules, block=block)  # type: ignore[no-any-return]

    def embedding_verifier(self, model_id: bytes) -> str:
        return str(self._read("embeddingRules", model_id)[2])

    def head_verifier(self, model_id: bytes) -> str:
        """Of pairs of tokens of a public model, of tiles of a private one."""
        return self.head_tile_rules(model_id).verifier

    def head_tile_rules(self, model_id: bytes, block: BlockId = None) -> HeadTileRules:
        """Raises `ContractError` (ModelUnknown)."""
        return self._read("headTileRules", model_id, record=HeadTileRules, block=block)  # type: ignore[no-any-return]

    def head_rules(self, model_id: bytes, pair: TokenPair, block: BlockId = None) -> HeadRules:
        """Raises `ContractError` (ModelUnknown, WrongWinner)."""
        return self._read("headRules", model_id, pair, record=HeadRules, block=block)  # type: ignore[no-any-return]
