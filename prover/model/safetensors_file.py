"""The tensors of a Hugging Face checkpoint: one safetensors file, or the shards that its index lists.

The library checks header and offsets itself. Only safetensors is read: the older pickled files run code when they
are opened.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from safetensors import SafetensorError, safe_open

from ..foreign_json import MODEL_FILE, ForeignJsonError, read_json
from .errors import CheckpointError, MissingTensorError, UnsupportedTensorError
from .model_files import read_text, refuse_pointer

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
READABLE = ("F64", "F32", "F16", "BF16")
_NUMPY = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}


@dataclass(frozen=True)
class _Place:
    """Where a tensor's bytes are."""

    path: Path
    start: int
    size: int

    def part(self, number: int, of: int) -> _Place:
        """One of equal parts."""
        size = self.size // of
        return replace(self, start=self.start + size * number, size=size)

    def read(self, encoding: str) -> np.ndarray:
        """As float32, flat. Read, not mapped: pages of a mapping would all count as this process' memory."""
        with self.path.open("rb") as stream:
            stream.seek(self.start)
            data = stream.read(self.size)
        if len(data) != self.size:
            raise CheckpointError(f"{self.path} was cut off while it was read; download it again")
        if encoding == "BF16":  # the upper half of a float32
            return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
        with np.errstate(over="ignore"):  # of a float64: infinite, and refused as such
            return np.frombuffer(data, _NUMPY[encoding]).astype(np.float32)


def _places(path: Path) -> dict[str, _Place]:
    """Every tensor of a file that `safe_open` has found sound."""
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = read_json(stream.read(length), what=f"the header of {path}", limits=MODEL_FILE)
    return {
        name: _Place(
            path, 8 + length + entry["data_offsets"][0], entry["data_offsets"][1] - entry["data_offsets"][0]
        )
        for name, entry in header.items()
        if name != "__metadata__"
    }


class SafetensorsCheckpoint:
    """Every tensor of a checkpoint directory, read one at a time."""

    def __init__(self, directory: Path | str) -> None:
        """Raises CheckpointError when there is no sound safetensors checkpoint."""
        self.directory = Path(directory)
        self.notes: tuple[str, ...] = ()
        self._stack = ExitStack()
        self._holders: dict[str, Any] = {}
        self._places: dict[str, _Place] = {}
        try:
            files = self._files()
            self._holders = self._open(files)
            self._places = {name: place for path in files for name, place in _places(path).items()}
        except CheckpointError:
            self._stack.close()
            raise
        except (SafetensorError, OSError, ForeignJsonError) as error:
            self._stack.close()
            raise CheckpointError(
                f"{self.directory} holds no sound safetensors checkpoint ({error}); download it again"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._stack.close()

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._holders)

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._slice(name).get_shape())

    def encoding(self, name: str) -> str:
        """How the tensor is stored, such as "BF16"."""
        return str(self._slice(name).get_dtype())

    def read(self, name: str, shape: tuple[int, ...], part: int | None = None) -> np.ndarray:
        """Tensor `name` as float32 of exactly `shape`; part: of those along its first axis, one alone.

        Raises MissingTensorError, UnsupportedTensorError for an encoding that is not in READABLE, and
        CheckpointError for another shape or for values that are not finite.
        """
        self.check(name, shape)
        place = self._places[name]
        if part is not None:
            place, shape = place.part(part, shape[0]), shape[1:]
        values = place.read(encoding=self.encoding(name)).reshape(shape)
        if not np.isfinite(values).all():
            raise CheckpointError(f"tensor {name!r} holds values that are not finite; download it again")
        return values

    def check(self, name: str, shape: tuple[int, ...]) -> None:
        """Raise what `read` would raise, but for the values themselves."""
        encoding = self.encoding(name)
        if encoding not in READABLE:
            raise UnsupportedTensorError(name, encoding, READABLE)
        if (found := self.shape(name)) != shape:
            raise CheckpointError(
                f"tensor {name!r} has shape {found} where the configuration implies {shape}; take the config.json "
                f"that belongs to these files"
            )

    def _slice(self, name: str) -> Any:
        if name not in self._holders:
            raise MissingTensorError(name)
        return self._holders[name].get_slice(name)

    def _open(self, paths: list[Path]) -> dict[str, Any]:
        """Which open file holds each tensor. Raises CheckpointError when two files hold one."""
        holders: dict[str, Any] = {}
        for path in paths:
            if not path.is_file():
                raise CheckpointError(
                    f"{path} is not there, but {INDEX} lists it; download the missing shard"
                )
            refuse_pointer(path)
            holder = self._stack.enter_context(safe_open(path, framework="pt"))
            if twice := sorted(holders.keys() & set(holder.keys())):
                raise CheckpointError(
                    f"{path} and another shard both hold {twice[0]!r}; download the model again"
                )
            holders |= dict.fromkeys(holder.keys(), holder)
        return holders

    def _files(self) -> list[Path]:
        """The files to read: the single one, as `transformers` does, or the shards of the index.

        Some loaders prefer the index, so beside a single file its shards must hold the same; they are not there after
        a model was saved anew as one file.
        """
        single, index = self.directory / SINGLE, self.directory / INDEX
        if not index.is_file():
            if single.is_file():
                return [single]
            raise CheckpointError(
                f"{self.directory} holds neither {SINGLE} nor {INDEX}; save the model as safetensors"
            )
        if not single.is_file():
            return self._shards(index)
        shards = [path for path in self._shards(index) if path != single]
        present = [path for path in shards if path.is_file()]
        if len(present) == len(shards) and shards:
            self._compare(single, shards)
        self.notes = (f"{self.directory} holds {SINGLE} and {INDEX}; {SINGLE} was read",)
        return [single]

    def _compare(self, single: Path, shards: list[Path]) -> None:
        """Raise CheckpointError when the single file and the shards are different models."""
        import torch  # 200 MB that nobody needs who reads one model

        whole, parts = self._open([single]), self._open(shards)
        differing = sorted(whole.keys() ^ parts.keys()) or [
            name
            for name in sorted(whole)
            if not torch.equal(whole[name].get_tensor(name), parts[name].get_tensor(name))
        ]
        if differing:
            raise CheckpointError(
                f"{self.directory} holds two models, {SINGLE} and the shards of {INDEX}, which differ in "
                f"{differing[0]!r}; remove the one that is out of date"
            )

    def _shards(self, index: Path) -> list[Path]:
        try:
            files = set(
                read_json(read_text(index), what=str(index), limits=MODEL_FILE)["weight_map"].values()
            )
        except (ForeignJsonError, KeyError, AttributeError, TypeError) as error:
            raise CheckpointError(f"{index} does not list shards ({error}); download it again") from error
        if not all(isinstance(name, str) and name == Path(name).name for name in files):
            raise CheckpointError(f"{index} names shards outside its directory; use another checkpoint")
        return [self.directory / name for name in sorted(files)]
