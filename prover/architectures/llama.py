"""The Llama family: RMSNorm, rotary positions, grouped-query attention, SwiGLU, tied or separate head.

    n = RMSNorm(x);  q, k, v = n W_q, n W_k, n W_v;  q', k' = rotary(q), rotary(k)
    x = x + attend(q', k', v) W_o
    n = RMSNorm(x);  x = x + (silu(n W_gate) * (n W_up)) W_down
    logits = RMSNorm(x) W_head

Norm gains are folded into the matrices that follow. Scales and widths: the design's integer-model page.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from ..relations import Ref
from . import parts
from .config import ModelConfig, Step, number
from .steps import HEAD_ROW, OWN_ROWS, Heads, attention_step, head_step, mlp_step

PROVABLE_POSITIONS = 2048
"""Longest sequence: each rotary table (positions x head size) must fit one chunk of 2^18 entries."""


@dataclass(frozen=True, kw_only=True)
class LlamaConfig(ModelConfig):
    """The shape of a model. All sizes are unpadded. rope_divisors: one per rotary pair, or none."""

    family: ClassVar[str] = "llama"
    bias: ClassVar[bool] = False  # of queries, keys and values
    head_norms: ClassVar[bool] = False  # of queries and keys

    heads: int = number(1 << 10)
    kv_heads: int = number(1 << 10)
    head_size: int = number(1 << 10)
    feed_forward: int = number(1 << 16)  # f
    rope_base: int = number(1 << 32)
    rope_divisors: tuple[float, ...] = number(1 << 32, default=())

    @property
    def queries_per_group(self) -> int:
        """Query heads per key/value head."""
        return self.heads // self.kv_heads

    @cached_property
    def steps(self) -> dict[str, Step]:
        return {"attention": attention(self), "mlp": mlp(self), "head": head(self)}


def attention(config: LlamaConfig) -> Step:
    """Window w after = attention sub-layer of windows 0..w before."""
    heads = Heads.of(config.heads, config.kv_heads, config.head_size, config.max_positions)
    table = parts.rotary_table(heads, config.rope_base, config.rope_divisors)
    normed = config.head_norms
    norms = (parts.head_norm(config, heads, name) for name in ("query", "key")) if normed else ()
    return attention_step(
        config,
        heads,
        parts.rms_norm(config, Ref("before"), ("context",)),
        parts.projection(config, heads, "query", normed=normed, bias=config.bias),
        parts.projection(config, heads, "key", normed=normed, bias=config.bias),
        parts.projection(config, heads, "value", bias=config.bias),
        *norms,
        parts.rotary(config, heads, "query", (table,)),
        parts.rotary(config, heads, "key", (table,)),
        parts.attend(config, heads, "rotated_query", "rotated_key", normed=normed),
        parts.attention_output(config, heads),
        parts.residual(config, Ref("before", OWN_ROWS)),
    )


def mlp(config: LlamaConfig) -> Step:
    """Window after = gated feed-forward sub-layer of the window before."""
    return mlp_step(
        config,
        config.feed_forward,
        parts.rms_norm(config, Ref("before"), ("row",)),
        *parts.gated_unit(config, config.feed_forward, "silu"),
        parts.mlp_output(config, config.feed_forward, "product"),
        parts.residual(config, Ref("before")),
    )


def head(config: LlamaConfig) -> Step:
    """At one row of the last boundary, the chosen token's logit beats the rival's."""
    return head_step(config, parts.rms_norm(config, HEAD_ROW, ()))
