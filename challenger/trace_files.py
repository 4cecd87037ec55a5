"""What a game needs of a replay, on disk: the running sums of boundaries' streams, so that a move is a look-up.

One file per response, named by sha256(model id, prompt ids, output ids, sampling rule):

    magic | name (32) | windows (u32) | verdict known (u8) | wrong position (u32) | right token (u32) |
    end known (u8) | its step (u32) | its window (u32) |
    boundaries (u32) | { boundary (u32) | streams (u32) | { n (u32) | n · (x, y), 32 bytes each } ... } ... |
    boundaries (u32) | { boundary (u32) | streams (u32) | { n (u32) | n · (known (u8) | x, y) } ... } ... |
    sha256 of all before

First running sums: n is the number of windows of the stream, or of those in front of the window where the trace ends; 0 for a
stream without windows. Then commitments of boundaries in which some windows have none, and later ones do: that behind the step
where the trace ends, and b_0 where an id cannot be fed.

Written whole beside its place and renamed into it; a file that is torn, foreign or too long is no file.
"""

from __future__ import annotations

import hashlib
import os
import struct
import threading
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from contracts.protocol.model import CommittedModel
from contracts.protocol.sampling import sampling_word
from contracts.protocol.streams import Point, boundary_hash, stream_root, window_commitments
from contracts.protocol.token_ids import pack_token_ids
from prover.errors import OutOfRangeError
from prover.sampling import Sampling

log = structlog.get_logger(__name__)
_MAGIC = b"gainsay trace 4\n"
_HEAD = struct.Struct(">32sIBIIBIII")
_BOUNDARY = struct.Struct(">II")
_COUNT = struct.Struct(">I")
_POINT, _KNOWN_POINT = struct.Struct(">32s32s"), struct.Struct(">?32s32s")
_NOT_KNOWN, _NOTHING, _SOMETHING = 0, 1, 2
_LARGEST_FILE = 64 * 2**20


#: The running sums of every stream.
Streams = tuple[tuple[Point, ...], ...]
#: The commitments of all windows of every stream, as far as they have one.
Windows = tuple[tuple[Point | None, ...], ...]


class TraceNeeded(Exception):
    """The stored part does not say it; the model has to be run."""


@dataclass
class StoredTrace:
    """The part of an own trace that is known without running the model; satisfies `OwnTrace`, and raises
    `TraceNeeded` for everything else."""

    prompt_ids: Sequence[int]
    output_ids: Sequence[int]
    windows: int
    model: CommittedModel
    #: boundary -> what is known of its streams
    streams: dict[int, Streams] = field(default_factory=dict)
    #: (True, what `first_wrong_output` says) once that is known
    wrong: tuple[bool, tuple[int, int] | None] = (False, None)
    #: (True, what `first_unprovable` says) once that is known
    end: tuple[bool, tuple[int, int] | None] = (False, None)
    #: boundary -> its windows, where some have no commitment and later ones do
    partial: dict[int, Windows] = field(default_factory=dict)
    _roots: dict[int, tuple[bytes, ...]] = field(default_factory=dict, compare=False, repr=False)

    def first_unprovable(self) -> tuple[int, int] | None:
        if not self.end[0]:
            raise TraceNeeded("where the trace ends")
        return self.end[1]

    def step_kind(self, s: int) -> int:
        return self.model.kind(s)

    def stream_points(self, s: int, stream: int) -> Sequence[Point]:
        if s not in self.streams:
            raise TraceNeeded(f"boundary {s}")
        return self.streams[s][stream]

    def window_commitments(self, s: int, stream: int) -> Sequence[Point | None]:
        if s in self.partial:
            return self.partial[s][stream]
        end = self.first_unprovable()
        if end is not None and s > end[0]:
            raise TraceNeeded(f"the windows of boundary {s}")
        return window_commitments(self.stream_points(s, stream), self.model.chunk_bits[stream])

    def stream_roots(self, s: int) -> tuple[bytes, ...]:
        end = self.first_unprovable()
        if end is not None and s > end[0]:
            raise OutOfRangeError(f"boundary {s} lies behind a value that leaves its range")
        if s not in self.streams:
            raise TraceNeeded(f"boundary {s}")
        if s not in self._roots:
            self._roots[s] = tuple(map(stream_root, self.streams[s]))
        return self._roots[s]

    def boundary_hash(self, s: int) -> bytes:
        return boundary_hash(self.stream_roots(s))

    def argmax(self, position: int) -> int | None:
        raise TraceNeeded(f"the token after position {position}")

    def first_wrong_output(self) -> tuple[int, int] | None:
        if not self.wrong[0]:
            raise TraceNeeded("the first wrong token")
        return self.wrong[1]


