"""Where a layer's matrices are too large for one step each: how they are cut, so that every step has a bounded number of weights.

A sub-layer is one step while its matrices have at most `ModelConfig.step_weights` entries. Otherwise

    attention_norm, mlp_norm         residual -> normalised
    attention_tile, mlp_tile  x a,m  normalised (and keys, values) -> sum: some query heads, or some hidden channels
    attention_close, mlp_close       residual, sum -> residual, sum reset

and a mixture of experts has, in the place of mlp_norm and mlp_tile,

    router                           residual -> normalised, gates
    expert_tile  x experts * m       normalised, gates, sum -> sum: some hidden channels of one expert

Where the matrices of keys and values are still too large for one step, they are cut along their inputs:

    keys_values_tile  x k            normalised -> key_sum, value_sum: some channels of the normalised rows
    keys_values_close                key_sum, value_sum -> keys, values, both sums reset

and where one norm spans all queries of a row, no tile of heads can make them, so that

    query, or query_tile x q, query_close     rows -> query (through query_sum): for all heads at once
    attention_tile  x a                       query, keys, values, sum -> sum: W_o alone

and in the same way the latents that DeepSeek V3's queries come from (`query_latent`, or `query_latent_tile` and `query_latent_close`).

A family without norms in front reads the residual stream in the place of `normalised`.

Tiles add to sums exactly and only the closing step rounds (operators/partial_sum.py), so the integers are those of the whole
matrices. A tile of heads has whole groups, or some queries of one group; its step key says which groups of keys it reads. Sizes
are powers of two, so that nothing is padded inside a model but the last tile, whose missing rows or columns are zero.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..relations import Along, Bits, ParameterBits, Segment
from .config import index_bits
from .steps import Heads

GROUP = "group"
"""Step-key integer of a tile of heads: 1 + the number of its group of keys, or of its run of groups."""
QUERIES = "queries"
"""Step-key integer of a tile of heads that reads a stream of queries: 1 + the number of its run of queries of a group."""
INPUTS = "inputs"
"""Step-key integer of a tile of a matrix's inputs: 1 + the number of its run of channels."""


@dataclass(frozen=True)
class HeadTiles:
    """Attention cut into tiles of `groups` whole groups, or of `queries` heads of one group."""

    heads: Heads
    groups: int
    queries: int

    @property
    def tile(self) -> Heads:
        """The geometry of one tile."""
        return replace(self.heads, kv_heads=self.groups, queries=self.queries)

    @property
    def per_group(self) -> int:
        """Tiles that read the same groups."""
        return self.heads.queries // self.queries

    @property
    def count(self) -> int:
        """Tiles of a layer."""
        return -(-self.heads.kv_heads // self.groups) * self.per_group

    @property
    def group_bits(self) -> int:
        """Index bits of a run of groups."""
        return index_bits(self.heads.kv_heads) - index_bits(self.groups)

    @property
    def own_groups(self) -> tuple[Segment, ...]:
        """How the groups of keys are indexed by those of the tile."""
        return ParameterBits(GROUP, Bits(self.group_bits)), Along("kv_group")

    @property
    def query_bits(self) -> int:
        """Index bits of a run of queries of a group."""
        return index_bits(self.heads.queries) - index_bits(self.queries)

    @property
    def own_queries(self) -> tuple[Segment, ...]:
        """How the queries of a group are indexed by those of the tile."""
        run = (ParameterBits(QUERIES, Bits(self.query_bits)),) if self.query_bits else ()
        return *run, Along("query")

    @property
    def numbers(self) -> dict[str, tuple[int, int]]:
        """The step-key integers of a tile (`Step.numbers`)."""
        return {GROUP: (self.per_group, self.count), QUERIES: (1, self.per_group)}


def head_tiles(heads: Heads, hidden: int, most: int) -> HeadTiles | None:
    """The largest tiles of which W_q and W_o have at most `most` entries, rows of real channels; None for one tile."""

    def entries(groups: int, queries: int) -> int:
        return 2 * hidden << (index_bits(groups) + index_bits(queries) + heads.size_bits)

    if entries(heads.kv_heads, heads.queries) <= most:
        return None
    for bits in range(index_bits(heads.kv_heads) - 1, -1, -1):
        if entries(1 << bits, heads.queries) <= most:
            return HeadTiles(heads, 1 << bits, heads.queries)
    sizes = [
        size
        for size in (1 << b for b in range(index_bits(heads.queries), -1, -1))
        if heads.queries % size == 0
    ]
    return HeadTiles(heads, 1, next((size for size in sizes if entries(1, size) <= most), 1))


@dataclass(frozen=True)
class InputTiles:
    """Matrices of `inputs` channels cut into tiles of `size` of them, a power of two. index_bits: of the axis of channels."""

    inputs: int
    size: int
    index_bits: int

    @property
    def count(self) -> int:
        """Tiles of a layer."""
        return -(-self.inputs // self.size)

    @property
    def run_bits(self) -> int:
        """Index bits of a run of channels."""
        return self.index_bits - index_bits(self.size)

    @property
    def numbers(self) -> dict[str, tuple[int, int]]:
        """The step-key integer of a tile (`Step.numbers`)."""
        return {INPUTS: (1, self.count)}


def input_tiles(inputs: int, outputs: int, channel_bits: int, most: int) -> InputTiles | None:
    """The largest tiles of which matrices of `outputs` padded columns together have at most `most` entries; None for one tile."""
    if outputs * inputs <= most:
        return None
    size = 1
    while 2 * size < inputs and outputs * 2 * size <= most:
        size *= 2
    return InputTiles(inputs, size, channel_bits)


@dataclass(frozen=True)
class HiddenTiles:
    """An MLP of `feed_forward` hidden channels cut into tiles of `size`, a power of two."""

    feed_forward: int
    size: int

    @property
    def count(self) -> int:
        """Tiles of a layer."""
        return -(-self.feed_forward // self.size)


EXPERT = "expert"
"""Step-key integer of a tile of an expert: 1 + the expert's number."""


@dataclass(frozen=True)
class ExpertTiles:
    """Experts side by side, each of `feed_forward` hidden channels, cut into tiles of `size`; none has channels of two experts."""

    experts: int
    feed_forward: int
    size: int

    @property
    def per_expert(self) -> int:
        """Tiles of one expert."""
        return -(-self.feed_forward // self.size)

    @property
    def count(self) -> int:
        """Tiles of a layer."""
        return self.experts * self.per_expert

    @property
    def channels(self) -> int:
        """Hidden channels of a layer."""
        return self.experts * self.feed_forward

    @property
    def numbers(self) -> dict[str, tuple[int, int]]:
        """The step-key integer of a tile (`Step.numbers`)."""
        return {EXPERT: (self.per_expert, self.experts)}


def expert_tiles(experts: int, feed_forward: int, hidden: int, most: int) -> ExpertTiles:
    """The largest tiles of which all three matrices together have at most `most` entries: one per expert, if it fits."""
    whole = hidden_tiles(feed_forward, hidden, 3, most)
    return ExpertTiles(experts, feed_forward, 1 << index_bits(feed_forward) if whole is None else whole.size)


def hidden_tiles(feed_forward: int, hidden: int, matrices: int, most: int) -> HiddenTiles | None:
    """The largest tiles of which all matrices together have at most `most` entries; None for one tile."""
    if matrices * hidden << index_bits(feed_forward) <= most:
        return None
    size = 1
    while 2 * size < feed_forward and matrices * hidden * 2 * size <= most:
        size *= 2
    return HiddenTiles(feed_forward, size)
