"""A layer's two sub-layers as steps, whole or cut into tiles, from what a family says about them.

Which kinds of step there are, and what they read and write: tiles.py. What a family has in front of a sub-layer or behind it
stands at the same place of the same step in every family: a norm in front in the first step, a norm behind in the one
that adds to the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from ..operators.rotary import RotaryTable
from ..program import Tensor
from . import cut_parts, parts
from .config import MatrixRule, ModelConfig, Step
from .cut_steps import attention_tile_step, projection_close_step, projection_tile_step, query_step
from .steps import (
    BEFORE,
    NEW_KEYS,
    NEW_QUERIES,
    NORMALISED,
    QUERIES,
    QUERIES_OF_ALL_HEADS,
    Heads,
    Part,
    attention_step,
    close_step,
    keys_values_step,
    mlp_step,
    mlp_tile_step,
    norm_step,
)
from .tiles import HeadTiles, HiddenTiles, InputTiles, head_tiles, hidden_tiles, input_tiles

KEY_VALUE = ("key", "value")


@dataclass(frozen=True, kw_only=True)
class SubLayer:
    """What both sub-layers may have.

    norm: the one in front; its argument says whether its result is the stream of that name. None: matrices read the residual
    stream. gain: name of that norm's gain where it is folded into the matrices. norm_bias: it has a bias, folded like the gain.
    bias: matrices have one. factor: what the output is multiplied with. post_norm: gain of a norm behind.
    """

    config: ModelConfig
    norm: Callable[[bool], Part] | None
    gain: str | None
    norm_bias: bool = False
    bias: bool = False
    factor: float = 1.0
    post_norm: str | None = None

    @property
    def x(self) -> str:
        """What matrices read."""
        return "before" if self.norm is None else "normalised"

    @property
    def rows(self) -> Mapping[str, Tensor]:
        """The stream that the steps of a cut sub-layer read."""
        return BEFORE if self.norm is None else NORMALISED

    def in_front(self) -> tuple[Part, ...]:
        """The norm in a step of a whole sub-layer."""
        return () if self.norm is None else (self.norm(False),)

    def behind(self) -> tuple[Part, ...]:
        """From what the last matrix gave to the rows."""
        norms = () if self.post_norm is None else (parts.post_norm(self.config, self.post_norm),)
        return (*norms, parts.residual(self.config))

    def norm_of_tiles(self, kind: str) -> dict[str, Step]:
        """The norm as a step of its own."""
        return {} if self.norm is None else {kind: norm_step(self.config, kind, self.norm(True))}

    def close(self, kind: str, rule: MatrixRule, name: str) -> dict[str, Step]:
        """The step that adds the sum of all tiles to the rows."""
        closed = cut_parts.closed(self.config, rule, name, normed=self.post_norm is not None)
        return {kind: close_step(self.config, kind, closed, *self.behind())}


@dataclass(frozen=True, kw_only=True)
class Attention(SubLayer):
    """Attention. output_bias: W_o has one; `bias` is that of queries, keys and values.

    head_norms: queries and keys have a norm, each head its own, or one over `whole` rows. tables, selector: rotary tables, if
    any, and the step-key integer that selects one of two. rope_factor: what they multiply with. reach: of local layers.
    """

    heads: Heads
    output_bias: bool = False
    head_norms: bool = False
    whole: bool = False
    tables: tuple[RotaryTable, ...] = ()
    selector: str | None = None
    rope_factor: float = 1.0
    reach: int | None = None

    @cached_property
    def tiles(self) -> HeadTiles | None:
        """How it is cut, where it is too large for one step."""
        return head_tiles(self.heads, self.config.hidden, self.config.step_weights)

    def steps(self) -> dict[str, Step]:
        """The kinds of step, in order."""
        if self.tiles is None:
            return {**self._written("keys_values", KEY_VALUE), "attention": self._attention()}
        return {
            **self.norm_of_tiles("attention_norm"),
            **self._written("keys_values", KEY_VALUE),
            **(self._written("query", ("query",)) if self.whole else {}),
            **self._in_tiles(self.tiles),
        }

    # --- queries, keys, values --------------------------------------------------------------------------

    def _rule(self, name: str) -> MatrixRule:
        return parts.projection_rule(
            self.config,
            self.heads,
            name,
            x=self.x,
            gain=self.gain,
            normed=self._is_normed(name),
            bias=self.bias,
            norm_bias=self.norm_bias,
        )

    def _is_normed(self, name: str) -> bool:
        return self.head_norms and name != "value"

    def _goes_to(self, name: str) -> str | None:
        """The tensor of the stream that a projection is, if nothing follows it."""
        if name == "value":
            return "values"
        return "keys" if name == "key" and not self.head_norms and not self.tables else None

    def _turned(self, name: str, heads: Heads, domain: tuple[str, ...] = ()) -> tuple[Part, ...]:
        """What follows the projection of queries or keys, in a step that writes these if a domain is given."""
        config, found = self.config, []
        if self.head_norms:
            found.append(parts.head_norm(config, heads, name, whole=self.whole, domain=domain))
        if self.tables:
            writes = "rotated_query" if domain and name == "query" else None
            turn = parts.rotary(config, heads, name, self.tables, self.selector, writes=writes, domain=domain)
            found.append(turn)
        return tuple(found)

    def _written(self, kind: str, names: tuple[str, ...]) -> dict[str, Step]:
        """The step that writes queries, or keys and values, or its tiles and their close."""
        config, heads, cut = self.config, self.heads, self._input_tiles(names)
        domain = QUERIES if kind == "query" else ()
        turned = [part for name in names if name != "value" for part in self._turned(name, heads, domain)]
        if cut is None:
            projections = [
                parts.projection(
                    config,
                    heads,
                    name,
                    self._rule(name),
                    x=self.x,
                    normed=self._is_normed(name),
                    writes=self._goes_to(name),
                    domain=domain,
                )
                for name in names
            ]
            if kind == "query":
                return {kind: query_step(config, heads, *projections, *turned, rows=self.rows)}
            norm, rows = (self.in_front(), BEFORE) if self.tiles is None else ((), self.rows)
            return {kind: keys_values_step(config, heads, *norm, *projections, *turned, rows=rows)}
        slices = [cut_parts.projection_partial(self._rule(name), name, self.x, cut) for name in names]
        closed = [
            cut_parts.projection_closed(
                config, self._rule(name), name, normed=self._is_normed(name), writes=self._goes_to(name)
            )
            for name in names
        ]
        tile, close = f"{kind}_tile", f"{kind}_close"
        writes = NEW_QUERIES if kind == "query" else NEW_KEYS
        return {
            tile: projection_tile_step(config, tile, heads, names, cut, *slices, rows=self.rows),
            close: projection_close_step(config, close, heads, names, *closed, *turned, writes=writes),
        }

    def _input_tiles(self, names: tuple[str, ...]) -> InputTiles | None:
        """How the matrices of queries, or of keys and values, are cut. Keys and values are only where heads are."""
        axes = self.heads.axes
        bits = axes["kv_group"].fixed + axes["head_channel"].fixed
        if names == ("query",):
            bits += axes["query"].fixed
        config = self.config
        return input_tiles(config.hidden, len(names) << bits, config.channel_bits, config.step_weights)

    # --- scores, and back to the channels ---------------------------------------------------------------

    def _query(self, tile: Heads | None = None) -> tuple[Part, ...]:
        """Queries of all heads or of a tile's, made in the step that attends."""
        projection = parts.projection(
            self.config,
            self.heads,
            "query",
            self._rule("query"),
            x=self.x,
            normed=self.head_norms,
            tile=tile,
        )
        return (projection, *self._turned("query", tile or self.heads))

    def _attend(self, heads: Heads, tiles: HeadTiles | None = None) -> Part:
        return parts.attend(
            self.config,
            heads,
            "rotated_query" if self.tables else "query",
            normed=self.head_norms and not self.whole,
            reach=self.reach,
            factor=self.rope_factor,
            groups=None if tiles is None else tiles.own_groups,
            queries=tiles.own_queries if tiles is not None and self.whole else None,
        )

    def _attention(self) -> Step:
        output = parts.attention_output(
            self.config,
            self.heads,
            bias=self.output_bias,
            normed=self.post_norm is not None,
            factor=self.factor,
        )
        return attention_step(
            self.config,
            self.heads,
            *self.in_front(),
            *self._query(),
            self._attend(self.heads),
            output,
            *self.behind(),
        )

    def _in_tiles(self, tiles: HeadTiles) -> dict[str, Step]:
        """A step per tile of heads, and the one that adds their sum to the rows."""
        rule = parts.output_rule(
            self.config,
            self.heads,
            bias=self.output_bias,
            normed=self.post_norm is not None,
            factor=self.factor,
        )
        one = attention_tile_step(
            self.config,
            tiles,
            *(() if self.whole else self._query(tiles.tile)),
            self._attend(tiles.tile, tiles),
            cut_parts.attention_partial(rule, tiles.tile),
            reads=QUERIES_OF_ALL_HEADS if self.whole else self.rows,
        )
        return {"attention_tile": one, **self.close("attention_close", rule, "output")}


