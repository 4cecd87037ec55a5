"""The DeepSeek V3 family: latent attention, and a mixture of experts whose router scores them behind dense layers.

    n = RMSNorm(x);  x = x + latent attention(n) W_o                                   (latent.py)
    n = RMSNorm(x);  s = sigmoid(n W_router);  p = k experts with the largest s + b, of the groups that are best
    x = x + sum_p (factor s_p / sum s) expert_p(n) + shared experts(n),  or  x + (silu(n W_gate) * (n W_up)) W_down in dense layers

Experts that every row has are experts like all others, of weight one: a unit of their width is the sum of units of one expert's width.
So they lie side by side with the others in one wide unit, and their tiles are tiles of experts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

from ..operators.rotary import LARGEST_FACTOR, RotaryTable
from ..relations import Bits, Ref
from . import cut_parts, mixture_parts, parts
from .config import ModelConfig, Step, index_bits, number
from .latent import LatentHeads, attention_steps, heads_of_a_tile
from .steps import (
    BEFORE,
    GATES,
    HEAD_ROW,
    NORMALISED,
    close_step,
    expert_tile_step,
    head_step,
    step_of,
)
from .sub_layers import FeedForward
from .tiles import ExpertTiles, expert_tiles


@dataclass(frozen=True, kw_only=True)
class DeepseekV3Config(ModelConfig):
    """The shape of a model. All sizes are unpadded.

    query_rank: of the queries' latent, 0 for none. plain_size, rope_size, value_size: channels of a head that do not turn, that turn,
    and of its values. score_factor: what scores are multiplied with beside 1 / sqrt(plain_size + rope_size). dense_layers: how many
    layers in front have one unit, of feed_forward channels, instead of experts of expert_size each. shared_experts: those that every
    row has beside the experts_per_token that its router chooses, from groups_per_token of expert_groups.
    """

    family: ClassVar[str] = "deepseek_v3"

    heads: int = number(1 << 10)
    query_rank: int = number(1 << 12, optional=True, default=0)
    latent_rank: int = number(1 << 10)
    plain_size: int = number(1 << 10)
    rope_size: int = number(1 << 10)
    value_size: int = number(1 << 10)
    rope_base: int = number(1 << 32)
    rope_divisors: tuple[float, ...] = number(1 << 32, default=())
    rope_factor: float = number(LARGEST_FACTOR, optional=True, default=1.0)
    score_factor: float = number(LARGEST_FACTOR, optional=True, default=1.0)
    feed_forward: int = number(1 << 16)
    dense_layers: int = number(1 << 12, optional=True, default=0)
    experts: int = number(1 << 9)
    experts_per_token: int = number(1 << 9)
    expert_size: int = number(1 << 16)
    shared_experts: int = number(1 << 9)
    expert_groups: int = number(1 << 9, default=1)
    groups_per_token: int = number(1 << 9, default=1)
    routing_factor: float = number(4.0)

    @property
    def head_size(self) -> int:
        """Channels of a head that turn: pairs of them may lie otherwise in a file."""
        return self.rope_size

    @cached_property
    def latent_heads(self) -> LatentHeads:
        """The geometry of attention."""
        position_bits = index_bits(self.max_positions)
        rotation = RotaryTable(
            self.rope_base,
            self.rope_size,
            position_bits,
            index_bits(self.rope_size),
            self.rope_divisors,
            factor=self.rope_factor,
        )
        return LatentHeads(
            heads=self.heads,
            plain=self.plain_size,
            rope=self.rope_size,
            value=self.value_size,
            rank=self.latent_rank,
            query_rank=self.query_rank,
            max_positions=self.max_positions,
            score_scale=(self.plain_size + self.rope_size) ** -0.5 * self.score_factor,
            rotation=rotation,
            tile=heads_of_a_tile(self),
        )

    @cached_property
    def expert_tiles(self) -> ExpertTiles:
        """How the experts are cut, those that every row has at the end."""
        return expert_tiles(
            self.experts + self.shared_experts, self.expert_size, self.hidden, self.step_weights
        )

    @cached_property
    def steps(self) -> dict[str, Step]:
        if not self.dense_layers < self.layers:
            raise ValueError(
                f"{self.dense_layers} dense layers of {self.layers}: one layer at least has experts"
            )
        if self.experts < 2:
            raise ValueError(f"a mixture has two experts at least, not {self.experts}")
        dense, sparse = range(self.dense_layers), range(self.dense_layers, self.layers)
        routed, tile, close = self._mixture()
        steps = attention_steps(self, self.latent_heads)
        own = sparse if dense else None
        of_dense = self._dense() if dense else {}
        everywhere = "mlp_close" in of_dense  # a tiled unit is closed like a mixture, by one kind of step
        of_dense.pop("mlp_close", None)
        steps |= {kind: replace(step, layers=dense) for kind, step in of_dense.items()}
        steps |= {"router": replace(routed, layers=own), "expert_tile": replace(tile, layers=own)}
        steps["mlp_close"] = replace(close, layers=None if everywhere else own)
        return {**steps, "head": head_step(self, parts.rms_norm(self, HEAD_ROW, ()))}

    def _dense(self) -> dict[str, Step]:
        """The unit of a dense layer, whole or in tiles."""
        unit = FeedForward(
            config=self,
            norm=lambda writes: parts.rms_norm(self, Ref("before"), ("row",), writes=writes),
            gain="mlp_norm",
            feed_forward=self.feed_forward,
            function="silu",
        )
        return unit.steps()

    def _mixture(self) -> tuple[Step, Step, Step]:
        """The router, the tiles of experts, and the step that adds their sum to the rows."""
        tiles, always = self.expert_tiles, self.shared_experts
        count = self.experts + always
        gate = mixture_parts.expert_gate(count)
        size, block = tiles.size, tiles.feed_forward
        rule = parts.down_rule(
            self, tiles.channels, "gated", blocks=count, used=self.experts_per_token + always
        )
        one = expert_tile_step(
            self,
            count,
            size,
            tiles.count,
            tiles.numbers,
            mixture_parts.routed_rows(gate),
            *parts.gated_unit(self, tiles.channels, "silu", x="routed", size=size, block=block),
            mixture_parts.gated_rows(self, gate),
            cut_parts.mlp_partial(rule, "gated", size, block),
        )
        routing = mixture_parts.scored_routing(
            self,
            self.experts,
            self.experts_per_token,
            always,
            self.routing_factor,
            self.expert_groups,
            self.groups_per_token,
        )
        width = index_bits(count)
        members = index_bits(self.experts // self.expert_groups)
        axes = {
            "expert": Bits(width),
            "expert_group": Bits(max(0, width - members)),
            "member": Bits(min(width, members)),
        }
        router = step_of(
            "router",
            self,
            (parts.rms_norm(self, Ref("before"), ("row",), writes=True), routing),
            axes,
            BEFORE,
            NORMALISED | GATES,
            {"expert": self.experts},
        )
        close = close_step(self, "mlp_close", cut_parts.closed(self, rule, "down"), parts.residual(self))
        return router, one, close