def trace_name(
    model_id: bytes, prompt_ids: Sequence[int], output_ids: Sequence[int], sampling: Sampling | None = None
) -> bytes:
    """The rule is part of it: which output token is the first wrong one depends on it."""
    prompt, output = pack_token_ids(prompt_ids), pack_token_ids(output_ids)
    rule = b"" if sampling is None else sampling_word(sampling)
    lengths = struct.pack(">II", len(prompt), len(output))
    return hashlib.sha256(model_id + lengths + prompt + output + rule).digest()


class TraceFiles:
    """The traces of one challenger, at most `limit_bytes` of them: the oldest go first, those in `keep` last.

    Without a folder they are kept in memory.
    """

    def __init__(self, folder: Path | None, *, limit_bytes: int = 2**30) -> None:
        self._folder, self._limit_bytes = folder, limit_bytes
        self._memory: OrderedDict[bytes, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def load(
        self, name: bytes, prompt_ids: Sequence[int], output_ids: Sequence[int], model: CommittedModel
    ) -> StoredTrace:
        """What is known of this response of the model; an empty trace when there is nothing."""
        windows = -(-(len(prompt_ids) + len(output_ids) - 1) // 32)
        try:
            content = self._read(name)
        except OSError as error:
            log.warning("trace not read", because=str(error))
            content = None
        trace = StoredTrace(prompt_ids, output_ids, windows, model)
        if content is not None and not _decode(content, name, trace):
            log.warning("a trace file is damaged or of another version; it is made again", name=name.hex())
            trace = StoredTrace(prompt_ids, output_ids, windows, model)
        return trace

    def save(self, name: bytes, trace: StoredTrace, keep: Collection[bytes] = ()) -> None:
        """Replace what was there. Raises OSError when the disk does not take it."""
        content = _encode(name, trace)
        with self._lock:
            if self._folder is None:
                self._memory[name] = content
                self._memory.move_to_end(name)
            else:
                self._folder.mkdir(parents=True, exist_ok=True)
                place = self._path(name)
                beside = place.with_suffix(".new")
                with beside.open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                beside.replace(place)
            self._make_room(name, set(keep))

    def _make_room(self, newest: bytes, keep: set[bytes]) -> None:
        sizes = self._sizes()
        total = sum(sizes.values())
        for name in sorted(sizes, key=lambda each: each in keep):
            if total <= self._limit_bytes or name == newest:
                continue
            total -= sizes[name]
            self._memory.pop(name, None)
            if self._folder is not None:
                self._path(name).unlink(missing_ok=True)

    def _sizes(self) -> dict[bytes, int]:
        """Oldest first."""
        if self._folder is None:
            return {name: len(content) for name, content in self._memory.items()}
        stats = [(path, path.stat()) for path in self._folder.glob("*.trace")]
        return {
            bytes.fromhex(path.stem): stat.st_size
            for path, stat in sorted(stats, key=lambda s: s[1].st_mtime)
        }

    def _read(self, name: bytes) -> bytes | None:
        if self._folder is None:
            return self._memory.get(name)
        path = self._path(name)
        try:
            if path.stat().st_size > _LARGEST_FILE:
                return b""
            return path.read_bytes()
        except FileNotFoundError:
            return None

    def _path(self, name: bytes) -> Path:
        assert self._folder is not None
        return self._folder / f"{name.hex()}.trace"


def _encode(name: bytes, trace: StoredTrace) -> bytes:
    head = _HEAD.pack(name, trace.windows, *_packed(trace.wrong), *_packed(trace.end), len(trace.streams))
    parts = [_MAGIC, head]
    for boundary, streams in sorted(trace.streams.items()):
        parts.append(_BOUNDARY.pack(boundary, len(streams)))
        for points in streams:
            parts.append(_COUNT.pack(len(points)))
            parts += [_POINT.pack(*map(_word, point)) for point in points]
    parts.append(_COUNT.pack(len(trace.partial)))
    for boundary, windows in sorted(trace.partial.items()):
        parts.append(_BOUNDARY.pack(boundary, len(windows)))
        for found in windows:
            parts.append(_COUNT.pack(len(found)))
            parts += [_KNOWN_POINT.pack(point is not None, *map(_word, point or (0, 0))) for point in found]
    content = b"".join(parts)
    return content + hashlib.sha256(content).digest()


def _packed(fact: tuple[bool, tuple[int, int] | None]) -> tuple[int, int, int]:
    known, value = fact
    kind = _NOT_KNOWN if not known else _NOTHING if value is None else _SOMETHING
    return kind, *(value or (0, 0))


def _unpacked(kind: int, first: int, second: int) -> tuple[bool, tuple[int, int] | None]:
    return kind != _NOT_KNOWN, (first, second) if kind == _SOMETHING else None


def _word(coordinate: int) -> bytes:
    return coordinate.to_bytes(32, "big")


class _Cut(Exception):
    """The file ends in the middle, or has more than it can have."""


class _Reader:
    def __init__(self, body: bytes, at: int) -> None:
        self._body, self.at = body, at

    def take(self, record: struct.Struct) -> tuple[Any, ...]:
        if len(self._body) < self.at + record.size:
            raise _Cut
        self.at += record.size
        return record.unpack_from(self._body, self.at - record.size)

    def records(self, record: struct.Struct, at_most: int) -> list[tuple[Any, ...]]:
        """A number (u32), and so many records."""
        (count,) = self.take(_COUNT)
        if count > at_most:
            raise _Cut
        return [self.take(record) for _ in range(count)]

    def boundary(self, record: struct.Struct, into: StoredTrace) -> tuple[int, list[list[tuple[Any, ...]]]]:
        """A boundary, and the records of each of its streams."""
        boundary, streams = self.take(_BOUNDARY)
        if streams != len(into.model.chunk_bits):
            raise _Cut
        return boundary, [self.records(record, into.windows) for _ in range(streams)]


def _decode(content: bytes, name: bytes, into: StoredTrace) -> bool:
    at = len(_MAGIC) + _HEAD.size
    body, digest = content[:-32], content[-32:]
    if len(body) < at or not body.startswith(_MAGIC) or hashlib.sha256(body).digest() != digest:
        return False
    stored_name, windows, *facts, count = _HEAD.unpack_from(body, len(_MAGIC))
    if stored_name != name or windows != into.windows:
        return False
    reader = _Reader(body, at)
    try:
        for _ in range(count):
            boundary, streams = reader.boundary(_POINT, into)
            into.streams[boundary] = tuple(tuple(_point(*words) for words in each) for each in streams)
        (count,) = reader.take(_COUNT)
        for _ in range(count):
            boundary, streams = reader.boundary(_KNOWN_POINT, into)
            into.partial[boundary] = tuple(
                tuple(_point(*words) if known else None for known, *words in each) for each in streams
            )
    except _Cut:
        return False
    into.wrong, into.end = _unpacked(*facts[:3]), _unpacked(*facts[3:])
    return reader.at == len(body)


def _point(x: bytes, y: bytes) -> Point:
    return int.from_bytes(x, "big"), int.from_bytes(y, "big")
