"""The Phi 3 family: Llama, in whose heads only the first channels may turn.

    q' = (rotary(q_0 .. q_(r-1)), q_r .. q_(size-1)) with r = rotated_channels, and k' the same

Its files hold queries, keys and values in one matrix, gate and up in another. LongRoPE divides each frequency by a
number of its own and multiplies what turns by `rope_factor`, which is why that factor belongs into the tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..operators.rotary import RotaryTable
from . import parts
from .config import number
from .llama import LlamaConfig
from .steps import Heads


@dataclass(frozen=True, kw_only=True)
class Phi3Config(LlamaConfig):
    """The shape of a model. rotated_channels: of each head, the first ones."""

    family: ClassVar[str] = "phi3"

    rotated_channels: int = number(1 << 10)

    def rotations(self, heads: Heads) -> tuple[tuple[RotaryTable, ...], str | None]:
        table = parts.rotary_table(
            heads,
            self.rope_base,
            self.rope_divisors,
            rotated=self.rotated_channels,
            factor=self.rope_factor,
        )
        return (table,), None
