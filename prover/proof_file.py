"""A proof with its statement, as a JSON file that anyone can check without the model.

The file names the architecture (from which the verifier rebuilds all relations), the SRS, the statement
(step key, public integers, commitments) and the proof. `model` and `about` are labels for people; the checksum
only detects accidents.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_hash.auto import keccak

from .architectures import ModelConfig, config_from_json
from .architectures.audit_steps import statement_programs
from .curve.g1 import Point
from .curve.srs import SRS
from .embedding import verify_embedding
from .errors import BadInputError, NotFoundError, ProofRejectedError
from .foreign_json import ForeignJsonError, read_json_file
from .plan import PRIVATE, PUBLIC, Privacy
from .program import WINDOW_ROWS
from .proof_system import ProofSystem
from .statement import Statement, StepKey
from .verify import verify

FORMAT = "gainsay-proof/1"
_IMPOSSIBLE = (ValueError, ZeroDivisionError, OverflowError, MemoryError)
EMBEDDING = "embedding"


@dataclass(frozen=True)
class ProofFile:
    """kind: a kind of the architecture's steps, head or embedding. inputs: commitments in the verifier's order. key: encoded step key.

    privacy: which of the two verifying keys of its kind the proof is for. A private one's commitments hide what they hold.
    """

    kind: str
    architecture: ModelConfig
    srs: str
    publics: Mapping[str, int]
    inputs: tuple[Point, ...]
    key: bytes
    proof: bytes
    model: str
    about: str
    privacy: Privacy = PUBLIC

    def verify(self, srs: SRS) -> None:
        """Raise ProofRejectedError unless the proof proves the statement under this SRS."""
        if srs.digest.hex() != self.srs:
            raise ProofRejectedError(
                f"the proof is for the SRS {self.srs[:16]}…, not for {srs.digest.hex()[:16]}…; pass its file with --srs"
            )
        try:
            system = ProofSystem.shared(self.architecture, srs, self.privacy)
            if self.kind == EMBEDDING:
                if len(self.inputs) != WINDOW_ROWS + 1 or self.publics or self.key:
                    raise BadInputError(
                        f"an embedding statement has {WINDOW_ROWS} rows, one window and nothing else"
                    )
                verify_embedding(system.embedding_key, self.inputs[:-1], self.inputs[-1], self.proof)
                return
            verifying_key = system.verifying_key(self.kind)
        except _IMPOSSIBLE as error:
            raise BadInputError(f"the proof file names an impossible architecture: {error}") from error
        key = StepKey.decode(self.key, verifying_key.plan, verifying_key.chunk_bits)
        verify(verifying_key, Statement(key, self.publics, self.inputs), self.proof)

    def architecture_digest(self, srs: SRS) -> bytes:
        """Digest of the architecture that the file names. Raises BadInputError for one that cannot be."""
        try:
            return ProofSystem.shared(self.architecture, srs, self.privacy).architecture_digest
        except _IMPOSSIBLE as error:
            raise BadInputError(f"the proof file names an impossible architecture: {error}") from error

    def save(self, path: Path) -> None:
        """Write atomically."""
        body = {
            "format": FORMAT,
            "kind": self.kind,
            "model": self.model,
            "about": self.about,
            "architecture": self.architecture.to_json(),
            "srs": self.srs,
            "publics": dict(self.publics),
            "inputs": [[hex(c) for c in point] for point in self.inputs],
            "key": self.key.hex(),
            "proof": self.proof.hex(),
            **({"privacy": self.privacy} if self.privacy != PUBLIC else {}),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False) as file:
            json.dump(body | {"checksum": _checksum(body)}, file, indent=1)
        os.replace(file.name, path)

    @classmethod
    def load(cls, path: Path) -> ProofFile:
        """Parse strictly; every problem is one BadInputError that names the field."""
        try:
            body = read_json_file(path)
        except FileNotFoundError as error:
            raise NotFoundError(
                f"there is no proof file {path}; write one with `gainsay prove --out {path}`"
            ) from error
        except (OSError, ForeignJsonError) as error:
            raise BadInputError(f"{path} is not a proof file: {error}") from error
        if not isinstance(body, dict) or body.get("format") != FORMAT:
            raise BadInputError(f"{path} is not a proof file: its format must be {FORMAT!r}")
        checksum = body.pop("checksum", None)
        if checksum != _checksum(body):
            raise BadInputError(f"{path} is damaged: its checksum does not match; make or copy it again")
        try:
            architecture = config_from_json(body["architecture"])
            kinds = (*statement_programs(architecture), EMBEDDING)
            if body["kind"] not in kinds:
                raise ValueError(f"kind must be one of {', '.join(kinds)}")
            return cls(
                kind=body["kind"],
                architecture=architecture,
                srs=str(body["srs"]),
                publics={str(name): _integer(value) for name, value in body["publics"].items()},
                inputs=tuple((int(x, 16), int(y, 16)) for x, y in body["inputs"]),
                key=bytes.fromhex(body["key"]),
                proof=bytes.fromhex(body["proof"]),
                model=str(body["model"]),
                about=str(body["about"]),
                privacy=_privacy(body.get("privacy", PUBLIC)),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadInputError(f"{path} is not a proof file: {type(error).__name__}: {error}") from error


def is_proof_file(path: Path) -> bool:
    """Whether a file claims to be a proof file, whatever its version: `prove` may replace it."""
    try:
        body = read_json_file(path)
    except (OSError, ForeignJsonError):
        return False
    return isinstance(body, dict) and str(body.get("format")).startswith("gainsay-proof/")


def _privacy(value: object) -> Privacy:
    if value == PUBLIC:
        return PUBLIC
    if value == PRIVATE:
        return PRIVATE
    raise ValueError(f"privacy must be {PUBLIC} or {PRIVATE}")


def _checksum(body: Mapping[str, Any]) -> str:
    return keccak(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hex()


def _integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{value!r} is not an integer")
    return value
