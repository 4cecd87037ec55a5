"""What identifies a model: the spec, its id, and the leaves of its two trees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Protocol

from eth_abi.abi import encode
from eth_hash.auto import keccak

from .merkle import leaf_hash

Point = tuple[int, int]


class StepKind(IntEnum):
    """The four kinds of step a generated verifier exists for, in the order of `register`'s array."""

    MLP = 0
    ATTENTION = 1
    EMBEDDING = 2
    HEAD = 3

    @property
    def verifier_name(self) -> str:
        return f"{self.name.capitalize()}Verifier"


class CommittedModel(Protocol):
    """What the bindings need from a model's commitment (`prover.model_commitment.ModelCommitment`)."""

    @property
    def architecture_digest(self) -> bytes: ...

    @property
    def step_keys(self) -> Sequence[bytes]: ...

    @property
    def step_keys_root(self) -> bytes: ...

    @property
    def embedding_rows_root(self) -> bytes: ...

    @property
    def tokenizer_digest(self) -> bytes: ...

    @property
    def srs_digest(self) -> bytes: ...

    @property
    def step_count(self) -> int: ...

    @property
    def vocabulary(self) -> int: ...

    @property
    def max_positions(self) -> int: ...

    @property
    def end_tokens(self) -> Iterable[int]: ...

    def step_key_path(self, step: int) -> list[bytes]: ...

    def row(self, token: int) -> tuple[Point, Point]: ...

    def row_path(self, token: int) -> list[bytes]: ...


@dataclass(frozen=True)
class ModelSpec:
    """Mirror of `ModelSpec` in IModelRegistry.sol, fields in the order of its ABI encoding."""

    architecture_digest: bytes
    step_keys_root: bytes
    embedding_rows_root: bytes
    tokenizer_digest: bytes
    srs_digest: bytes
    step_count: int
    vocab_size: int
    max_positions: int
    end_tokens_digest: bytes
    mlp_verifier_code_hash: bytes
    attention_verifier_code_hash: bytes
    embedding_verifier_code_hash: bytes
    head_verifier_code_hash: bytes

    @classmethod
    def of(cls, commitment: CommittedModel, code_hashes: dict[StepKind, bytes]) -> ModelSpec:
        """The spec of a committed model whose verifiers have these code hashes."""
        return cls(
            architecture_digest=commitment.architecture_digest,
            step_keys_root=commitment.step_keys_root,
            embedding_rows_root=commitment.embedding_rows_root,
            tokenizer_digest=commitment.tokenizer_digest,
            srs_digest=commitment.srs_digest,
            step_count=commitment.step_count,
            vocab_size=commitment.vocabulary,
            max_positions=commitment.max_positions,
            end_tokens_digest=end_tokens_digest(commitment.end_tokens),
            mlp_verifier_code_hash=code_hashes[StepKind.MLP],
            attention_verifier_code_hash=code_hashes[StepKind.ATTENTION],
            embedding_verifier_code_hash=code_hashes[StepKind.EMBEDDING],
            head_verifier_code_hash=code_hashes[StepKind.HEAD],
        )

    def difference(self, commitment: CommittedModel) -> str | None:
        """The first thing in which this spec is not the commitment's; None when they agree."""
        pairs = {
            "architecture digest": (self.architecture_digest, commitment.architecture_digest),
            "step keys root": (self.step_keys_root, commitment.step_keys_root),
            "embedding rows root": (self.embedding_rows_root, commitment.embedding_rows_root),
            "tokenizer digest": (self.tokenizer_digest, commitment.tokenizer_digest),
            "SRS digest": (self.srs_digest, commitment.srs_digest),
            "step count": (self.step_count, commitment.step_count),
            "vocabulary": (self.vocab_size, commitment.vocabulary),
            "number of positions": (self.max_positions, commitment.max_positions),
            "list of end tokens": (self.end_tokens_digest, end_tokens_digest(commitment.end_tokens)),
        }
        return next((name for name, (theirs, ours) in pairs.items() if theirs != ours), None)

    @property
    def model_id(self) -> bytes:
        """keccak256(abi.encode(spec)), 32 bytes."""
        values = [getattr(self, field.name) for field in fields(self)]
        types = ["bytes32" if isinstance(value, bytes) else "uint256" for value in values]
        return keccak(encode(types, values))


def end_tokens_digest(end_tokens: Iterable[int]) -> bytes:
    """keccak256(abi.encode(uint256[] sorted end token ids))."""
    return keccak(encode(["uint256[]"], [sorted(set(end_tokens))]))


def step_key_leaf(step: int, key: bytes) -> bytes:
    """Leaf of one step key in `step_keys_root`."""
    return leaf_hash(encode(["uint256", "bytes32"], [step, keccak(key)]))


def token_row_leaf(token: int, embedding: Point, head: Point) -> bytes:
    """Leaf of one token's row commitments in `embedding_rows_root`."""
    return leaf_hash(encode(["uint256"] * 5, [token, *embedding, *head]))


def boundary_hash(points: Sequence[Point]) -> bytes:
    """keccak256 of the window commitments x_0, y_0, x_1, ... as 32-byte big-endian words."""
    return keccak(b"".join(coordinate.to_bytes(32, "big") for point in points for coordinate in point))
