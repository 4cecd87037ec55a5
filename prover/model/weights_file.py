"""Integer weights on disk: put away while a model is made, saved tensor by tensor, and mapped into memory to be read.

A saved file is safetensors. Nothing here holds more than one tensor in memory, so a model may be larger than that.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from ..foreign_json import MODEL_FILE, read_json
from .errors import ModelFileError

_STORED = {"I16": "<i2", "I32": "<i4", "I64": "<i8"}
_NAMES = {np.dtype(stored): name for name, stored in _STORED.items()}
_ROW_BYTES = 1 << 24
_SMALLEST_KEPT = 1 << 16


class WeightsFile:
    """A scratch file of tensors. `keep` gives each one back as a view of the file, small ones as they are."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()
        self._mappings: list[mmap.mmap] = []

    def keep(self, values: np.ndarray) -> np.ndarray:
        """Append a tensor. The same integers, read-only and on disk."""
        if values.nbytes < _SMALLEST_KEPT:
            return values
        end = self.path.stat().st_size
        start = end - end % -mmap.ALLOCATIONGRANULARITY  # the next place at which a mapping may begin
        with self.path.open("r+b") as stream:
            stream.seek(start)
            for block in _blocks(values):
                stream.write(block)
            stream.flush()
            mapping = mmap.mmap(stream.fileno(), values.nbytes, access=mmap.ACCESS_READ, offset=start)
        self._mappings.append(mapping)
        return np.frombuffer(mapping, dtype=values.dtype.newbyteorder("<")).reshape(values.shape)

    def madvise(self, option: int) -> None:
        """Of all tensors, as `mmap.mmap.madvise`."""
        for mapping in self._mappings:
            mapping.madvise(option)

    def release_pages(self) -> None:
        """Let go of what is in memory; what is needed again is read again."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self.madvise(mmap.MADV_DONTNEED)


def write_weights(
    tensors: Mapping[str, np.ndarray], path: Path, *, let_go: Callable[[], None] = lambda: None
) -> None:
    """Save tensors as safetensors, one after the other. let_go: called after each, to release its pages."""
    header, at = {}, 0
    for name, values in tensors.items():
        kind = _NAMES[values.dtype.newbyteorder("<")]
        header[name] = {"dtype": kind, "shape": list(values.shape), "data_offsets": [at, at + values.nbytes]}
        at += values.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of eight bytes
    with path.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for values in tensors.values():
            for block in _blocks(values):
                stream.write(block)
            let_go()


def map_file(path: Path) -> mmap.mmap:
    """A whole file, read-only."""
    with path.open("rb") as stream:
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)


def tensors_of(mapping: mmap.mmap, path: Path) -> dict[str, np.ndarray]:
    """Every tensor as a read-only view of the mapped file; the library's own reader would copy.

    Raises ModelFileError, and what reading a broken header raises.
    """
    mapped = np.frombuffer(mapping, dtype=np.uint8)
    header_size = int.from_bytes(mapped[:8].tobytes(), "little")
    header = read_json(mapped[8 : 8 + header_size].tobytes(), what=f"the header of {path}", limits=MODEL_FILE)
    body = mapped[8 + header_size :]
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if entry["dtype"] not in _STORED:
            raise ModelFileError(f"{path}: tensor {name!r} is {entry['dtype']}, not an integer; import again")
        start, end = entry["data_offsets"]
        values = body[start:end].view(_STORED[entry["dtype"]])
        tensors[name] = np.asarray(values.reshape(entry["shape"]))
    return tensors


def _blocks(values: np.ndarray) -> Iterator[bytes]:
    """Little-endian bytes of a tensor, some rows at a time."""
    rows = values.reshape(len(values), -1) if values.ndim > 1 else values.reshape(1, -1)
    step = max(1, _ROW_BYTES // max(1, rows[0].nbytes)) if len(rows) else 1
    for start in range(0, len(rows), step):
        block = rows[start : start + step]
        yield np.ascontiguousarray(block, dtype=values.dtype.newbyteorder("<")).tobytes()
