"""Strict reader of the GGUF container (version 2 and 3, little endian): metadata, and tensors as raw bytes.

Written here rather than taken from the `gguf` package because that reader trusts every length in the file: a
hostile count makes it loop for hours or index an empty array. Here each length is checked against the bytes
left, so a malformed file costs one typed error. Tensor decoding does come from `gguf.quants`.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

from .errors import (
    CheckpointError,
    GgufError,
    MissingMetadataError,
    MissingTensorError,
    UnsupportedTensorError,
)
from .model_files import refuse_pointer

MAGIC = b"GGUF"
VERSIONS = (2, 3)
DECODABLE = (
    *("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"),
    *("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"),
)

_MAX_DIMENSIONS = 4
_DEFAULT_ALIGNMENT = 32
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9


@dataclass(frozen=True)
class TensorInfo:
    """Where a tensor lies. `shape` is in NumPy order: the axis that varies fastest comes last."""

    name: str
    encoding: str
    shape: tuple[int, ...]
    start: int
    size: int


class GgufFile:
    """An open GGUF file: `metadata` as Python values, `tensors` by name, decoded one at a time on request."""

    def __init__(self, path: Path | str) -> None:
        """Raises GgufError for anything that is not a well-formed GGUF file, and FileNotFoundError."""
        self.path = Path(path)
        refuse_pointer(self.path)
        self._stream = self.path.open("rb")
        try:
            self.metadata, self.tensors = self._parse()
        except CheckpointError:
            self._stream.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._stream.close()

    def _parse(self) -> tuple[dict[str, Any], dict[str, TensorInfo]]:
        try:
            data = mmap.mmap(self._stream.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError as error:  # an empty file cannot be mapped
            raise GgufError(f"{self.path} is empty; fetch or copy the GGUF file again") from error
        with data:
            return _Parser(data, self.path).parse()

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self.tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        if name not in self.tensors:
            raise MissingTensorError(name)
        return self.tensors[name].shape

    def required(self, key: str, kind: type | tuple[type, ...]) -> Any:
        """Metadata value of `key`, checked to be of `kind`."""
        if key not in self.metadata:
            raise MissingMetadataError(key)
        value = self.metadata[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
            raise GgufError(f"GGUF metadata {key!r} has type {type(value).__name__}, which it must not have")
        return value

    def read(self, name: str, shape: tuple[int, ...], part: int | None = None) -> np.ndarray:
        """Tensor `name` as float32 of exactly `shape`; part: of those along its first axis, one alone.

        Raises MissingTensorError, UnsupportedTensorError for an encoding that is not in DECODABLE, and
        GgufError for another shape or for values that are not finite.
        """
        self.check(name, shape)
        info = self.tensors[name]
        start, size = info.start, info.size
        if part is not None:
            size, shape = size // shape[0], shape[1:]
            start += size * part
        rows = self._bytes(start, size).reshape(*shape[:-1], -1)
        values = (
            dequantize(rows, GGMLQuantizationType[info.encoding])
            .astype(np.float32, copy=False)
            .reshape(shape)
        )
        if not np.isfinite(values).all():
            raise GgufError(f"tensor {name!r} holds values that are not finite; convert the model again")
        return values

    def _bytes(self, start: int, size: int) -> np.ndarray:
        """Read, not mapped: pages of a mapping would all count as this process' memory. Writable, as torch wants it."""
        data = np.fromfile(self._stream, dtype=np.uint8, count=size, offset=start - self._stream.tell())
        if len(data) != size:
            raise GgufError(f"{self.path} was cut off while it was read; fetch or copy the GGUF file again")
        return data

    def check(self, name: str, shape: tuple[int, ...]) -> None:
        """Raise what `read` would raise, but for the values themselves."""
        if name not in self.tensors:
            raise MissingTensorError(name)
        info = self.tensors[name]
        if info.encoding not in DECODABLE:
            raise UnsupportedTensorError(name, info.encoding, DECODABLE)
        if info.shape != shape:
            raise GgufError(f"tensor {name!r} has shape {info.shape} where the metadata implies {shape}")


