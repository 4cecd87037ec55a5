"""The tensors of a Hugging Face checkpoint: one safetensors file, or the shards that its index lists.

The library checks header and offsets itself. Only safetensors is read: the older pickled files run code when they
are opened.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from ..foreign_json import MODEL_FILE, ForeignJsonError, read_json_file
from .errors import CheckpointError, MissingTensorError, UnsupportedTensorError

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
READABLE = ("F64", "F32", "F16", "BF16")


class SafetensorsCheckpoint:
    """Every tensor of a checkpoint directory, read one at a time."""

    def __init__(self, directory: Path | str) -> None:
        """Raises CheckpointError when there is no sound safetensors checkpoint."""
        self.directory = Path(directory)
        self._stack = ExitStack()
        self._holders: dict[str, Any] = {}
        try:
            for path in self._shards():
                holder = self._stack.enter_context(safe_open(path, framework="pt"))
                self._holders |= dict.fromkeys(holder.keys(), holder)
        except (SafetensorError, OSError) as error:
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

    def read(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Tensor `name` as float32 of exactly `shape`.

        Raises MissingTensorError, UnsupportedTensorError for an encoding that is not in READABLE, and
        CheckpointError for another shape or for values that are not finite.
        """
        encoding = self.encoding(name)
        if encoding not in READABLE:
            raise UnsupportedTensorError(name, encoding, READABLE)
        if (found := self.shape(name)) != shape:
            raise CheckpointError(
                f"tensor {name!r} has shape {found} where the configuration implies {shape}"
            )
        values = self._holders[name].get_tensor(name).to(torch.float32).numpy()
        if not np.isfinite(values).all():
            raise CheckpointError(f"tensor {name!r} holds values that are not finite; download it again")
        return values

    def _slice(self, name: str) -> Any:
        if name not in self._holders:
            raise MissingTensorError(name)
        return self._holders[name].get_slice(name)

    def _shards(self) -> list[Path]:
        index = self.directory / INDEX
        if not index.is_file():
            single = self.directory / SINGLE
            if not single.is_file():
                raise CheckpointError(
                    f"{self.directory} holds neither {SINGLE} nor {INDEX}; save the model as safetensors"
                )
            return [single]
        try:
            files = set(read_json_file(index, limits=MODEL_FILE)["weight_map"].values())
        except (OSError, ForeignJsonError, KeyError, AttributeError, TypeError) as error:
            raise CheckpointError(f"{index} does not list shards ({error}); download it again") from error
        if not all(isinstance(name, str) and name == Path(name).name for name in files):
            raise CheckpointError(f"{index} names shards outside its directory; use another checkpoint")
        return [self.directory / name for name in sorted(files)]
