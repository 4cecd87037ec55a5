"""A copy of what a provider or a challenger cannot lose, taken while it runs: one archive with a manifest.

The archive is a tar file: `manifest.json` (what it is of, and the SHA-256 of every other member), the database (`database.sqlite`, or
`database.sql` of PostgreSQL), `deployment.json`, `gainsay.toml` without secrets, and, only when asked for, keystores that are encrypted.
It appears under its name when it is complete, so a kill leaves no half of one.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import tarfile
import tempfile
import time
import tomllib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from prover.foreign_json import ForeignJsonError, read_json, read_json_file

from . import postgres_copy
from .errors import BackupRefused

FORMAT = 1
SQLITE, POSTGRES = "database.sqlite", "database.sql"
_LONGEST_MANIFEST = 2**20
#: Copied in pieces, so that a node that writes meanwhile waits for milliseconds at a time.
_PAGES, _PAUSE_S = 2_000, 0.005


@dataclass(frozen=True)
class Progress:
    """How far a database is. Any figure that is higher in another copy says that the other one knows more."""

    responses: int = 0
    batches: int = 0
    intents: int = 0
    attempts: int = 0

    def is_behind(self, other: Progress) -> bool:
        return any(
            mine < theirs for mine, theirs in zip(asdict(self).values(), asdict(other).values(), strict=True)
        )

    def __str__(self) -> str:
        return f"{self.responses} responses, {self.batches} batches, {self.intents} transactions"


@dataclass(frozen=True)
class Manifest:
    """What an archive is of. `keystores` and `blindings` are files that it names and (unless they are in `files`) lacks."""

    role: str
    chain_id: int
    genesis_hash: str
    ledger: str
    account: str
    database: str
    progress: Progress
    head: int
    made_at: str
    keystores: tuple[str, ...] = ()
    blindings: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT

    @classmethod
    def read(cls, text: bytes) -> Manifest:
        """Raises BackupRefused, with the field that is wrong."""
        try:
            raw = read_json(text, what="the archive's manifest")
            if not isinstance(raw, dict) or raw.get("format") != FORMAT:
                raise BackupRefused(f"its manifest is not of format {FORMAT}; take the release that made it")
            progress = Progress(**raw.pop("progress"))
            keystores, blindings = (tuple(map(str, raw.pop(name))) for name in ("keystores", "blindings"))
            manifest = cls(progress=progress, keystores=keystores, blindings=blindings, **raw)
        except (ForeignJsonError, KeyError, TypeError) as error:
            raise BackupRefused(f"its manifest cannot be read: {error}") from error
        if manifest.database not in (SQLITE, POSTGRES) or manifest.database not in manifest.files:
            raise BackupRefused("its manifest names no database")
        return manifest


# --- what a database knows

_COUNTED = {
    "responses": ("response", "challenger_response"), "batches": ("batch", "challenger_batch"),
    "intents": ("transaction_intent",), "attempts": ("transaction_attempt",),
}  # fmt: skip


def progress_of(file: Path) -> Progress:
    """Of a SQLite database; nothing where it lacks the tables. Raises BackupRefused when it cannot be read."""
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=10)) as connection:
            known = {
                name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            }
            return Progress(**{
                what: sum(connection.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in tables if t in known)
                for what, tables in _COUNTED.items()
            })  # fmt: skip
    except sqlite3.Error as error:
        raise BackupRefused(f"the database {file} cannot be read: {error}") from error


def copy_sqlite(source: Path, target: Path) -> None:
    """A consistent copy of a database that others write to, checked. Raises BackupRefused."""
    if not source.exists():
        raise BackupRefused(
            f"there is no database {source}; name the one of the program with --database-url or --database"
        )
    try:
        read_only = sqlite3.connect(f"file:{source}?mode=ro", uri=True, timeout=30)
        with closing(read_only) as live, closing(sqlite3.connect(target)) as copy:
            live.backup(copy, pages=_PAGES, sleep=_PAUSE_S)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
            (found,) = copy.execute("PRAGMA integrity_check").fetchone()
    except sqlite3.Error as error:
        raise BackupRefused(f"the database {source} cannot be copied: {error}") from error
    if found != "ok":
        raise BackupRefused(f"the copy of {source} is damaged: {found}")


# --- the archive


@dataclass(frozen=True)
class Source:
    """What is backed up: `database` is a SQLite file or a PostgreSQL URL."""

    role: str
    chain_id: int
    genesis_hash: str
    ledger: str
    account: str
    head: int
    database: Path | str
    deployment: Path
    settings: Path
    keystores: Sequence[Path] = ()
    blindings: Sequence[Path] = ()


def write_archive(
    source: Source, target: Path, *, with_keystores: bool = False, postgres_bin: Path | None = None
) -> Manifest:
    """`postgres_bin`: where `pg_dump` is, None: on the path. Raises BackupRefused and OSError; then nothing is left under the
    archive's name."""
    if target.exists():
        raise BackupRefused(f"{target} exists; name another file (old copies are not overwritten)")
    with tempfile.TemporaryDirectory(prefix=".gainsay-backup-", dir=target.absolute().parent) as folder:
        members: dict[str, Path] = {}
        if isinstance(source.database, Path):
            members[SQLITE] = Path(folder) / SQLITE
            copy_sqlite(source.database, members[SQLITE])
            progress = progress_of(members[SQLITE])
        else:
            members[POSTGRES] = Path(folder) / POSTGRES
            progress = postgres_copy.dump(
                source.database, members[POSTGRES], _COUNTED, Progress, postgres_bin
            )
        if source.deployment.exists():
            members["deployment.json"] = source.deployment
        if source.settings.exists():
            members["gainsay.toml"] = Path(folder) / "gainsay.toml"
            members["gainsay.toml"].write_text(without_secrets(source.settings.read_text(encoding="utf-8")))
        if with_keystores:
            for keystore in source.keystores:
                require_encrypted(keystore)
                members[f"keystores/{keystore.name}"] = keystore
        manifest = Manifest(
            source.role, source.chain_id, source.genesis_hash, source.ledger, source.account, next(iter(members)), progress,
            source.head, time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()) + " UTC",
            tuple(map(str, source.keystores)), tuple(map(str, source.blindings)),
            {name: _digest(path) for name, path in members.items()},
        )  # fmt: skip
        described = Path(folder) / "manifest.json"
        described.write_text(json.dumps(asdict(manifest), indent=2) + "\n")
        half = Path(folder) / "archive.tar"
        half.touch(mode=0o600)  # token ids, vouchers: nobody else's
        with tarfile.open(half, "w") as archive:
            for name, path in {"manifest.json": described, **members}.items():
                archive.add(path, name, recursive=False)
        with half.open("rb") as file:
            os.fsync(file.fileno())
        os.link(half, target)  # unlike a rename it never replaces
        _sync_folder(target.absolute().parent)
    return manifest