class _Parser:
    def __init__(self, data: mmap.mmap, path: Path) -> None:
        self.data, self.path, self.at = data, path, 0

    def parse(self) -> tuple[dict[str, Any], dict[str, TensorInfo]]:
        if self.take(4, "the magic") != MAGIC:
            raise GgufError(f"{self.path} does not start with {MAGIC!r}, so it is not a GGUF file")
        version = self.scalar("I", "the version")
        if version not in VERSIONS:
            raise GgufError(
                f"{self.path} has GGUF version {version}; only little-endian versions 2 and 3 are read"
            )
        tensor_count = self.scalar("Q", "the tensor count")
        entry_count = self.scalar("Q", "the metadata count")
        metadata: dict[str, Any] = {}
        for _ in range(entry_count):  # ends by itself: each entry takes bytes, and taking past the end raises
            key = self.string("a metadata key")
            if key in metadata:
                raise self.error(f"metadata key {key!r} appears twice")
            metadata[key] = self.value(self.scalar("I", f"the type of {key!r}"), key)
        entries = [self.tensor_entry() for _ in self.bounded(tensor_count, 24, "tensor entries")]
        return metadata, self.place(entries, metadata)

    def place(
        self, entries: list[tuple[str, GGMLQuantizationType, tuple[int, ...], int]], metadata: dict[str, Any]
    ) -> dict[str, TensorInfo]:
        """Absolute, bounds-checked positions of the tensors behind the header."""
        alignment = metadata.get("general.alignment", _DEFAULT_ALIGNMENT)
        if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
            raise self.error(f"alignment {alignment!r} is not a power of two")
        base = -(-self.at // alignment) * alignment
        tensors: dict[str, TensorInfo] = {}
        for name, encoding, shape, offset in entries:
            if name in tensors:
                raise self.error(f"tensor {name!r} appears twice")
            block, block_bytes = GGML_QUANT_SIZES[encoding]
            if shape[-1] % block:
                raise self.error(f"tensor {name!r} has rows of {shape[-1]}, not a multiple of {block}")
            size = math.prod(shape) // block * block_bytes
            if offset % alignment or base + offset + size > len(self.data):
                raise self.error(f"tensor {name!r} lies beyond the end of the file or off its alignment")
            tensors[name] = TensorInfo(name, encoding.name, shape, base + offset, size)
        return tensors

    def tensor_entry(self) -> tuple[str, GGMLQuantizationType, tuple[int, ...], int]:
        name = self.string("a tensor name")
        dimensions = self.scalar("I", f"the dimensions of {name!r}")
        if not 1 <= dimensions <= _MAX_DIMENSIONS:
            raise self.error(f"tensor {name!r} has {dimensions} dimensions")
        shape = tuple(self.scalar("Q", f"the shape of {name!r}") for _ in range(dimensions))[::-1]
        number = self.scalar("I", f"the encoding of {name!r}")
        offset = self.scalar("Q", f"the offset of {name!r}")
        try:
            encoding = GGMLQuantizationType(number)
        except ValueError:
            raise UnsupportedTensorError(name, f"encoding number {number}", DECODABLE) from None
        if 0 in shape:
            raise self.error(f"tensor {name!r} is empty")
        return name, encoding, shape, offset

    def value(self, kind: int, key: str) -> Any:
        if kind in _SCALARS:
            return self.scalar(_SCALARS[kind], key)
        if kind == _STRING:
            return self.string(key)
        if kind != _ARRAY:
            raise self.error(f"{key!r} has unknown value type {kind}")
        element = self.scalar("I", f"the element type of {key!r}")
        count = self.scalar("Q", f"the length of {key!r}")
        if element in _SCALARS:
            code = _SCALARS[element]
            self.bounded(count, struct.calcsize(code), key)
            return list(struct.unpack(f"<{count}{code}", self.take(count * struct.calcsize(code), key)))
        if element == _STRING:
            return [self.string(key) for _ in self.bounded(count, 8, key)]
        raise self.error(f"{key!r} is an array of unreadable element type {element}")

    def bounded(self, count: int, least_bytes: int, what: str) -> range:
        if count * least_bytes > len(self.data) - self.at:
            raise self.error(f"{what}: {count} items do not fit the bytes that are left")
        return range(count)

    def scalar(self, code: str, what: str) -> Any:
        return struct.unpack(f"<{code}", self.take(struct.calcsize(code), what))[0]

    def string(self, what: str) -> str:
        length = self.scalar("Q", what)
        try:
            return self.take(length, what).decode("utf-8")
        except UnicodeDecodeError:
            raise self.error(f"{what} is not UTF-8") from None

    def take(self, count: int, what: str) -> bytes:
        if count > len(self.data) - self.at:
            raise self.error(f"it ends inside {what}")
        self.at += count
        return self.data[self.at - count : self.at]

    def error(self, reason: str) -> GgufError:
        return GgufError(f"{self.path} is not a sound GGUF file: {reason}; fetch or convert it again")
