"""The public commitment of a model: step keys, embedding rows, and the Merkle trees over both. That of a private model hides.

    step key leaf   keccak(keccak(abi.encode(step, kind, keccak(key))))   kind: the number of the step's kind (schedule)
    tile key leaf   the same, behind those of the steps: step = n + j of tile j of a private model's head, kind = number of kinds
    token row leaf  keccak(keccak(abi.encode(token, E.x, E.y, H.x, H.y)))   E embedding row, H head row

Made once per model and SRS (committing all weights), then cached in one file. What is stopped on the way goes on where it
was: every step key and every block of rows is kept as soon as it is made (`kept_parts.py`).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from eth_hash.auto import keccak

from .architectures.audit_steps import HEAD_TILE, audit_schedule
from .architectures.config import ScheduledStep
from .audits.head_tiles import commit_head_tile
from .committed_values import commit_step_key, weight_table
from .curve.g1 import Point, point_from_bytes, point_to_bytes
from .curve.msm import commit_rows
from .curve.srs import SRS
from .errors import BadInputError
from .hidden_points import blind_all
from .kept_parts import KeptParts, kept_parts
from .merkle import MerkleTree, leaf_hash
from .model.bounds import check_bounds
from .model.weights import IntegerModel
from .model_blindings import ModelBlindings
from .plan import PRIVATE, PUBLIC, Privacy
from .proof_system import ProofSystem
from .statement import WORD, StepKey
from .transaction_size import check_transactions

Progress = Callable[[str, int, int], None]
DEFAULT_CACHE = Path(".gainsay") / "commitments"
FORMAT = 1
_ROWS_AT_ONCE = 4096


def step_key_leaf(step: int, kind: int, key: bytes) -> bytes:
    """Leaf of one step key."""
    return leaf_hash(step.to_bytes(WORD, "big") + kind.to_bytes(WORD, "big") + keccak(key))


def token_row_leaf(token: int, embedding: bytes, head: bytes) -> bytes:
    """Leaf of one token's row commitments, each 64 bytes."""
    return leaf_hash(token.to_bytes(32, "big") + embedding + head)


@dataclass(frozen=True)
class ModelCommitment:
    """What is public about a model. `rows` holds 128 bytes per token: E then H.

    kind_names: the kinds of step by number; accesses: what each does to the streams (`streams.access_word`). chunk_bits: of every
    stream, p: 2^p of its windows share a chunk. tile_keys: of a private model, the keys of its head's tiles.
    """

    architecture_digest: bytes
    tokenizer_digest: bytes
    srs_digest: bytes
    max_positions: int
    logit_scale: int
    end_tokens: tuple[int, ...]
    schedule: tuple[ScheduledStep, ...]
    kind_names: tuple[str, ...]
    accesses: tuple[int, ...]
    chunk_bits: tuple[int, ...]
    step_keys: list[bytes]
    rows: bytes
    step_tree: MerkleTree
    row_tree: MerkleTree
    privacy: Privacy = PUBLIC
    blindings: bytes = b""
    """Of a private model: which blindings its points have (`ModelBlindings.identity`)."""
    tile_keys: tuple[bytes, ...] = ()

    @property
    def step_count(self) -> int:
        """Number of steps of the schedule."""
        return len(self.step_keys)

    @property
    def head_tiles(self) -> int:
        """T: tiles of the head that audits name; none of a public model."""
        return len(self.tile_keys)

    def kind(self, step: int) -> int:
        """Number of the kind of a step."""
        return self.kind_names.index(self.schedule[step].kind)

    def step_name(self, step: int) -> str:
        """What a step is, such as "attention of layer 3"."""
        return str(self.schedule[step])

    @property
    def vocabulary(self) -> int:
        """Number of tokens."""
        return len(self.rows) // 128

    @property
    def step_keys_root(self) -> bytes:
        """Root over the step keys."""
        return self.step_tree.root

    @property
    def embedding_rows_root(self) -> bytes:
        """Root over the token rows."""
        return self.row_tree.root

    def step_key_path(self, step: int) -> list[bytes]:
        """Merkle path of a step key."""
        return self.step_tree.path(step)

    def tile_key_path(self, tile: int) -> list[bytes]:
        """Merkle path of the key of a tile of the head."""
        return self.step_tree.path(self.step_count + tile)

    def row(self, token: int) -> tuple[Point, Point]:
        """(E, H): commitments of the token's embedding row and head row."""
        if not 0 <= token < self.vocabulary:
            raise BadInputError(f"token id {token} is outside the vocabulary of {self.vocabulary}")
        offset = 128 * token
        return point_from_bytes(self.rows[offset : offset + 64]), point_from_bytes(
            self.rows[offset + 64 : offset + 128]
        )

    def row_path(self, token: int) -> list[bytes]:
        """Merkle path of a token's row commitments."""
        return self.row_tree.path(token)