def open_archive(archive: Path, folder: Path) -> Manifest:
    """Unpack the members that the manifest names, and check their digests. Raises BackupRefused."""
    try:
        with tarfile.open(archive) as packed:
            described = packed.extractfile("manifest.json")
            if described is None:
                raise BackupRefused(f"{archive} holds no manifest")
            manifest = Manifest.read(described.read(_LONGEST_MANIFEST))
            for name, digest in manifest.files.items():
                path = folder / name
                if not path.resolve().is_relative_to(folder.resolve()):
                    raise BackupRefused(f"{archive} names a file outside of it: {name}")
                member = packed.extractfile(name)
                if member is None:
                    raise BackupRefused(f"{archive} lacks {name}")
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as file:
                    while piece := member.read(2**20):
                        file.write(piece)
                if _digest(path) != digest:
                    raise BackupRefused(f"{archive} is damaged: {name} is not what was put in")
    except (OSError, tarfile.TarError, KeyError) as error:
        raise BackupRefused(f"{archive} cannot be read: {error}") from error
    return manifest


def without_secrets(settings: str) -> str:
    """gainsay.toml without the lines that hold passwords. Raises BackupRefused when that is not so after all."""
    kept = [line for line in settings.splitlines() if not _is_secret(line.partition("=")[0])]
    text = "\n".join(kept) + "\n"
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BackupRefused(f"gainsay.toml cannot be read without its secrets: {error}") from error
    tables: list[dict[str, Any]] = [found, *(value for value in found.values() if isinstance(value, dict))]
    if any(_is_secret(name) for table in tables for name in table):
        raise BackupRefused(
            "gainsay.toml holds a password in a form that is not understood; use a password file"
        )
    return text


def _is_secret(name: str) -> bool:
    return name.strip().strip("\"'").endswith("password") or "database_url" in name


def require_encrypted(keystore: Path) -> None:
    """Raises BackupRefused for anything but an encrypted keystore."""
    try:
        content = read_json_file(keystore)
    except (OSError, ForeignJsonError) as error:
        raise BackupRefused(f"the keystore {keystore} cannot be read: {error}") from error
    crypto = content.get("crypto", content.get("Crypto")) if isinstance(content, dict) else None
    if not isinstance(crypto, dict) or "ciphertext" not in crypto or "kdf" not in crypto:
        raise BackupRefused(f"{keystore} is no encrypted keystore; it is not copied")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
