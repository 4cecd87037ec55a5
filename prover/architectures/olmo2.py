"""The OLMo 2 family: norms behind the sub-layers and none in front, and over the whole width of queries and keys.

    q, k, v = x W_q, x W_k, x W_v;  q', k' = rotary(RMSNorm(q) g_q), rotary(RMSNorm(k) g_k)     all heads in one norm
    x = x + RMSNorm(attend(q', k', v) W_o) g_attention
    x = x + RMSNorm((silu(x W_gate) * (x W_up)) W_down) g_mlp
    logits = RMSNorm(x) W_head

Matrices read the residual stream itself, so its width bounds their products (26 bits, 8,192 at scale 12: norms bound what
is added, and the stream does not grow as Llama's does), and what they give has finer scales, or their weights would
lose bits to the largest shift.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from ..relations import Ref
from . import parts
from .config import Scales, Step
from .llama import LlamaConfig, head
from .steps import OWN_ROWS, Heads, attention_step, mlp_step


@dataclass(frozen=True, kw_only=True)
class Olmo2Config(LlamaConfig):
    """The shape of a model."""

    family: ClassVar[str] = "olmo2"
    scales: ClassVar[Scales] = Scales(
        residual_bits=26,
        raw=12,
        raw_bits=26,
        value=12,
        value_bits=20,
        gate=10,
        activated=10,
        up=12,
        up_bits=24,
        projected=13,
        projected_bits=28,
    )

    @cached_property
    def steps(self) -> dict[str, Step]:
        return {"attention": attention(self), "mlp": mlp(self), "head": head(self)}


def attention(config: Olmo2Config) -> Step:
    """Window w after = attention sub-layer of windows 0..w before."""
    heads = Heads.of(config.heads, config.kv_heads, config.head_size, config.max_positions)
    tables, selector = config.rotations(heads)
    bias = config.attention_bias
    return attention_step(
        config,
        heads,
        parts.projection(config, heads, "query", x="before", gain=None, normed=True, bias=bias),
        parts.projection(config, heads, "key", x="before", gain=None, normed=True, bias=bias),
        parts.projection(config, heads, "value", x="before", gain=None, bias=bias),
        parts.head_norm(config, heads, "query", whole=True),
        parts.head_norm(config, heads, "key", whole=True),
        parts.rotary(config, heads, "query", tables, selector),
        parts.rotary(config, heads, "key", tables, selector),
        parts.attend(config, heads, "rotated_query", "rotated_key"),
        parts.attention_output(config, heads, bias=bias, normed=True),
        parts.post_norm(config, "post_attention_norm"),
        parts.residual(config, Ref("before", OWN_ROWS)),
    )


def mlp(config: Olmo2Config) -> Step:
    """Window after = gated feed-forward sub-layer of the window before."""
    return mlp_step(
        config,
        config.feed_forward,
        *parts.gated_unit(config, config.feed_forward, "silu", x="before", gain=None),
        parts.mlp_output(config, config.feed_forward, "product", normed=True),
        parts.post_norm(config, "post_mlp_norm"),
        parts.residual(config, Ref("before")),
    )