def commit_model(
    model: IntegerModel,
    srs: SRS,
    progress: Progress | None = None,
    cache_dir: Path | str | None = DEFAULT_CACHE,
) -> ModelCommitment:
    """Commit all weights of a public model, or read the cached commitment of the same model and SRS.

    progress(stage, done, total) is called along the way. `cache_dir=None` neither reads nor writes a cache. Raises
    QuantiseError for weights with which not every answer could be proven, and TransactionSizeError for sizes with which a proof could not be sent.
    """
    check_bounds(model.config, model.weights)
    report = progress or (lambda stage, done, total: None)
    system = ProofSystem.shared(model.config, srs)
    check_transactions(system, model.end_tokens)
    path = None if cache_dir is None else Path(cache_dir) / f"{model.name}-{_cache_name(model, system)}.npz"
    if path is not None and path.exists():
        cached = _load(path, model, system)
        if cached is not None:
            report("commit", 1, 1)
            return cached
    with kept_parts(None if path is None else path.with_suffix(".part")) as parts:
        commitment = _commit(model, system, report, parts, None)
        if path is not None:
            _save(path, commitment)
    return commitment


def commit_hiding(
    model: IntegerModel,
    srs: SRS,
    blindings: ModelBlindings,
    progress: Progress | None = None,
    part_file: Path | None = None,
) -> ModelCommitment:
    """The commitment of a private model: every point has a blinding of its own. Raises as `commit_model` does.

    No deterministic commitment is written anywhere: parts that are kept are blinded already. Keep the blindings first (`commit_private`).
    """
    check_bounds(model.config, model.weights)
    report = progress or (lambda stage, done, total: None)
    system = ProofSystem.shared(model.config, srs, PRIVATE)
    check_transactions(system, model.end_tokens)
    with kept_parts(part_file) as parts:
        return _commit(model, system, report, parts, blindings)


def _commit(
    model: IntegerModel,
    system: ProofSystem,
    report: Progress,
    parts: KeptParts,
    blindings: ModelBlindings | None,
) -> ModelCommitment:
    keys = _commit_steps(model, system, report, parts, blindings)
    tile_keys = [] if blindings is None else _commit_tiles(model, system, report, parts, blindings)
    rows = _commit_rows(model, system.srs, report, parts, blindings)
    report("merkle", 0, 1)
    commitment = assemble(
        system,
        keys,
        rows,
        row_tree(rows),
        logit_scale=model.logit_scale,
        tokenizer_digest=model.tokenizer.digest,
        end_tokens=model.end_tokens,
        blindings=b"" if blindings is None else blindings.identity,
        tile_keys=tile_keys,
    )
    report("merkle", 1, 1)
    return commitment


def _cache_name(model: IntegerModel, system: ProofSystem) -> str:
    """Names everything that the commitment depends on, the form of its trees and its file included."""
    return keccak(
        b"gainsay.commitment.3" + model.digest + system.architecture_digest + system.srs.digest
    ).hex()[:24]


