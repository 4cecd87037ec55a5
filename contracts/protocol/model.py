"""What identifies a model: the spec, its id, and the leaves of its two trees."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Protocol

from eth_abi.abi import encode
from eth_hash.auto import keccak

from .merkle import leaf_hash
from .streams import Point, StreamsInvalid, access_problem, pack_streams

#: Audit strides: everybody can re-run a public model; of a private one every boundary is committed, and steps are audited.
PUBLIC, PRIVATE = 0, 1


def audit_stride_of(privacy: str) -> int:
    """The stride of a model whose plans are "public" or "private" (`prover.plan.Privacy`)."""
    return PRIVATE if privacy == "private" else PUBLIC


EMBEDDING, HEAD, HEAD_TILE = "embedding", "head", "head_tile"
"""What is proven beside the steps: names like those of the kinds of step."""


def head_kind(audit_stride: int) -> str:
    """What the registered verifier of the head verifies: pairs of tokens of a public model, tiles of a private one."""
    return HEAD if audit_stride == PUBLIC else HEAD_TILE


def verifier_name(kind: str) -> str:
    """Name of the generated contract that verifies a kind of step, the embedding or the head: keys_values is
    KeysValuesVerifier."""
    return "".join(part.capitalize() for part in kind.split("_")) + "Verifier"


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
    def tile_keys(self) -> Sequence[bytes]:
        """The keys of the tiles of a private model's head, behind the step keys under their root; none of a public model."""
        ...

    @property
    def step_count(self) -> int: ...

    @property
    def vocabulary(self) -> int: ...

    @property
    def max_positions(self) -> int: ...

    @property
    def logit_scale(self) -> int: ...

    @property
    def end_tokens(self) -> Iterable[int]: ...

    @property
    def chunk_bits(self) -> Sequence[int]:
        """p of every stream: 2^p windows share a chunk."""
        ...

    @property
    def kind_names(self) -> Sequence[str]:
        """The kinds of step, by the number that step keys name."""
        ...

    @property
    def accesses(self) -> Sequence[int]:
        """What each kind does to the streams (`streams.access_word`)."""
        ...

    def kind(self, step: int) -> int:
        """The kind of a step."""
        ...

    def step_name(self, step: int) -> str:
        """What people call a step: "attention of layer 3"."""
        ...

    def step_key_path(self, step: int) -> list[bytes]: ...

    def tile_key_path(self, tile: int) -> list[bytes]: ...

    def row(self, token: int) -> tuple[Point, Point]: ...

    def row_path(self, token: int) -> list[bytes]: ...


@dataclass(frozen=True)
class StepKindSpec:
    """A kind of step: its verifier, and what it does to the streams (`streams.access_word`)."""

    verifier_code_hash: bytes
    access: int


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
    logit_scale: int
    end_tokens_digest: bytes
    streams: int
    kinds: tuple[StepKindSpec, ...]
    audit_stride: int
    head_tiles: int
    embedding_verifier_code_hash: bytes
    head_verifier_code_hash: bytes

    @classmethod
    def of(
        cls, commitment: CommittedModel, code_hashes: Mapping[str, bytes], audit_stride: int = PUBLIC
    ) -> ModelSpec:
        """The spec of a committed model whose verifiers, by the names of kinds, `EMBEDDING` and `head_kind`, have these code hashes.

        `audit_stride`: `PUBLIC`, or after how many steps a private model's responses commit to a boundary.

        Raises `StreamsInvalid` for streams and kinds that the registry does not take.
        """
        return cls(
            architecture_digest=commitment.architecture_digest,
            step_keys_root=commitment.step_keys_root,
            embedding_rows_root=commitment.embedding_rows_root,
            tokenizer_digest=commitment.tokenizer_digest,
            srs_digest=commitment.srs_digest,
            step_count=commitment.step_count,
            vocab_size=commitment.vocabulary,
            max_positions=commitment.max_positions,
            logit_scale=commitment.logit_scale,
            end_tokens_digest=end_tokens_digest(commitment.end_tokens),
            streams=pack_streams(commitment.chunk_bits),
            kinds=_kinds(commitment, code_hashes),
            audit_stride=audit_stride,
            head_tiles=len(commitment.tile_keys),
            embedding_verifier_code_hash=code_hashes[EMBEDDING],
            head_verifier_code_hash=code_hashes[head_kind(audit_stride)],
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
            "scale of logits": (self.logit_scale, commitment.logit_scale),
            "list of end tokens": (self.end_tokens_digest, end_tokens_digest(commitment.end_tokens)),
            "list of streams": (self.streams, pack_streams(commitment.chunk_bits)),
            "number of tiles of the head": (self.head_tiles, len(commitment.tile_keys)),
            "access of a kind of step": ([kind.access for kind in self.kinds], list(commitment.accesses)),
        }
        return next((name for name, (theirs, ours) in pairs.items() if theirs != ours), None)

    @property
    def model_id(self) -> bytes:
        """keccak256(abi.encode(spec)), 32 bytes."""
        return keccak(encode([_SPEC_TYPE], [astuple(self)]))


_SPEC_TYPE = (
    "(bytes32,bytes32,bytes32,bytes32,bytes32,uint256,uint256,uint256,uint256,bytes32,uint256,(bytes32,uint64)[],"
    "uint256,uint256,bytes32,bytes32)"
)


def _kinds(commitment: CommittedModel, code_hashes: Mapping[str, bytes]) -> tuple[StepKindSpec, ...]:
    kinds = []
    for name, access in zip(commitment.kind_names, commitment.accesses, strict=True):
        if (problem := access_problem(access, len(commitment.chunk_bits))) is not None:
            raise StreamsInvalid(
                f"No model can have the kind of step {name!r}: {problem}; change its access."
            )
        kinds.append(StepKindSpec(code_hashes[name], access))
    return tuple(kinds)


def end_tokens_digest(end_tokens: Iterable[int]) -> bytes:
    """keccak256(abi.encode(uint256[] sorted end token ids))."""
    return keccak(encode(["uint256[]"], [sorted(set(end_tokens))]))


def step_key_leaf(step: int, kind: int, key: bytes) -> bytes:
    """Leaf of one step key in `step_keys_root`."""
    return leaf_hash(encode(["uint256", "uint256", "bytes32"], [step, kind, keccak(key)]))


def token_row_leaf(token: int, embedding: Point, head: Point) -> bytes:
    """Leaf of one token's row commitments in `embedding_rows_root`."""
    return leaf_hash(encode(["uint256"] * 5, [token, *embedding, *head]))
