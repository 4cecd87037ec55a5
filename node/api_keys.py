"""API keys of this provider, and what each may ask for.

The operator's file holds hashes, never keys (`gainsay provider api-key NAME` makes a pair):

    [keys.alice]
    sha256 = "…"                  # of the key, 64 hex digits
    requests_per_minute = 60      # limits that are left out do not hold
    tokens_per_minute = 20000     # prompt and output
    concurrent = 4                # answers at a time

The file is read again when it changes, so that a key is added or revoked without a restart. One that cannot be read then
changes nothing: the keys that were known stay, and the log says so at every reading.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import structlog
from pydantic import BaseModel, ConfigDict, Field, StrictInt, StringConstraints, ValidationError

from contracts.bindings.settings import SettingsError

from .errors import KeyLimitError

log = structlog.get_logger("node.api_keys")

LONGEST_KEY = 512
"""Characters; of a longer one nobody computes the hash."""
_PREFIX = "gainsay-"
_LOOK_AGAIN_S = 1.0
_MINUTE_S = 60.0
_MOST_KEYS = 10_000

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
_Limit = Annotated[StrictInt, Field(ge=1, le=10**9)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$", to_lower=True)]
    requests_per_minute: _Limit | None = None
    tokens_per_minute: _Limit | None = None
    concurrent: _Limit | None = None


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    keys: Annotated[dict[Name, _Entry], Field(min_length=1, max_length=_MOST_KEYS)]


@dataclass
class _Bucket:
    """So many per minute: full at first, filled evenly."""

    per_minute: int
    level: float
    filled_at: float

    def shortage_s(self, amount: float, now: float) -> float:
        """Seconds until `amount` is there."""
        gained = (now - self.filled_at) * self.per_minute / _MINUTE_S
        self.level, self.filled_at = min(float(self.per_minute), self.level + max(0.0, gained)), now
        return max(0.0, (amount - self.level) * _MINUTE_S / self.per_minute)


@dataclass
class ApiKey:
    """One key and what it has used. Safe to share between threads."""

    name: str
    digest: bytes
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent: int | None = None
    clock: Callable[[], float] = time.monotonic
    _running: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _requests: _Bucket | None = field(init=False)
    _tokens: _Bucket | None = field(init=False)

    def __post_init__(self) -> None:
        self._requests, self._tokens = (
            self._full(self.requests_per_minute),
            self._full(self.tokens_per_minute),
        )

    def _full(self, per_minute: int | None) -> _Bucket | None:
        return None if per_minute is None else _Bucket(per_minute, per_minute, self.clock())

    @property
    def limits(self) -> tuple[int | None, int | None, int | None]:
        return self.requests_per_minute, self.tokens_per_minute, self.concurrent

    def take_request(self) -> None:
        """Count one request. Raises KeyLimitError."""
        with self._lock:
            self._take(self._requests, 1, "requests")

    @contextmanager
    def lease(self, answers: int, most_tokens: int) -> Iterator[Lease]:
        """Room for so many answers at a time and so many tokens at most; what is not used of it goes back at the end.

        Raises KeyLimitError; its `retry_after_s` is None where waiting does not help.
        """
        with self._lock:
            if self.concurrent is not None and answers > self.concurrent:
                raise KeyLimitError(
                    f"{answers} answers in one request, but this key may have {self.concurrent} at a time",
                    None,
                )
            if self.concurrent is not None and self._running + answers > self.concurrent:
                raise KeyLimitError(
                    f"this key has {self._running} answers under way and may have {self.concurrent} at a time",
                    1,
                )
            self._take(self._tokens, most_tokens, "tokens")
            self._running += answers
        lease = Lease()
        try:
            yield lease
        finally:
            with self._lock:
                self._running -= answers
                if self._tokens is not None:
                    unused = max(0, most_tokens - lease.tokens)
                    self._tokens.level = min(float(self._tokens.per_minute), self._tokens.level + unused)

    def _take(self, bucket: _Bucket | None, amount: int, what: str) -> None:
        if bucket is None:
            return
        if amount > bucket.per_minute:
            raise KeyLimitError(
                f"this request may take {amount} {what}, but this key has {bucket.per_minute} a minute; send a smaller "
                "max_tokens, or less in one request", None,
            )  # fmt: skip
        if (wait := bucket.shortage_s(amount, self.clock())) > 0:
            raise KeyLimitError(
                f"this key has {bucket.per_minute} {what} a minute, and they are used up", int(wait) + 1
            )
        bucket.level -= amount


@dataclass
class Lease:
    """What a request has used of its key."""

    tokens: int = 0


class KeyRing:
    """The keys of one file."""

    def __init__(self, file: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises SettingsError when the file cannot be read."""
        self._file, self._clock = file, clock
        self._stamp = _stamp(file)
        self._keys = self._read()
        self._lock, self._looked_at = threading.Lock(), clock()

    def find(self, key: str) -> ApiKey | None:
        """The key, if the file has its hash.

        Hashes are compared in a time that does not depend on where they differ, and with all of them.
        """
        self._look_again()
        if not key or len(key) > LONGEST_KEY:
            return None
        digest, found = hash_of(key), None
        for known in self._keys:
            if hmac.compare_digest(known.digest, digest):
                found = known
        return found

    def _look_again(self) -> None:
        with self._lock:
            now = self._clock()
            if now - self._looked_at < _LOOK_AGAIN_S:
                return
            self._looked_at = now
            try:
                if (stamp := _stamp(self._file)) == self._stamp:
                    return
                self._keys = self._read()
                self._stamp = stamp
            except SettingsError as error:
                log.error("API keys not read again; those known before stay", reason=str(error))
                return
        log.info("API keys read", count=len(self._keys))

    def _read(self) -> list[ApiKey]:
        """The file's keys; what those have used that were known before with the same limits stays used."""
        former = {(key.name, key.digest, key.limits): key for key in getattr(self, "_keys", ())}
        read = []
        for name, entry in _parse(self._file).items():
            key = ApiKey(
                name, bytes.fromhex(entry.sha256), entry.requests_per_minute, entry.tokens_per_minute,
                entry.concurrent, self._clock,
            )  # fmt: skip
            read.append(former.get((key.name, key.digest, key.limits), key))
        return read


def hash_of(key: str) -> bytes:
    """SHA-256: keys are 256 random bits, so a slow hash would protect nothing more."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def draw_key() -> str:
    """A new key."""
    return _PREFIX + secrets.token_urlsafe(32)


def _parse(file: Path) -> dict[str, _Entry]:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
        entries = _File.model_validate(content).keys
    except OSError as error:
        raise SettingsError(
            f"the API keys {file} cannot be read ({error.strerror}); correct --api-keys"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SettingsError(f"the API keys {file} are wrong at {where}: {first['msg'].lower()}") from None
    except ValueError as error:  # no UTF-8, no TOML
        raise SettingsError(f"the API keys {file} are no TOML: {error}") from None
    digests = [entry.sha256 for entry in entries.values()]
    if len(set(digests)) < len(digests):
        raise SettingsError(f"the API keys {file} have one key under two names; leave one out")
    return dict(entries)


def _stamp(file: Path) -> tuple[int, int, int]:
    try:
        status = file.stat()
    except OSError as error:
        raise SettingsError(
            f"the API keys {file} cannot be read ({error.strerror}); correct --api-keys"
        ) from error
    return status.st_mtime_ns, status.st_size, status.st_ino
