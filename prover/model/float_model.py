"""A model before quantisation to integers: what its files say, as float32.

Names are the same for every family and every file format; a family has those that it uses.

    matrices, (outputs, inputs)   w_query w_key w_value w_output w_gate w_up w_down w_router
                                  w_query_down w_query_rope w_latent w_key_up w_value_up
    gains                         attention_norm mlp_norm post_attention_norm post_mlp_norm query_norm key_norm
                                  query_latent_norm latent_norm
    biases, (outputs,)            attention_norm_bias mlp_norm_bias query_bias key_bias value_bias output_bias
                                  gate_bias up_bias down_bias
    added to a router's scores    choice_bias, (experts,)

A mixture of experts has one wide unit: the experts' hidden channels lie side by side. A gain is the factor itself: where a file stores w and means 1 + w, the 1 has been added. The two members of a rotary
pair are neighbours, channels 2i and 2i + 1, which is how `prover.operators` rotates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..architectures.config import ModelConfig
from .tokenizer import Tokenizer

_ENTRIES_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Stack:
    """A matrix of which some entries of an axis are read at a time, each time anew: all experts' would fill the memory."""

    shape: tuple[int, ...]
    axis: int
    places: tuple[slice, ...]  # of the parts along the axis, one behind the other
    read: Callable[[int], np.ndarray]  # a part

    def shape_of(self, place: slice) -> tuple[int, ...]:
        """Shape of a part."""
        size = place.stop - place.start
        return tuple(size if axis == self.axis else length for axis, length in enumerate(self.shape))

    def blocks(self) -> Iterator[Block]:
        """All parts."""
        everything = slice(None)
        for number, place in enumerate(self.places):
            yield (place, everything) if self.axis == 0 else (everything, place), self.read(number)

    def whole(self) -> np.ndarray:
        """All parts in one matrix."""
        values = np.empty(self.shape, dtype=np.float32)
        for place, block in self.blocks():
            values[place] = block
        return values


Block = tuple[tuple[slice, slice], np.ndarray]
"""Some rows and columns of a matrix, and what stands there."""


Rounding = Callable[[Any], Any]
"""What an engine makes of rows, a tensor (rows, inputs), in front of a product."""


@dataclass(frozen=True)
class FloatLayer:
    """The float32 tensors of one layer, by name.

    rounding: of what meets a matrix, where an engine's own arithmetic is measured; None leaves it as it is.
    """

    tensors: Mapping[str, np.ndarray | Stack]
    rounding: Rounding | None = None

    def __getitem__(self, name: str) -> np.ndarray:
        tensor = self.tensors[name]
        return tensor.whole() if isinstance(tensor, Stack) else tensor

    def get(self, name: str) -> np.ndarray | None:
        """The tensor, or None where the family has none of that name."""
        return self[name] if name in self.tensors else None

    def blocks(self, name: str) -> Iterator[Block]:
        """A matrix (outputs, inputs), some of it at a time."""
        tensor = self.tensors[name]
        if isinstance(tensor, Stack):
            yield from tensor.blocks()
            return
        at_once = max(1, _ENTRIES_AT_ONCE // tensor.shape[1])
        for first in range(0, len(tensor), at_once):
            rows = slice(first, min(first + at_once, len(tensor)))
            yield (rows, slice(None)), tensor[rows]

    def in_memory(self) -> FloatLayer:
        """The same, with no file behind it."""
        return FloatLayer({name: self[name] for name in self.tensors})


@dataclass(frozen=True)
class FloatModel:
    """A model as its makers published it."""

    name: str
    config: ModelConfig
    tokenizer: Tokenizer
    embedding: np.ndarray  # (vocabulary, hidden), before the embedding factor
    layers: Sequence[FloatLayer]  # in memory, or read from a file that is open
    final_norm: np.ndarray  # (hidden,)
    head: np.ndarray  # (vocabulary, hidden); the embedding itself when tied
    positions: np.ndarray | None = None  # (max_positions, hidden), where positions are learned
    final_norm_bias: np.ndarray | None = None  # (hidden,), of a LayerNorm
    rounding: Rounding | None = None  # of what meets the head
    notes: tuple[str, ...] = ()  # what the reader of the files decided that their owner should know
