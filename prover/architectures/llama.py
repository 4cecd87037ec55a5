"""The Llama family: RMSNorm, rotary positions, grouped-query attention, SwiGLU, tied or separate head.

    n = RMSNorm(x);  q, k, v = n W_q, n W_k, n W_v;  q', k' = rotary(q), rotary(k)
    x = x + attend(q', k', v) W_o
    n = RMSNorm(x);  x = x + (silu(n W_gate) * (n W_up)) W_down
    logits = RMSNorm(x) W_head

Norm gains are folded into the matrices that follow. Scales and widths: the design's integer-model page.

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
from .steps import (
    BEFORE,
    HEAD_ROW,
    NORMALISED,
    Heads,
    attention_step,
    attention_tile_step,
    close_step,
    head_step,
    keys_values_step,
    mlp_step,
    mlp_tile_step,
    norm_step,
)
from .tiles import GROUP, HeadTiles, HiddenTiles, head_tiles, hidden_tiles

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
    layer_kinds: tuple[int, ...] = number(parts.GLOBAL, optional=True, default=())
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
        attends = kind in ("attention", "attention_tile")
        return {parts.LAYER_KIND: self.layer_kinds[layer]} if self.layer_kinds and attends else {}

    def tile_parameters(self, kind: StepKind, tile: int) -> dict[str, int]:
        if kind == "attention_tile" and self.attention_tiles is not None:
            return {GROUP: self.attention_tiles.group(tile)}
        return {}

    @cached_property
    def attention_tiles(self) -> HeadTiles | None:
        """How attention is cut, where it is too large for one step."""
        return head_tiles(self.geometry, self.hidden, self.step_weights)

    @cached_property
    def mlp_tiles(self) -> HiddenTiles | None:
        """How the MLP is cut, where it is too large for one step."""
        return hidden_tiles(self.feed_forward, self.hidden, 3, self.step_weights)

    @cached_property
    def steps(self) -> dict[str, Step]:
        if self.layer_kinds and len(self.layer_kinds) != self.layers:
            raise ValueError(f"{len(self.layer_kinds)} layer kinds for {self.layers} layers")
        if bool(self.layer_kinds) != (self.sliding_window > 0):
            raise ValueError("local layers need both the kinds of all layers and a window")
        return {
            **(attention_norm(self) if self.attention_tiles else {}),
            "keys_values": keys_values(self),
            **(
                attention_in_tiles(self, self.attention_tiles)
                if self.attention_tiles
                else {"attention": attention(self)}
            ),
            **self.mlp_steps,
            "head": head(self),
        }

    @property
    def mlp_steps(self) -> dict[str, Step]:
        """The kinds of step of the feed-forward sub-layer, in order."""
        return mlp_in_tiles(self, self.mlp_tiles) if self.mlp_tiles else {"mlp": mlp(self)}

    @property
    def geometry(self) -> Heads:
        """The heads of attention."""
        return Heads.of(self.heads, self.kv_heads, self.head_size, self.max_positions, self.score_scale)


def keys_values(config: LlamaConfig) -> Step:
    """Keys and values of a window."""
    heads = config.geometry
    tables, selector = config.rotations(heads)
    normed, bias = config.head_norms, config.bias or config.attention_bias
    norms = (parts.head_norm(config, heads, "key"),) if normed else ()
    tiled = config.attention_tiles is not None
    return keys_values_step(
        config,
        heads,
        *(() if tiled else (parts.rms_norm(config, Ref("before"), ("row",)),)),
        parts.projection(config, heads, "key", normed=normed, bias=bias),
        parts.projection(config, heads, "value", bias=bias, writes="values"),
        *norms,
        parts.rotary(config, heads, "key", tables, selector),
        rows=NORMALISED if tiled else BEFORE,
    )


def attention(config: LlamaConfig) -> Step:
    """Window w after = attention sub-layer of window w before, over keys and values of windows 0..w."""
    heads = config.geometry
    tables, selector = config.rotations(heads)
    normed = config.head_norms
    norms = (parts.head_norm(config, heads, "query"),) if normed else ()
    return attention_step(
        config,
        heads,
        parts.rms_norm(config, Ref("before"), ("row",)),
        parts.projection(config, heads, "query", normed=normed, bias=config.bias or config.attention_bias),
        *norms,
        parts.rotary(config, heads, "query", tables, selector),
        parts.attend(
            config,
            heads,
            "rotated_query",
            normed=normed,
            reach=config.sliding_window or None,
            factor=config.rope_factor,
        ),
        parts.attention_output(config, heads, bias=config.attention_bias, factor=config.residual_factor),
        parts.residual(config),
    )


def attention_norm(config: LlamaConfig) -> dict[str, Step]:
    """Normalised rows for keys, values and the tiles of attention."""
    norm = parts.rms_norm(config, Ref("before"), ("row",), writes=True)
    return {"attention_norm": norm_step(config, "attention_norm", norm)}


def attention_in_tiles(config: LlamaConfig, tiles: HeadTiles) -> dict[str, Step]:
    """Attention as a step per tile of heads, and the one that adds their sum to the rows."""
    heads, tile = tiles.heads, tiles.tile
    tables, selector = config.rotations(heads)
    normed = config.head_norms
    norms = (parts.head_norm(config, tile, "query"),) if normed else ()
    rule = parts.output_rule(config, heads, bias=config.attention_bias, factor=config.residual_factor)
    one = attention_tile_step(
        config,
        heads,
        tile,
        tiles.count,
        tiles.group_bits,
        parts.projection(
            config, heads, "query", normed=normed, bias=config.bias or config.attention_bias, tile=tile
        ),
        *norms,
        parts.rotary(config, tile, "query", tables, selector),
        parts.attend(
            config,
            tile,
            "rotated_query",
            normed=normed,
            reach=config.sliding_window or None,
            factor=config.rope_factor,
            groups=tiles.own_groups,
        ),
        parts.attention_partial(config, rule, tile),
    )
    close = close_step(
        config, "attention_close", parts.closed(config, rule, "output"), parts.residual(config)
    )
    return {"attention_tile": one, "attention_close": close}


def mlp_in_tiles(config: LlamaConfig, tiles: HiddenTiles) -> dict[str, Step]:
    """The MLP as a step per tile of hidden channels, between its norm and the step that adds their sum to the rows."""
    norm = parts.rms_norm(config, Ref("before"), ("row",), writes=True)
    rule = parts.down_rule(
        config, config.feed_forward, "product", bias=config.mlp_bias, factor=config.residual_factor
    )
    one = mlp_tile_step(
        config,
        tiles.size,
        tiles.count,
        *parts.gated_unit(config, config.feed_forward, "silu", bias=config.mlp_bias, size=tiles.size),
        parts.mlp_partial(rule, "product", tiles.size),
    )
    close = close_step(config, "mlp_close", parts.closed(config, rule, "down"), parts.residual(config))
    return {"mlp_norm": norm_step(config, "mlp_norm", norm), "mlp_tile": one, "mlp_close": close}


def mlp(config: LlamaConfig) -> Step:
    """Window after = gated feed-forward sub-layer of the window before."""
    return mlp_step(
        config,
        config.feed_forward,
        parts.rms_norm(config, Ref("before"), ("row",)),
        *parts.gated_unit(config, config.feed_forward, "silu", bias=config.mlp_bias),
        parts.mlp_output(
            config, config.feed_forward, "product", bias=config.mlp_bias, factor=config.residual_factor
        ),
        parts.residual(config),
    )


def head(config: LlamaConfig) -> Step:
    """At one row of the last boundary, the chosen token's logit beats the rival's."""
    return head_step(config, parts.rms_norm(config, HEAD_ROW, ()))
