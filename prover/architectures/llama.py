"""The Llama family: RMSNorm, rotary positions, grouped-query attention, SwiGLU, tied or separate head.

    n = RMSNorm(x);  q, k, v = n W_q, n W_k, n W_v;  q', k' = rotary(q), rotary(k)
    x = x + attend(q', k', v) W_o
    n = RMSNorm(x);  x = x + (silu(n W_gate) * (n W_up)) W_down
    logits = RMSNorm(x) W_head

Norm gains are folded into the matrices that follow. Scales and widths: docs/integer-model.md#weights.

What a model may have besides: biases of all matrices of attention (`attention_bias`) or of the unit (`mlp_bias`); local
layers, which see the last `sliding_window` positions only (`layer_kinds`, 1 local or 2 global); a rotation that also
multiplies queries and keys (`rope_factor`: YaRN, LongRoPE). Mistral is a Llama, whose layers are all local where it has
a window that a sequence can reach.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from ..operators.rotary import LARGEST_FACTOR, RotaryTable
from ..relations import Ref
from . import parts
from .config import ModelConfig, Step, StepKind, flag, number
from .steps import GLOBAL, HEAD_ROW, LAYER_KIND, Heads, head_step
from .sub_layers import Attention, FeedForward

PROVABLE_POSITIONS = 1 << 14
"""Longest sequence that contracts know (contracts/src/ModelRegistry.sol)."""


@dataclass(frozen=True, kw_only=True)
class LlamaConfig(ModelConfig):
    """The shape of a model. All sizes are unpadded. rope_divisors: one per rotary pair, or none.

    sliding_window and layer_kinds: both or neither.
    """

    family: ClassVar[str] = "llama"
    bias: ClassVar[bool] = False  # of queries, keys and values
    head_norms: ClassVar[bool] = False  # of queries and keys

    heads: int = number(1 << 10)
    kv_heads: int = number(1 << 10)
    head_size: int = number(1 << 10)
    feed_forward: int = number(1 << 16)  # f
    rope_base: int = number(1 << 32)
    rope_divisors: tuple[float, ...] = number(1 << 32, default=())
    rope_factor: float = number(LARGEST_FACTOR, optional=True, default=1.0)
    sliding_window: int = number(1 << 16, optional=True, default=0)
    layer_kinds: tuple[int, ...] = number(GLOBAL, optional=True, default=())
    attention_bias: bool = flag()
    mlp_bias: bool = flag()

    @property
    def queries_per_group(self) -> int:
        """Query heads per key/value head."""
        return self.heads // self.kv_heads

    @property
    def score_scale(self) -> float | None:
        """What scores are multiplied with; by default 1 / sqrt(head_size)."""
        return None

    @property
    def residual_factor(self) -> float:
        """What the output of a sub-layer is multiplied with before it is added."""
        return 1.0

    def rotations(self, heads: Heads) -> tuple[tuple[RotaryTable, ...], str | None]:
        """The rotary tables, and the step-key integer that selects one of two."""
        return (parts.rotary_table(heads, self.rope_base, self.rope_divisors, factor=self.rope_factor),), None

    def layer_parameters(self, layer: int, kind: StepKind) -> dict[str, int]:
        attends = self.programs[kind].has_context
        return {LAYER_KIND: self.layer_kinds[layer]} if self.layer_kinds and attends else {}

    @cached_property
    def steps(self) -> dict[str, Step]:
        if self.layer_kinds and len(self.layer_kinds) != self.layers:
            raise ValueError(f"{len(self.layer_kinds)} layer kinds for {self.layers} layers")
        if bool(self.layer_kinds) != (self.sliding_window > 0):
            raise ValueError("local layers need both the kinds of all layers and a window")
        return {**self.attention.steps(), **self.mlp_steps, "head": head(self)}

    @property
    def attention(self) -> Attention:
        """The first sub-layer."""
        tables, selector = self.rotations(self.geometry)
        return Attention(
            config=self,
            norm=lambda writes: parts.rms_norm(self, Ref("before"), ("row",), writes=writes),
            gain="attention_norm",
            bias=self.bias or self.attention_bias,
            factor=self.residual_factor,
            heads=self.geometry,
            output_bias=self.attention_bias,
            head_norms=self.head_norms,
            tables=tables,
            selector=selector,
            rope_factor=self.rope_factor,
            reach=self.sliding_window or None,
        )

    @property
    def mlp_steps(self) -> dict[str, Step]:
        """The kinds of step of the second one, in order."""
        return self.mlp.steps()

    @property
    def mlp(self) -> FeedForward:
        """It, where it is a feed-forward unit."""
        return FeedForward(
            config=self,
            norm=lambda writes: parts.rms_norm(self, Ref("before"), ("row",), writes=writes),
            gain="mlp_norm",
            bias=self.mlp_bias,
            factor=self.residual_factor,
            feed_forward=self.feed_forward,
            function="silu",
        )

    @property
    def geometry(self) -> Heads:
        """The heads of attention."""
        return Heads.of(self.heads, self.kv_heads, self.head_size, self.max_positions, self.score_scale)


def head(config: LlamaConfig) -> Step:
    """At one row of the last boundary, the chosen token's logit beats the rival's."""
    return head_step(config, parts.rms_norm(config, HEAD_ROW, ()))
