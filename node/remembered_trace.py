"""Boundaries of answers that were computed once, kept on disk: most moves need nothing else of a trace.

One file per answer and boundary, `<model id>/<leaf>/<boundary>`: SHA-256 over name and content, then the W window
commitments of 64 bytes each. A file that is missing, cut short, changed or misplaced is computed again; a disk that
is full costs time, never a game. Oldest files go first when the folder exceeds its size.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog
from eth_hash.auto import keccak

from contracts.protocol.model import Point
from contracts.protocol.trace import ProvingTrace

log = structlog.get_logger("node.traces")

_LARGEST_BYTES = 256 * 2**20
_WORD = 32
_DIGEST = 32


class BoundaryFiles:
    """The folder of one model's boundaries."""

    def __init__(self, folder: Path, model_id: bytes, largest_bytes: int = _LARGEST_BYTES) -> None:
        self._folder, self._largest_bytes = folder / model_id.hex(), largest_bytes
        self._model_id = model_id
        self._tidying = threading.Lock()

    def load(self, leaf: str, boundary: int) -> list[Point] | None:
        """The points of a boundary; None when there is no whole file of them."""
        try:
            content = self._path(leaf, boundary).read_bytes()
        except OSError:
            return None
        digest, body = content[:_DIGEST], content[_DIGEST:]
        if not body or len(body) % (2 * _WORD) or digest != self._digest(leaf, boundary, body):
            return None
        words = [int.from_bytes(body[at : at + _WORD], "big") for at in range(0, len(body), _WORD)]
        return list(zip(words[::2], words[1::2], strict=True))

    def store(self, leaf: str, boundary: int, points: Sequence[Point]) -> None:
        """Write a boundary whole or not at all; a failure is only logged."""
        body = points_bytes(points)
        path = self._path(leaf, boundary)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._tidy(len(body) + _DIGEST)
            handle, name = tempfile.mkstemp(dir=path.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(self._digest(leaf, boundary, body) + body)
                os.replace(name, path)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(name)
                raise
        except OSError as error:
            log.warning("boundary not kept", boundary=boundary, error=str(error))

    def _tidy(self, coming: int) -> None:
        with self._tidying:
            found = [(entry.stat(), entry) for entry in self._folder.glob("*/*")]
            size = coming + sum(stat.st_size for stat, _ in found)
            for stat, entry in sorted(found, key=lambda pair: pair[0].st_mtime):
                if size <= self._largest_bytes:
                    return
                entry.unlink(missing_ok=True)
                size -= stat.st_size

    def _path(self, leaf: str, boundary: int) -> Path:
        return self._folder / bytes.fromhex(leaf.removeprefix("0x")).hex() / str(boundary)

    def _digest(self, leaf: str, boundary: int, body: bytes) -> bytes:
        name = self._model_id + bytes.fromhex(leaf.removeprefix("0x")) + boundary.to_bytes(8, "big")
        return hashlib.sha256(name + body).digest()


class RememberedTrace:
    """A `ProvingTrace` that replays the answer only for what neither memory nor disk holds.

    Short moves never wait for a proof: while one is made, a boundary that is not known is computed by a second replay.
    """

    def __init__(
        self,
        leaf: str,
        prompt_ids: Sequence[int],
        output_ids: Sequence[int],
        files: BoundaryFiles,
        last_boundary: int,
        start: Callable[[Sequence[int], Sequence[int]], ProvingTrace],
    ) -> None:
        self.prompt_ids, self.output_ids = prompt_ids, output_ids
        self._leaf, self._files, self._start = leaf, files, start
        self._last_boundary = last_boundary
        self._points: dict[int, list[Point]] = {}
        self._computing, self._proving = threading.RLock(), threading.RLock()
        self._computer: ProvingTrace | None = None
        self._prover: ProvingTrace | None = None

    def first_unprovable(self) -> tuple[int, int] | None:
        """A trace whose last boundary is kept did not end early."""
        with self._computing:
            if self._known_points(self._last_boundary) is not None:
                return None
            return self._replay().first_unprovable()

    def boundary_points(self, s: int) -> Sequence[Point]:
        if (known := self._points.get(s)) is None:
            with self._computing:
                known = self._known_points(s)
                if known is None:
                    replay = self._replay()
                    known = list(replay.boundary_points(s))
                    if replay.first_unprovable() is None:  # of a trace that ends early nothing is kept
                        self._files.store(self._leaf, s, known)
                        self._points[s] = known
        return known

    def boundary_hash(self, s: int) -> bytes:
        return keccak(points_bytes(self.boundary_points(s)))

    def argmax(self, position: int) -> int | None:
        with self._computing:
            return self._replay().argmax(position)

    def first_wrong_output(self) -> tuple[int, int] | None:
        with self._computing:
            return self._replay().first_wrong_output()

    def prove_step(self, s: int, window: int) -> bytes:
        return self._prove(lambda trace: trace.prove_step(s, window))

    def prove_embedding(self, window: int) -> bytes:
        return self._prove(lambda trace: trace.prove_embedding(window))

    def prove_head(self, position: int, rival: int) -> bytes:
        return self._prove(lambda trace: trace.prove_head(position, rival))

    def _known_points(self, s: int) -> list[Point] | None:
        if s not in self._points and (loaded := self._files.load(self._leaf, s)) is not None:
            self._points[s] = loaded
        return self._points.get(s)

    def _replay(self) -> ProvingTrace:
        if self._computer is None:
            self._computer = self._start(self.prompt_ids, self.output_ids)
        return self._computer

    def _prove(self, prove: Callable[[ProvingTrace], bytes]) -> bytes:
        with self._proving:
            with self._computing:
                # Taken over, so that a short move that comes meanwhile starts a replay of its own.
                if self._prover is None:
                    self._prover, self._computer = self._replay(), None
            return prove(self._prover)


def points_bytes(points: Sequence[Point]) -> bytes:
    """What a boundary hash is taken of: 64 bytes per window commitment."""
    return b"".join(value.to_bytes(_WORD, "big") for point in points for value in point)
