"""The public part of a private model, as one file: all that a client has of it, since it cannot recompute the rest.

    one line of JSON    {"format", "name", "privacy", "architecture", "srs", "logit_scale", "tokenizer", "end_tokens", "blindings", "keys", "vocabulary",
                         "step_keys_root", "embedding_rows_root", "checksum"}
    step keys           one behind the other, of the lengths in "keys": of the steps, then of the head's tiles
    token rows          128 bytes each: embedding row, head row

Both roots are computed again from what the file holds, so a file that is read is the model with these roots; whether that is the registered one,
its `model_id` says. SmolLM2-135M: 6.4 MB, nearly all of it rows. Nothing in the file depends on the weights but hiding commitments: the blindings' identity is a
number of their seed.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_hash.auto import keccak

from .architectures import ModelConfig, config_from_json
from .architectures.audit_steps import audit_schedule
from .curve.srs import SRS
from .errors import BadInputError, NotFoundError
from .foreign_json import ForeignJsonError, read_json
from .model_commitment import ModelCommitment, assemble, row_tree
from .plan import PRIVATE
from .proof_system import ProofSystem
from .statement import StepKey

FORMAT = "gainsay-private-model/2"
SUFFIX = ".commitment"
_START = b'{"format": "gainsay-private-model/'
_LONGEST_HEADER = 1 << 22
_LARGEST_FILE = 1 << 30
_ROW_BYTES = 128
_IMPOSSIBLE = (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError, OverflowError, MemoryError)


class CommitmentFileError(BadInputError):
    """The public part of a private model is damaged, of another ceremony, or none."""


@dataclass(frozen=True)
class PublishedModel:
    """What a client knows of a private model: a name that says nothing, its shape, and its commitment."""

    name: str
    config: ModelConfig
    commitment: ModelCommitment


def save_published(path: Path, name: str, config: ModelConfig, commitment: ModelCommitment) -> None:
    """Write the file atomically. commitment: of a private model with this shape."""
    if commitment.privacy != PRIVATE:
        raise BadInputError("a public model has no such file: whoever has its weights makes its commitment")
    keys = [*commitment.step_keys, *commitment.tile_keys]
    body = b"".join(keys) + commitment.rows
    header = {
        "format": FORMAT,
        "name": name,
        "privacy": commitment.privacy,
        "architecture": config.to_json(),
        "srs": commitment.srs_digest.hex(),
        "logit_scale": commitment.logit_scale,
        "tokenizer": commitment.tokenizer_digest.hex(),
        "end_tokens": list(commitment.end_tokens),
        "blindings": commitment.blindings.hex(),
        "keys": [len(key) for key in keys],
        "vocabulary": commitment.vocabulary,
        "step_keys_root": commitment.step_keys_root.hex(),
        "embedding_rows_root": commitment.embedding_rows_root.hex(),
    }
    header["checksum"] = _checksum(header, body)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
        file.write(json.dumps(header).encode() + b"\n" + body)
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


def is_published(path: Path) -> bool:
    """Whether a file claims to be such a one, whatever its version."""
    try:
        with path.open("rb") as file:
            return file.read(len(_START)) == _START
    except OSError:
        return False


def load_published(path: Path, srs: SRS) -> PublishedModel:
    """Parse strictly, and make both trees again. Raises NotFoundError and CommitmentFileError."""
    header, body = _read(path)
    if header.get("srs") != srs.digest.hex():
        raise CommitmentFileError(f"{path} is for another ceremony; pass its reference string with --srs")
    if header.pop("checksum", None) != _checksum(header, body):
        raise CommitmentFileError(f"{path} is damaged: its checksum does not match; fetch or copy it again")
    try:
        if header["privacy"] != PRIVATE:
            raise ValueError(f"privacy must be {PRIVATE}")
        config = config_from_json(header["architecture"])
        system = ProofSystem.shared(config, srs, PRIVATE)
        keys, rows = _split(header, body, config)
        for step, key in zip((*config.schedule, *audit_schedule(config)), keys, strict=True):
            plan = system.verifying_key(step.kind).plan
            StepKey.decode(key, plan, srs.mu)
        commitment = assemble(
            system,
            keys[: config.step_count],
            rows,
            row_tree(rows),
            logit_scale=_count(header["logit_scale"]),
            tokenizer_digest=_digest(header, "tokenizer"),
            end_tokens=[_count(token) for token in header["end_tokens"]],
            blindings=_digest(header, "blindings"),
            tile_keys=keys[config.step_count :],
        )
        if _digest(header, "step_keys_root") != commitment.step_keys_root:
            raise ValueError("its step keys have another root than it says")
        if _digest(header, "embedding_rows_root") != commitment.embedding_rows_root:
            raise ValueError("its token rows have another root than it says")
        return PublishedModel(str(header["name"]), config, commitment)
    except (BadInputError, *_IMPOSSIBLE) as error:
        raise CommitmentFileError(
            f"{path} is not the public part of a private model: {type(error).__name__}: {error}"
        ) from error


def _read(path: Path) -> tuple[dict[str, Any], bytes]:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise CommitmentFileError(f"{path} is larger than any model's public part")
        with path.open("rb") as file:
            line = file.readline(_LONGEST_HEADER)
            body = file.read()
    except FileNotFoundError as error:
        raise NotFoundError(
            f"there is no {path}; a private model's provider publishes it, and `gainsay model commit --private` makes it"
        ) from error
    except OSError as error:
        raise CommitmentFileError(f"{path} cannot be read: {error}") from error
    try:
        header = read_json(line, what=str(path))
    except ForeignJsonError as error:
        raise CommitmentFileError(f"{path} is not the public part of a private model: {error}") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise CommitmentFileError(
            f"{path} is not the public part of a private model: its format must be {FORMAT}; with an older one it is made again by"
            " `gainsay model commit --private`"
        )
    return header, body


def _split(header: dict[str, Any], body: bytes, config: ModelConfig) -> tuple[list[bytes], bytes]:
    sizes, vocabulary = [_count(size) for size in header["keys"]], _count(header["vocabulary"])
    count = config.step_count + len(audit_schedule(config))
    if len(sizes) != count or vocabulary != config.vocabulary:
        raise ValueError(
            f"it has {len(sizes)} keys and {vocabulary} token rows for a shape of {count}, its head's tiles included, and {config.vocabulary}"
        )
    if sum(sizes) + _ROW_BYTES * vocabulary != len(body):
        raise ValueError("its length is not the one that its header says")
    keys, end = [], 0
    for size in sizes:
        keys.append(body[end : end + size])
        end += size
    return keys, body[end:]


def _checksum(header: dict[str, Any], body: bytes) -> str:
    return keccak(json.dumps(header, sort_keys=True).encode() + keccak(body)).hex()


def _digest(header: dict[str, Any], name: str) -> bytes:
    digest = bytes.fromhex(header[name])
    if len(digest) != 32:
        raise ValueError(f"{name} is no digest of 32 bytes")
    return digest


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is no number of things")
    return value


__all__ = [
    "SUFFIX",
    "CommitmentFileError",
    "PublishedModel",
    "is_published",
    "load_published",
    "save_published",
]
