"""The Mixtral family: Llama with a mixture of experts in the place of the feed-forward sub-layer.

    n = RMSNorm(x);  p = the k experts with the largest n W_router;  g = softmax of those k, zero for all others
    x = x + sum_e g_e (silu(n W_gate_e) * (n W_up_e)) W_down_e

Experts lie side by side: w_gate, w_up and w_down are those of one wide unit, of which a step has some channels of one expert. The
router writes g as a stream, `gates`, and every expert's steps add to one sum, exactly, which is rounded once for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from ..relations import Ref
from . import cut_parts, mixture_parts, parts
from .config import Step, number
from .llama import LlamaConfig
from .steps import close_step, expert_tile_step, router_step
from .tiles import ExpertTiles, expert_tiles


@dataclass(frozen=True, kw_only=True)
class MixtralConfig(LlamaConfig):
    """The shape of a model. feed_forward: hidden channels of one expert; experts_per_token: those that a row is routed to."""

    family: ClassVar[str] = "mixtral"

    experts: int = number(1 << 9)
    experts_per_token: int = number(1 << 9)

    @cached_property
    def expert_tiles(self) -> ExpertTiles:
        """How the experts are cut."""
        return expert_tiles(self.experts, self.feed_forward, self.hidden, self.step_weights)

    @property
    def mlp_steps(self) -> dict[str, Step]:
        if self.mlp_bias:
            raise ValueError("experts have no biases")
        if self.experts < 2:
            raise ValueError(f"a mixture has two experts at least, not {self.experts}")
        return mixture(self, self.expert_tiles)


def mixture(config: MixtralConfig, tiles: ExpertTiles) -> dict[str, Step]:
    """The router, a step per tile of an expert, and the step that adds their sum to the rows."""
    experts, used = config.experts, config.experts_per_token
    gate = mixture_parts.expert_gate(experts)
    size, block = tiles.size, tiles.feed_forward
    rule = parts.down_rule(
        config, tiles.channels, "gated", factor=config.residual_factor, blocks=experts, used=used
    )
    one = expert_tile_step(
        config,
        experts,
        size,
        tiles.count,
        tiles.numbers,
        mixture_parts.routed_rows(gate),
        *parts.gated_unit(config, tiles.channels, "silu", x="routed", size=size, block=block),
        mixture_parts.gated_rows(config, gate),
        cut_parts.mlp_partial(rule, "gated", size, block),
    )
    return {
        "router": router_step(
            config,
            experts,
            parts.rms_norm(config, Ref("before"), ("row",), writes=True),
            mixture_parts.routing(config, experts, used),
        ),
        "expert_tile": one,
        "mlp_close": close_step(
            config, "mlp_close", cut_parts.closed(config, rule, "down"), parts.residual(config)
        ),
    }
