"""Steps around the parts of attention that is cut into tiles (tiles.py): queries, keys and values by slices, and tiles of heads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..program import CONTEXT_BITS, Kind, Tensor
from ..relations import Bits
from ..streams import STREAM_ORDER
from .config import ModelConfig, Step, index_bits
from .cut_parts import sum_axes
from .steps import KEYS_OF_ALL_GROUPS, NEW_QUERIES, SUM_AFTER, SUM_BEFORE, Heads, Part, step_of
from .tiles import GROUP, INPUTS, QUERIES, HeadTiles, InputTiles


def query_step(config: ModelConfig, heads: Heads, *parts: Part, rows: Mapping[str, Tensor]) -> Step:
    """Queries of a window for all heads, from its rows of the residual stream, or from normalised ones."""
    return step_of("query", config, parts, heads.axes, rows, NEW_QUERIES, heads.sizes, heads.window)


def projection_tile_step(
    config: ModelConfig,
    kind: str,
    heads: Heads,
    names: tuple[str, ...],
    tiles: InputTiles,
    *parts: Part,
    rows: Mapping[str, Tensor],
) -> Step:
    """Sums after = sums before + what some entries of the rows give of `names`: queries, or keys and values."""
    before, after = (
        {f"{name}_sum": Tensor(f"{name}_sum_{when}", sum_axes(name), Kind.BOUNDARY) for name in names}
        for when in ("before", "after")
    )
    return input_tile_step(
        config,
        kind,
        tiles,
        *parts,
        axes=heads.axes,
        reads={**rows, **before},
        writes=after,
        sizes=heads.sizes,
    )


def input_tile_step(
    config: ModelConfig,
    kind: str,
    tiles: InputTiles,
    *parts: Part,
    axes: Mapping[str, Bits],
    reads: Mapping[str, Tensor],
    writes: Mapping[str, Tensor],
    sizes: Mapping[str, int],
) -> Step:
    """Sums after = sums before + what some entries of the rows give. axes, sizes: of what they give."""
    axes = {"slice": Bits(index_bits(tiles.size)), **axes}
    step = step_of(kind, config, parts, axes, reads, writes, {"slice": tiles.size, **sizes})
    return _tiled(step, tiles, {INPUTS: tiles.run_bits})


def projection_close_step(
    config: ModelConfig,
    kind: str,
    heads: Heads,
    names: tuple[str, ...],
    *parts: Part,
    writes: Mapping[str, Tensor],
) -> Step:
    """Queries, or keys and values, of a window: what their tiles added up, rounded once."""
    sums = {f"{name}_sum": Tensor(f"{name}_sum", sum_axes(name), Kind.BOUNDARY) for name in names}
    step = step_of(kind, config, parts, heads.axes, sums, writes, heads.sizes, heads.window)
    resets = tuple(stream for stream in STREAM_ORDER if stream in sums)
    return replace(step, program=replace(step.program, resets=resets))


def attention_tile_step(
    config: ModelConfig, tiles: HeadTiles, *parts: Part, reads: Mapping[str, Tensor]
) -> Step:
    """Sum after = sum before + what some heads of attention give, before it is rounded.

    reads: the rows that queries are made from, or the stream of queries.
    """
    whole, tile = tiles.heads.axes, tiles.tile
    axes = {
        "context": CONTEXT_BITS,
        "any_group": whole["kv_group"],
        "any_query": whole["query"],
        **tile.axes,
    }
    reads = {**reads, **KEYS_OF_ALL_GROUPS, **SUM_BEFORE}
    step = step_of("attention_tile", config, parts, axes, reads, SUM_AFTER, tile.sizes, tile.window)
    return _tiled(step, tiles, {GROUP: tiles.group_bits, QUERIES: tiles.query_bits})


def _tiled(step: Step, tiles: HeadTiles | InputTiles, bits: Mapping[str, int]) -> Step:
    """A step as often as there are tiles, with those of their integers that its program reads, of so many bits each."""
    read = [name for name in bits if name in step.program.parameters]
    limits = {**step.program.parameter_limits, **{name: 1 << bits[name] for name in read}}
    program = replace(step.program, parameter_limits=limits)
    numbers = {name: tiles.numbers[name] for name in read}
    return replace(step, program=program, tiles=tiles.count, numbers=numbers)
