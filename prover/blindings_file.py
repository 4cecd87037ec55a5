"""The one secret file of a private model: the seed of its blindings, encrypted under a password.

    {"format", "kdf": {"name": "scrypt", "n", "r", "p", "salt"}, "cipher": {"name": "aes-256-gcm", "nonce", "tag"}, "secret"}

secret: AES-256-GCM of seed || keccak(model digest || SRS digest), under scrypt of the password; everything else in the file is authenticated
with it. The digests are inside: outside, they would let whoever finds the file test guesses of the weights.

Written before anything is committed with it (synchronised, in one link, mode 0600) and never overwritten: without it the model that was
registered can prove nothing any more, and a second seed would make another model.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from Crypto.Cipher import AES
from eth_hash.auto import keccak

from .curve.srs import SRS
from .errors import BadInputError
from .foreign_json import ForeignJsonError, read_json_file
from .model.weights import IntegerModel
from .model_blindings import SEED_BYTES, ModelBlindings, context_of

FORMAT = "gainsay-blindings/1"
SCRYPT_COST = 1 << 17
"""n of scrypt with r = 8: 128 MiB and a third of a second."""
LOWEST_COST, _HIGHEST_COST = 1 << 10, 1 << 20
_BLOCK = 8
_FIELDS: dict[str, dict[str, type]] = {
    "kdf": {"name": str, "n": int, "r": int, "p": int, "salt": str},
    "cipher": {"name": str, "nonce": str, "tag": str},
}


class BlindingsFileError(BadInputError):
    """The file with a private model's blindings is missing, damaged, of another model, or does not open."""


@dataclass(frozen=True)
class BlindingsFile:
    """Where the blindings of a model are, or will be."""

    path: Path

    @classmethod
    def of(cls, model: IntegerModel, srs: SRS, models: Path) -> BlindingsFile:
        """Beside the model, under its name; not in its folder, which an import replaces."""
        return cls(models / f"{Path(model.name).name}-{srs.digest.hex()[:8]}.blindings")

    def exists(self) -> bool:
        """Whether something is there, even a broken link."""
        return os.path.lexists(self.path)

    def create(
        self,
        model: IntegerModel,
        srs: SRS,
        architecture_digest: bytes,
        password: str,
        cost: int = SCRYPT_COST,
    ) -> ModelBlindings:
        """Draw a seed and keep it. Raises BlindingsFileError when the file exists or the password is empty."""
        if not password:
            raise BlindingsFileError(f"{self.path} needs a password that is not empty")
        blindings = ModelBlindings.draw(context_of(model, srs, architecture_digest))
        self._write(_sealed(blindings.seed + _owner(model, srs), password, cost))
        return blindings

    def open(
        self, model: IntegerModel, srs: SRS, architecture_digest: bytes, password: str
    ) -> ModelBlindings:
        """The blindings in the file. Raises BlindingsFileError."""
        seed, owner = self._opened(password)
        if owner != _owner(model, srs):
            self._refuse(
                "holds the blindings of another model or ceremony; keep it, since that model needs it, and name"
                " another file with --blindings"
            )
        return ModelBlindings(seed, context_of(model, srs, architecture_digest))

    def _opened(self, password: str) -> tuple[bytes, bytes]:
        body = self._read()
        try:
            kdf, cipher, secret = body["kdf"], body["cipher"], bytes.fromhex(body["secret"])
            salt, nonce, tag = (bytes.fromhex(text) for text in (kdf["salt"], cipher["nonce"], cipher["tag"]))
            known = (kdf["name"], kdf["r"], kdf["p"], cipher["name"]) == ("scrypt", _BLOCK, 1, "aes-256-gcm")
            sizes = (len(salt), len(nonce), len(tag), len(secret)) == (16, 12, 16, 2 * SEED_BYTES)
            cost = kdf["n"]
            if not (known and sizes and LOWEST_COST <= cost <= _HIGHEST_COST and cost & (cost - 1) == 0):
                raise ValueError
        except ValueError:
            self._refuse("is damaged; restore it from a copy")
        decrypting = AES.new(_key(password, salt, cost), AES.MODE_GCM, nonce=nonce)
        decrypting.update(_header(body))
        try:
            opened = decrypting.decrypt_and_verify(secret, tag)
        except ValueError:
            self._refuse("does not open: the password is wrong, or the file was changed")
        return opened[:SEED_BYTES], opened[SEED_BYTES:]

    def _read(self) -> dict[str, Any]:
        try:
            body = read_json_file(self.path)
        except FileNotFoundError:
            self._refuse(
                "is missing; restore it from a copy, or make it with `gainsay model commit --private`"
            )
        except (OSError, ForeignJsonError):
            self._refuse("is damaged; restore it from a copy")
        if not _is_ours(body):
            self._refuse(f"is not of format {FORMAT}; restore it from a copy")
        return dict(body)

    def _refuse(self, why: str) -> NoReturn:
        raise BlindingsFileError(f"{self.path} {why}") from None

    def _write(self, body: dict[str, Any]) -> None:
        """All of it or nothing, and only where nothing is."""
        folder = self.path.parent
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=folder, prefix=".blindings.") as file:  # mode 0600
            json.dump(body, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
            try:
                os.link(file.name, self.path)
            except FileExistsError:
                self._refuse("exists already, and is never overwritten; name another file with --blindings")
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _owner(model: IntegerModel, srs: SRS) -> bytes:
    return keccak(model.digest + srs.digest)


def _key(password: str, salt: bytes, cost: int) -> bytes:
    memory = 128 * cost * _BLOCK + (1 << 20)
    return hashlib.scrypt(password.encode(), salt=salt, n=cost, r=_BLOCK, p=1, maxmem=memory, dklen=32)


def _sealed(secret: bytes, password: str, cost: int) -> dict[str, Any]:
    salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
    body: dict[str, Any] = {
        "format": FORMAT,
        "kdf": {"name": "scrypt", "n": cost, "r": _BLOCK, "p": 1, "salt": salt.hex()},
        "cipher": {"name": "aes-256-gcm", "nonce": nonce.hex()},
    }
    encrypting = AES.new(_key(password, salt, cost), AES.MODE_GCM, nonce=nonce)
    encrypting.update(_header(body))
    encrypted, tag = encrypting.encrypt_and_digest(secret)
    body["cipher"]["tag"] = tag.hex()
    return {**body, "secret": encrypted.hex()}


def _header(body: dict[str, Any]) -> bytes:
    """What the tag covers beside the secret."""
    cipher = {name: value for name, value in body["cipher"].items() if name != "tag"}
    return json.dumps([body["format"], body["kdf"], cipher], sort_keys=True).encode()


def _is_ours(body: Any) -> bool:
    if not isinstance(body, dict) or set(body) != {"format", "secret", *_FIELDS} or body["format"] != FORMAT:
        return False
    for name, fields in _FIELDS.items():
        part = body[name]
        if not isinstance(part, dict) or set(part) != set(fields):
            return False
        if any(type(part[field]) is not kind for field, kind in fields.items()):
            return False
    return isinstance(body["secret"], str)


__all__ = ["LOWEST_COST", "SCRYPT_COST", "BlindingsFile", "BlindingsFileError"]
