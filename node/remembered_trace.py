"""Boundaries of answers that were computed once, kept on disk: most moves need nothing else of a trace.

One file per answer and boundary, `<model id>/<leaf>/<boundary>`: SHA-256 over name and content, then for each stream the
number of its running sums (u32) and these, 64 bytes each. A file that is missing, cut short, changed or misplaced is computed again; a disk that
is full costs time, never a game. Oldest files go first when the folder exceeds its size.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from contracts.protocol.model import CommittedModel
from contracts.protocol.streams import Point, boundary_hash, stream_root, window_commitments
from contracts.protocol.trace import ProvingTrace
from prover.sampling import Sampling

log = structlog.get_logger("node.traces")

_LARGEST_BYTES = 256 * 2**20
_COUNT = struct.Struct(">I")
_DIGEST = 32
#: Running sums of every stream.
Streams = list[list[Point]]


class BoundaryFiles:
    """The folder of one model's boundaries."""

    def __init__(self, folder: Path, model_id: bytes, largest_bytes: int = _LARGEST_BYTES) -> None:
        self._folder, self._largest_bytes = folder / model_id.hex(), largest_bytes
        self._model_id = model_id
        self._tidying = threading.Lock()

    def load(self, leaf: str, boundary: int) -> Streams | None:
        """The streams of a boundary; None when there is no whole file of them."""
        try:
            content = self._path(leaf, boundary).read_bytes()
        except OSError:
            return None
        digest, body = content[:_DIGEST], content[_DIGEST:]
        return _decoded(body) if digest == self._digest(leaf, boundary, body) else None

    def store(self, leaf: str, boundary: int, streams: Sequence[Sequence[Point]]) -> None:
        """Write a boundary whole or not at all; a failure is only logged."""
        body = b"".join(_COUNT.pack(len(points)) + points_bytes(points) for points in streams)
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
        model: CommittedModel,
        start: Callable[[Sequence[int], Sequence[int], Sampling | None], ProvingTrace],
        sampling: Sampling | None = None,
    ) -> None:
        self.prompt_ids, self.output_ids = prompt_ids, output_ids
        self._leaf, self._files, self._start = leaf, files, start
        self._model, self._sampling = model, sampling
        self._known: dict[int, Streams] = {}
        self._roots: dict[int, tuple[bytes, ...]] = {}
        self._computing, self._proving = threading.RLock(), threading.RLock()
        self._computer: ProvingTrace | None = None
        self._prover: ProvingTrace | None = None

    def first_unprovable(self) -> tuple[int, int] | None:
        """A trace whose last boundary is kept did not end early."""
        with self._computing:
            if self._known_streams(self._model.step_count) is not None:
                return None
            return self._replay().first_unprovable()

    def step_kind(self, s: int) -> int:
        return self._model.kind(s)

    def stream_points(self, s: int, stream: int) -> Sequence[Point]:
        return self._streams(s)[stream]

    def window_commitments(self, s: int, stream: int) -> Sequence[Point | None]:
        sums = self._streams(s)[stream]
        if s in self._known:
            return window_commitments(sums, self._model.chunk_bits[stream])
        with self._computing:  # the trace ends early: it knows what is behind its end
            return self._replay().window_commitments(s, stream)

    def stream_roots(self, s: int) -> tuple[bytes, ...]:
        if s not in self._known:
            self._streams(s)
        if s not in self._known:  # the trace ends early: it knows what is whole
            with self._computing:
                return self._replay().stream_roots(s)
        if s not in self._roots:
            self._roots[s] = tuple(map(stream_root, self._known[s]))
        return self._roots[s]

    def boundary_hash(self, s: int) -> bytes:
        return boundary_hash(self.stream_roots(s))

    def _streams(self, s: int) -> Streams:
        if (known := self._known.get(s)) is None:
            with self._computing:
                known = self._known_streams(s)
                if known is None:
                    replay = self._replay()
                    count = len(self._model.chunk_bits)
                    known = [list(replay.stream_points(s, stream)) for stream in range(count)]
                    if replay.first_unprovable() is None:  # of a trace that ends early nothing is kept
                        self._files.store(self._leaf, s, known)
                        self._known[s] = known
        return known

    def argmax(self, position: int) -> int | None:
        with self._computing:
            return self._replay().argmax(position)

    def first_wrong_output(self) -> tuple[int, int] | None:
        with self._computing:
            return self._replay().first_wrong_output()

    def winner(self, position: int, rival: int) -> int:
        with self._computing:
            return self._replay().winner(position, rival)

    def prove_step(self, s: int, window: int) -> bytes:
        return self._prove(lambda trace: trace.prove_step(s, window))

    def prove_embedding(self, window: int) -> bytes:
        return self._prove(lambda trace: trace.prove_embedding(window))

    def prove_head(self, position: int, rival: int) -> bytes:
        return self._prove(lambda trace: trace.prove_head(position, rival))

    def _known_streams(self, s: int) -> Streams | None:
        if s not in self._known and (loaded := self._files.load(self._leaf, s)) is not None:
            self._known[s] = loaded
        return self._known.get(s)

    def _replay(self) -> ProvingTrace:
        if self._computer is None:
            self._computer = self._start(self.prompt_ids, self.output_ids, self._sampling)
        return self._computer

    def _prove(self, prove: Callable[[ProvingTrace], bytes]) -> bytes:
        with self._proving:
            with self._computing:
                # Taken over, so that a short move that comes meanwhile starts a replay of its own.
                if self._prover is None:
                    self._prover, self._computer = self._replay(), None
            return prove(self._prover)


def points_bytes(points: Sequence[Point]) -> bytes:
    """64 bytes per point."""
    return b"".join(coordinate.to_bytes(32, "big") for point in points for coordinate in point)


def _decoded(body: bytes) -> Streams | None:
    streams, at = [], 0
    while at < len(body):
        if len(body) < at + _COUNT.size:
            return None
        (count,) = _COUNT.unpack_from(body, at)
        at += _COUNT.size
        if len(body) < at + 64 * count:
            return None
        words = [int.from_bytes(body[at + 32 * i : at + 32 * (i + 1)], "big") for i in range(2 * count)]
        streams.append(list(zip(words[::2], words[1::2], strict=True)))
        at += 64 * count
    return streams or None
