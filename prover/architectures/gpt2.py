"""The GPT-2 family: LayerNorm, learned positions, full multi-head attention, GELU, biases everywhere, tied head.

    x = E[token] + P[position]
    n = LayerNorm(x);  q, k, v = n W_q + b_q, n W_k + b_k, n W_v + b_v
    x = x + attend(q, k, v) W_o + b_o
    n = LayerNorm(x);  x = x + gelu_tanh(n W_up + b_up) W_down + b_down
    logits = LayerNorm(x) W_head

Gain and bias of a norm are folded into the matrix behind it; the last norm's bias becomes one number per token, kept
in the first padded channel of its head row.

Learned positions are added by a step of their own, in front of the first layer. So boundary 0 holds token embeddings
alone, as in every family.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from ..relations import Ref
from . import parts
from .config import HeadRule, ModelConfig, Scales, Step, number
from .steps import HEAD_ROW, Heads, Part, head_step, positions_step
from .sub_layers import Attention, FeedForward


@dataclass(frozen=True, kw_only=True)
class Gpt2Config(ModelConfig):
    """The shape of a model. Every head has keys and values of its own."""

    family: ClassVar[str] = "gpt2"
    scales: ClassVar[Scales] = Scales(gate=10, activated=12)

    heads: int = number(1 << 10)
    feed_forward: int = number(1 << 16)

    @property
    def head_size(self) -> int:
        """d / heads."""
        return self.hidden // self.heads

    @property
    def kv_heads(self) -> int:
        """As many as heads."""
        return self.heads

    @property
    def head_rule(self) -> HeadRule:
        return HeadRule(gain_bias="final_norm_bias")

    @cached_property
    def steps(self) -> dict[str, Step]:
        return {
            "positions": positions(self),
            **self.attention.steps(),
            **self.mlp.steps(),
            "head": head(self),
        }

    @property
    def attention(self) -> Attention:
        """The first sub-layer."""
        return Attention(
            config=self,
            norm=self._norm,
            gain="attention_norm",
            norm_bias=True,
            bias=True,
            heads=self.geometry,
            output_bias=True,
        )

    @property
    def mlp(self) -> FeedForward:
        """The second one."""
        return FeedForward(
            config=self,
            norm=self._norm,
            gain="mlp_norm",
            norm_bias=True,
            bias=True,
            feed_forward=self.feed_forward,
            function="gelu_tanh",
            gated=False,
        )

    def _norm(self, writes: bool) -> Part:
        return parts.layer_norm(self, Ref("before"), ("row",), writes=writes)

    @property
    def geometry(self) -> Heads:
        """The heads of attention. Raises ValueError when they do not divide the channels."""
        if self.hidden % self.heads:
            raise ValueError(f"{self.hidden} channels do not divide among {self.heads} heads")
        return Heads.of(self.heads, self.heads, self.head_size, self.max_positions)


def positions(config: Gpt2Config) -> Step:
    """Window after = window before, learned positions added."""
    heads = config.geometry
    return positions_step(config, heads, parts.learned_positions(config, heads))


def head(config: Gpt2Config) -> Step:
    """At one row of the last boundary, the chosen token's logit beats the rival's."""
    return head_step(config, parts.layer_norm(config, HEAD_ROW, ()))