def _commit_steps(
    model: IntegerModel,
    system: ProofSystem,
    report: Progress,
    parts: KeptParts,
    blindings: ModelBlindings | None,
) -> list[bytes]:
    """The step keys, encoded."""
    keys = []
    steps = len(model.config.schedule)
    for step in range(steps):
        report("step keys", step, steps)
        keys.append(parts.part(partial(_commit_step, model, system, step, blindings)))
    return keys


def _commit_step(
    model: IntegerModel, system: ProofSystem, step: int, blindings: ModelBlindings | None
) -> bytes:
    scheduled = model.config.schedule[step]
    key = commit_step_key(
        system.verifying_key(scheduled.kind).plan,
        system.srs,
        model.layer_parameters(scheduled.layer, scheduled.kind, scheduled.tile),
        padded_weights(model, step),
    )
    return (key if blindings is None else _hidden(key, system, blindings, step)).encode()


def _hidden(key: StepKey, system: ProofSystem, blindings: ModelBlindings, number: int) -> StepKey:
    """The key behind the blindings of a step number."""
    own = blindings.of_step(number, len(key.points))
    return StepKey(key.parameters, tuple(blind_all(key.points, own, system.srs.digest)))


def _commit_tiles(
    model: IntegerModel, system: ProofSystem, report: Progress, parts: KeptParts, blindings: ModelBlindings
) -> list[bytes]:
    """The keys of the head's tiles, encoded: tile j is step n + j."""
    tiles = audit_schedule(model.config)

    def commit(tile: int) -> bytes:
        key = commit_head_tile(model, system, tile)
        return _hidden(key, system, blindings, model.config.step_count + tile).encode()

    keys = []
    for tile in range(len(tiles)):
        report("head tiles", tile, len(tiles))
        keys.append(parts.part(partial(commit, tile)))
    return keys


def padded_weights(model: IntegerModel, step: int) -> dict[str, np.ndarray]:
    """The weights of a step as the padded tensors of its program."""
    scheduled = model.config.schedule[step]
    program = model.config.programs[scheduled.kind]
    unpadded = model.layer_weights(scheduled.layer, scheduled.kind, scheduled.tile)
    return {tensor.name: weight_table(program, tensor, unpadded[tensor.name]) for tensor in program.weights}


def _commit_rows(
    model: IntegerModel, srs: SRS, report: Progress, parts: KeptParts, blindings: ModelBlindings | None
) -> bytes:
    """E and H of every token, 128 bytes each."""
    total = 2 * model.config.vocabulary
    columns = []
    for index, (kind, matrix) in enumerate((("embedding", model.embedding), ("head", model.head))):
        encoded = b""
        for start in range(0, len(matrix), _ROWS_AT_ONCE):
            report("token rows", index * len(matrix) + start, total)
            block = matrix[start : start + _ROWS_AT_ONCE]
            own = None if blindings is None else partial(blindings.of_rows, kind, start, len(block))
            encoded += parts.part(partial(_commit_block, srs, block, own))
        columns.append(_split(encoded, 64))
    return b"".join(e + h for e, h in zip(*columns, strict=True))


def _commit_block(srs: SRS, rows: np.ndarray, blindings: Callable[[], list[int]] | None) -> bytes:
    """One point of 64 bytes per row."""
    points = commit_rows(srs.g1[: rows.shape[1]], np.asarray(rows, dtype=np.int64))
    if blindings is not None:
        points = blind_all(points, blindings(), srs.digest)
    return b"".join(point_to_bytes(point) for point in points)


def row_tree(rows: bytes) -> MerkleTree:
    """The tree over all tokens' rows."""
    return MerkleTree([token_row_leaf(v, r[:64], r[64:]) for v, r in enumerate(_split(rows, 128))])


