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
from typing import ClassVar

from .config import Scales
from .llama import LlamaConfig
from .sub_layers import Attention, FeedForward


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

    @property
    def attention(self) -> Attention:
        tables, selector = self.rotations(self.geometry)
        return Attention(
            config=self,
            norm=None,
            gain=None,
            bias=self.attention_bias,
            post_norm="post_attention_norm",
            heads=self.geometry,
            output_bias=self.attention_bias,
            head_norms=True,
            whole=True,
            tables=tables,
            selector=selector,
        )

    @property
    def mlp(self) -> FeedForward:
        return FeedForward(
            config=self,
            norm=None,
            gain=None,
            post_norm="post_mlp_norm",
            feed_forward=self.feed_forward,
            function="silu",
        )
