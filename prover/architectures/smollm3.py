"""The SmolLM 3 family: Llama, some of whose layers have no positions.

q', k' = rotary(q), rotary(k) in layers of rotary kind 1;  q', k' = q, k in layers of rotary kind 2

Both are one program: a layer without positions reads a second rotary table, whose cosine is 1 and sine 0 everywhere, so
that it changes nothing, to the bit. The step key says which (`rotary_kind`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from ..operators.rotary import RotaryTable
from . import parts
from .config import Step, StepKind, number
from .llama import LlamaConfig
from .steps import Heads

ROTATING, STILL = 1, 2
ROTARY_KIND = "rotary_kind"


@dataclass(frozen=True, kw_only=True)
class SmolLM3Config(LlamaConfig):
    """The shape of a model. rotary_kinds: 1 with positions or 2 without, per layer."""

    family: ClassVar[str] = "smollm3"

    rotary_kinds: tuple[int, ...] = number(STILL)

    def rotations(self, heads: Heads) -> tuple[tuple[RotaryTable, ...], str | None]:
        (turning,), _ = super().rotations(heads)
        still = parts.rotary_table(heads, self.rope_base, prefix="still_", rotated=0)
        return (turning, still), ROTARY_KIND

    def layer_parameters(self, layer: int, kind: StepKind) -> dict[str, int]:
        known = super().layer_parameters(layer, kind)
        rotates = ROTARY_KIND in self.programs[kind].parameters
        return known | {ROTARY_KIND: self.rotary_kinds[layer]} if rotates else known

    @cached_property
    def steps(self) -> dict[str, Step]:
        if len(self.rotary_kinds) != self.layers:
            raise ValueError(f"{len(self.rotary_kinds)} rotary kinds for {self.layers} layers")
        return super().steps