def assemble(
    system: ProofSystem,
    keys: Sequence[bytes],
    rows: bytes,
    row_tree: MerkleTree,
    *,
    logit_scale: int,
    tokenizer_digest: bytes,
    end_tokens: Sequence[int],
    blindings: bytes = b"",
    tile_keys: Sequence[bytes] = (),
) -> ModelCommitment:
    """The commitment that these step keys, keys of the head's tiles and rows are."""
    config = system.config
    numbered = [*zip(map(config.kinds.index, (step.kind for step in config.schedule)), keys, strict=True)]
    numbered += [(len(config.kinds), key) for key in tile_keys]
    return ModelCommitment(
        architecture_digest=system.architecture_digest,
        tokenizer_digest=tokenizer_digest,
        srs_digest=system.srs.digest,
        max_positions=config.max_positions,
        logit_scale=logit_scale,
        end_tokens=tuple(end_tokens),
        schedule=config.schedule,
        kind_names=config.kinds,
        accesses=config.accesses,
        chunk_bits=tuple(stream.chunk_windows_bits(system.srs.mu) for stream in config.streams),
        step_keys=list(keys),
        rows=rows,
        step_tree=MerkleTree([step_key_leaf(number, *pair) for number, pair in enumerate(numbered)]),
        row_tree=row_tree,
        privacy=system.privacy,
        blindings=blindings,
        tile_keys=tuple(tile_keys),
    )


def _split(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


def _save(path: Path, commitment: ModelCommitment) -> None:
    """One file, in one rename; its own Keccak guards it against truncation and bit rot."""
    path.parent.mkdir(parents=True, exist_ok=True)
    keys = b"".join(len(key).to_bytes(4, "big") + key for key in commitment.step_keys)
    nodes = b"".join(node for level in commitment.row_tree.levels for node in level)
    digest = keccak(keys + commitment.rows + nodes)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
        arrays: dict[str, Any] = {
            name: np.frombuffer(value, np.uint8)
            for name, value in (("keys", keys), ("rows", commitment.rows))
        }
        np.savez(file, **arrays, nodes=np.frombuffer(nodes, np.uint8), digest=np.frombuffer(digest, np.uint8))
    os.replace(file.name, path)


def _load(path: Path, model: IntegerModel, system: ProofSystem) -> ModelCommitment | None:
    """The cached commitment, or None when the file is not intact (it is then made again)."""
    try:
        with np.load(path) as file:
            keys, rows, nodes, digest = (file[name].tobytes() for name in ("keys", "rows", "nodes", "digest"))
    except (OSError, ValueError, KeyError, EOFError):
        return None
    if keccak(keys + rows + nodes) != digest or len(rows) != 128 * model.config.vocabulary:
        return None
    decoded: list[bytes] = []
    while keys:
        length = int.from_bytes(keys[:4], "big")
        decoded.append(keys[4 : 4 + length])
        keys = keys[4 + length :]
    levels, count, hashes = [], model.config.vocabulary, _split(nodes, 32)
    while True:
        levels.append(hashes[:count])
        hashes = hashes[count:]
        if count == 1:
            break
        count = (count + 1) // 2
    return assemble(
        system,
        decoded,
        rows,
        MerkleTree.from_levels(levels),
        logit_scale=model.logit_scale,
        tokenizer_digest=model.tokenizer.digest,
        end_tokens=model.end_tokens,
    )


def decode_step_key(system: ProofSystem, commitment: ModelCommitment, step: int) -> StepKey:
    """The parsed step key of a step."""
    key = system.verifying_key(commitment.schedule[step].kind)
    return StepKey.decode(commitment.step_keys[step], key.plan, key.chunk_bits)


def decode_tile_key(system: ProofSystem, commitment: ModelCommitment, tile: int) -> StepKey:
    """The parsed key of a tile of a private model's head."""
    key = system.verifying_key(HEAD_TILE)
    return StepKey.decode(commitment.tile_keys[tile], key.plan, key.chunk_bits)
