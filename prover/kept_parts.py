"""Long work that survives being stopped: its parts in order, each kept in a file as soon as it is made.

    part    length (4 bytes), keccak(number, payload) (32 bytes), payload

Whoever works again in the same order reads what is there and makes the rest. The first part that is torn, damaged or out
of place ends what is read: it and all later ones are made again. The file's name must say what the work depends on.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from eth_hash.auto import keccak

_LENGTH_BYTES, _DIGEST_BYTES = 4, 32


class KeptParts:
    """Parts read from a file while it has any, then made and appended. Without a file all are made."""

    def __init__(self, file: BinaryIO | None) -> None:
        self._file, self._reading, self._number = file, file is not None, 0

    def part(self, make: Callable[[], bytes]) -> bytes:
        """The next part: the kept one, or what `make` returns."""
        payload = self._read() if self._reading else None
        if payload is None:
            payload = make()
            self._append(payload)
        self._number += 1
        return payload

    def _read(self) -> bytes | None:
        assert self._file is not None
        start = self._file.tell()
        header = self._file.read(_LENGTH_BYTES + _DIGEST_BYTES)
        payload = self._file.read(int.from_bytes(header[:_LENGTH_BYTES], "big"))
        if header == self._header(payload):
            return payload
        self._reading = False
        self._file.seek(start)
        self._file.truncate()
        return None

    def _append(self, payload: bytes) -> None:
        if self._file is not None:
            self._file.write(self._header(payload) + payload)
            self._file.flush()

    def _header(self, payload: bytes) -> bytes:
        return len(payload).to_bytes(_LENGTH_BYTES, "big") + keccak(self._number.to_bytes(8, "big") + payload)


@contextmanager
def kept_parts(path: Path | None) -> Iterator[KeptParts]:
    """Parts in `path`, which goes when the block ends well and stays for the next attempt when it does not.

    Without a path, or while another process works on the same file, nothing is kept.
    """
    if path is None:
        yield KeptParts(None)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield KeptParts(None)
            return
        file.seek(0)
        yield KeptParts(file)
        path.unlink(missing_ok=True)


__all__ = ["KeptParts", "kept_parts"]
