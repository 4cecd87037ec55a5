"""A private model on its provider's machine: its hiding commitment, and the blindings that open it.

blindings file     `<models>/<name>-<srs>.blindings`     secret, made first, once (blindings_file.py)
public part        `<commitments>/<name>-<srs>-<identity>.commitment`   for clients, made from the other (commitment_file.py)
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .blindings_file import SCRYPT_COST, BlindingsFile, BlindingsFileError
from .commitment_file import SUFFIX, CommitmentFileError, load_published, save_published
from .curve.srs import SRS
from .errors import UsageError
from .model.fetch import DEFAULT_CACHE as MODELS
from .model.weights import IntegerModel
from .model_blindings import ModelBlindings
from .model_commitment import DEFAULT_CACHE, ModelCommitment, Progress, commit_hiding, decode_step_key
from .plan import PRIVATE
from .proof_system import ProofSystem

PASSWORD, PASSWORD_FILE = "GAINSAY_BLINDINGS_PASSWORD", "GAINSAY_BLINDINGS_PASSWORD_FILE"


@dataclass(frozen=True)
class PrivateModel:
    """commitment: what is public. blindings: what opens it. published: the file that clients need; secret: the
    encrypted one."""

    system: ProofSystem
    commitment: ModelCommitment
    blindings: ModelBlindings
    published: Path
    secret: Path

    def blindings_of(self, step: int) -> tuple[int, ...]:
        """b of the points of a step's key, in their order."""
        key = decode_step_key(self.system, self.commitment, step)
        return self.blindings.of_step(step, len(key.points))

    def blindings_of_row(self, token: int) -> tuple[int, int]:
        """b of a token's embedding row and head row."""
        return self.blindings.of_row(token)


def commit_private(
    model: IntegerModel,
    srs: SRS,
    password: Callable[[bool], str],
    *,
    models: Path | str = MODELS,
    commitments: Path | str = DEFAULT_CACHE,
    file: Path | None = None,
    progress: Progress | None = None,
    create: bool = True,
    cost: int = SCRYPT_COST,
) -> PrivateModel:
    """Commit a private model, or read what was committed before: the same blindings, the same commitment, the same model id.

    password(new): asks for the password of the blindings file, which is made if there is none (`create`). Raises BlindingsFileError when it is
    missing though something was committed with it, when it does not open, or is of another model; CommitmentFileError for a
    damaged public part; and what `commit_hiding` raises.
    """
    secret = BlindingsFile.of(model, srs, Path(models)) if file is None else BlindingsFile(file)
    system = ProofSystem.shared(model.config, srs, PRIVATE)
    digest = system.architecture_digest
    stem = f"{Path(model.name).name}-{srs.digest.hex()[:8]}"
    if secret.exists() or not create:
        blindings = secret.open(model, srs, digest, password(False) if secret.exists() else "")
    else:
        for found in sorted(Path(commitments).glob(f"{stem}-*{SUFFIX}")):
            raise BlindingsFileError(
                f"{secret.path} is missing, but {found} was committed with it: restore it from a copy, without which that model can"
                " prove nothing; or move the commitment away to make another private model of the same weights"
            )
        blindings = secret.create(model, srs, digest, password(True), cost)
    path = Path(commitments) / f"{stem}-{blindings.identity.hex()[:16]}{SUFFIX}"
    if path.exists():
        published = load_published(path, srs)
        if published.config != model.config or published.commitment.blindings != blindings.identity:
            raise CommitmentFileError(
                f"{path} is not what these blindings belong to; remove it, and it is made again"
            )
        return PrivateModel(system, published.commitment, blindings, path, secret.path)
    commitment = commit_hiding(model, srs, blindings, progress, path.with_suffix(".part"))
    save_published(path, model.name, model.config, commitment)
    return PrivateModel(system, commitment, blindings, path, secret.path)


def ask_password(file: Path | None = None) -> Callable[[bool], str]:
    """Where the password comes from: the environment, a file, or whoever sits at the terminal. Raises UsageError."""

    def ask(new: bool) -> str:
        import sys

        import typer

        if file is None and PASSWORD in os.environ:
            return os.environ[PASSWORD]
        if file is not None:
            try:
                return file.read_text(encoding="utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                raise UsageError(
                    f"the password file {file} of the blindings cannot be read: {error}"
                ) from error
        if sys.stdin.isatty():
            return str(
                typer.prompt("password of the blindings", hide_input=True, confirmation_prompt=new, err=True)
            )
        raise UsageError(
            f"the blindings of a private model need a password: set {PASSWORD}, or name a file with {PASSWORD_FILE}"
        )

    return ask


__all__ = ["PASSWORD", "PASSWORD_FILE", "PrivateModel", "ask_password", "commit_private"]