@dataclass(frozen=True, kw_only=True)
class FeedForward(SubLayer):
    """The feed-forward unit of `feed_forward` hidden channels: `function` of one matrix, times another one if it is `gated`."""

    feed_forward: int
    function: str
    gated: bool = True

    @cached_property
    def tiles(self) -> HiddenTiles | None:
        """How it is cut, where it is too large for one step."""
        matrices = 3 if self.gated else 2
        return hidden_tiles(self.feed_forward, self.config.hidden, matrices, self.config.step_weights)

    def steps(self) -> dict[str, Step]:
        """The kinds of step, in order."""
        if self.tiles is None:
            return {"mlp": self._mlp()}
        size = self.tiles.size
        rule = parts.down_rule(
            self.config,
            self.feed_forward,
            self._product,
            bias=self.bias,
            normed=self.post_norm is not None,
            factor=self.factor,
        )
        one = mlp_tile_step(
            self.config,
            size,
            self.tiles.count,
            *self._unit(size),
            cut_parts.mlp_partial(rule, self._product, size),
            rows=self.rows,
        )
        return {
            **self.norm_of_tiles("mlp_norm"),
            "mlp_tile": one,
            **self.close("mlp_close", rule, "down"),
        }

    @property
    def _product(self) -> str:
        return "product" if self.gated else "activated"

    def _unit(self, size: int | None = None) -> tuple[Part, ...]:
        config, f = self.config, self.feed_forward
        if self.gated:
            return parts.gated_unit(
                config, f, self.function, x=self.x, gain=self.gain, bias=self.bias, size=size
            )
        return (
            parts.widening(config, f, "up", x=self.x, gain=self.gain, biased=self.norm_bias, size=size),
            parts.activation(config, "up", self.function),
        )

    def _mlp(self) -> Step:
        output = parts.mlp_output(
            self.config,
            self.feed_forward,
            self._product,
            bias=self.bias,
            normed=self.post_norm is not None,
            factor=self.factor,
        )
        return mlp_step(
            self.config, self.feed_forward, *self.in_front(), *self._unit(), output, *self.behind()
        )
