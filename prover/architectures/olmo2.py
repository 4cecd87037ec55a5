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

from . import parts
from .config import Scales, Step
from .llama import LlamaConfig, head
from .steps import attention_step, keys_values_step, mlp_step


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
        return {
            "keys_values": keys_values(self),
            "attention": attention(self),
            "mlp": mlp(self),
            "head": head(self),
        }


def keys_values(config: Olmo2Config) -> Step:
    """Keys and values of a window."""
    heads, bias = config.geometry, config.attention_bias
    tables, selector = config.rotations(heads)
    return keys_values_step(
        config,
        heads,
        parts.projection(config, heads, "key", x="before", gain=None, normed=True, bias=bias),
        parts.projection(config, heads, "value", x="before", gain=None, bias=bias, writes="values"),
        parts.head_norm(config, heads, "key", whole=True),
        parts.rotary(config, heads, "key", tables, selector),
    )


def attention(config: Olmo2Config) -> Step:
    """Window w after = attention sub-layer of window w before, over keys and values of windows 0..w."""
    heads, bias = config.geometry, config.attention_bias
    tables, selector = config.rotations(heads)
    return attention_step(
        config,
        heads,
        parts.projection(config, heads, "query", x="before", gain=None, normed=True, bias=bias),
        parts.head_norm(config, heads, "query", whole=True),
        parts.rotary(config, heads, "query", tables, selector),
        parts.attend(config, heads, "rotated_query"),
        parts.attention_output(config, heads, bias=bias, normed=True),
        parts.post_norm(config, "post_attention_norm"),
        parts.residual(config),
    )


def mlp(config: Olmo2Config) -> Step:
    """Window after = gated feed-forward sub-layer of the window before."""
    return mlp_step(
        config,
        config.feed_forward,
        *parts.gated_unit(config, config.feed_forward, "silu", x="before", gain=None),
        parts.mlp_output(config, config.feed_forward, "product", normed=True),
        parts.post_norm(config, "post_mlp_norm"),
        parts.residual(config),
    )
