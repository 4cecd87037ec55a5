"""The Gemma 3 family: norms on both sides of each sub-layer and on queries and keys, GeGLU, local and global layers.

    n = RMSNorm(x) g;  q, k, v = n W_q, n W_k, n W_v;  q', k' = rotary(RMSNorm(q) g_q), rotary(RMSNorm(k) g_k)
    x = x + RMSNorm(attend(q', k', v) W_o) g_attention
    n = RMSNorm(x) g;  x = x + RMSNorm((gelu_tanh(n W_gate) * (n W_up)) W_down) g_mlp
    logits = RMSNorm(x) W_head;  x starts at sqrt(d) * E[token]

A local layer sees the last `sliding_window` positions and rotates with `local_rope_base`, a global one sees all and
rotates with `rope_base`. Both are one program: the step key says which (`layer_kind`). Gains are 1 + w; they reach
hundreds, so they stay in their norms: folded into 16-bit matrices they would cost most of the model's fidelity.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from ..operators.rotary import RotaryTable
from ..relations import Ref
from . import parts
from .config import HeadRule, ModelConfig, Scales, Step, StepKind, number
from .steps import GLOBAL, HEAD_ROW, LAYER_KIND, Heads, Part, head_step
from .sub_layers import Attention, FeedForward


@dataclass(frozen=True, kw_only=True)
class Gemma3Config(ModelConfig):
    """The shape of a model. layer_kinds: 1 local or 2 global, per layer. rope_divisors: of global layers."""

    family: ClassVar[str] = "gemma3"
    scales: ClassVar[Scales] = Scales(
        normalised_bits=24,
        head_normalised=12,
        head_normalised_bits=18,
        query_bits=18,
        value_bits=21,
        activated=12,
        up=12,
        product=14,
        projected=14,
    )

    heads: int = number(1 << 10)
    kv_heads: int = number(1 << 10)
    head_size: int = number(1 << 10)
    feed_forward: int = number(1 << 16)
    rope_base: int = number(1 << 32)
    local_rope_base: int = number(1 << 32)
    sliding_window: int = number(1 << 16)
    layer_kinds: tuple[int, ...] = number(GLOBAL)
    attention_scale: float = number(1.0)
    rope_divisors: tuple[float, ...] = number(1 << 32, default=())
    residual_scale: int = number(20, default=10)

    @property
    def head_rule(self) -> HeadRule:
        return HeadRule(bits=20)

    @property
    def embedding_factor(self) -> float:
        return float(self.hidden**0.5)

    def layer_parameters(self, layer: int, kind: StepKind) -> dict[str, int]:
        turns = LAYER_KIND in self.programs[kind].parameters
        return {LAYER_KIND: self.layer_kinds[layer]} if turns else {}

    @cached_property
    def steps(self) -> dict[str, Step]:
        if len(self.layer_kinds) != self.layers:
            raise ValueError(f"{len(self.layer_kinds)} layer kinds for {self.layers} layers")
        return {**self.attention.steps(), **self.mlp.steps(), "head": head(self)}

    @property
    def attention(self) -> Attention:
        """The first sub-layer."""
        return Attention(
            config=self,
            norm=lambda writes: self._norm("attention_norm", writes),
            gain=None,
            post_norm="post_attention_norm",
            heads=self.geometry,
            head_norms=True,
            tables=self.rotations(self.geometry),
            selector=LAYER_KIND,
            reach=self.sliding_window,
        )

    @property
    def mlp(self) -> FeedForward:
        """The second one."""
        return FeedForward(
            config=self,
            norm=lambda writes: self._norm("mlp_norm", writes),
            gain=None,
            post_norm="post_mlp_norm",
            feed_forward=self.feed_forward,
            function="gelu_tanh",
        )

    def _norm(self, gain: str, writes: bool) -> Part:
        return parts.rms_norm(self, Ref("before"), ("row",), gain, writes=writes)

    @property
    def geometry(self) -> Heads:
        """The heads of attention."""
        return Heads.of(self.heads, self.kv_heads, self.head_size, self.max_positions, self.attention_scale)

    def rotations(self, heads: Heads) -> tuple[RotaryTable, ...]:
        """The rotary tables of local and of global layers."""
        return (
            parts.rotary_table(heads, self.local_rope_base, prefix="local_"),
            parts.rotary_table(heads, self.rope_base, self.rope_divisors, prefix="global_"),
        )


def head(config: Gemma3Config) -> Step:
    """At one row of the last boundary, the chosen token's logit beats the rival's."""
    return head_step(config, parts.rms_norm(config, HEAD_ROW, ()))
