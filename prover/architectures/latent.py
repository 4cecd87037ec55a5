"""Parts of latent attention: keys and values of all heads come from one short row per position, the latent.

    c = norm(n W_latent);  k = rotary(n W_key), one for all heads                    what a position leaves behind
    q = n W_query_h, or norm(n W_query_down) W_query_h;  r = rotary(... W_query_rope_h)            per head h
    score = q . (c W_key_up_h) + r . k = (q W_key_up_h^T) . c + r . k
    o_h = (sum_u weight_u c_u) W_value_up_h = sum_u weight_u (c_u W_value_up_h)

The right-hand sides are what is run and proven: nothing of a head is made for earlier positions, so that streams are as short as the
latent, and heads share one group of keys. Norm gains of both latents are folded into the matrices behind them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from ..operators.attend import HEADS, Attend
from ..operators.closed_sum import ClosedSum
from ..operators.head_matmul import HeadMatMul
from ..operators.matmul import MatMul
from ..operators.rms_norm import RmsNorm
from ..operators.rotary import Rotary, RotaryTable
from ..operators.rounding import Shift
from ..program import CONTEXT_BITS, Kind, Tensor
from ..relations import Bits, Ref
from ..tables import EXPONENTIAL_SCALE
from . import cut_parts, parts
from .config import Arrangement, MatrixRule, ModelConfig, Scales, Sliced, Step, index_bits
from .cut_steps import input_tile_step
from .steps import (
    AFTER,
    BEFORE,
    KEYS,
    NORMALISED,
    SUM_AFTER,
    SUM_BEFORE,
    Heads,
    Part,
    close_step,
    norm_step,
    step_of,
)
from .tiles import input_tiles

LATENT_EPSILON = 1e-6
"""Of the norms of both latents: no setting of a model changes it."""
LOW, PLAIN, ROPE, VALUE = "low_channel", "plain_channel", "rope_channel", "value_channel"
_GROUP_HEAD_ROW = HEADS[:-1]
_NEW = {
    "keys": Tensor("keys", ("row", "kv_group", ROPE), Kind.BOUNDARY, placed=True),
    "latent": Tensor("latent", KEYS, Kind.BOUNDARY, placed=True),
}
_ALL = {
    "keys": Tensor("keys", ("context", "kv_group", ROPE), Kind.BOUNDARY, placed=True),
    "latent": Tensor("latent", ("context", "kv_group", "head_channel"), Kind.BOUNDARY, placed=True),
}
_LOW_ROWS = ("row", LOW)
_QUERY_LATENT = {"query_latent": Tensor("query_latent", _LOW_ROWS, Kind.BOUNDARY)}


class LatentConfig(Protocol):
    """What a configuration says of latent attention. query_rank: 0 where queries have no latent."""

    @property
    def scales(self) -> Scales: ...
    @property
    def hidden(self) -> int: ...
    @property
    def heads(self) -> int: ...
    @property
    def query_rank(self) -> int: ...
    @property
    def latent_rank(self) -> int: ...
    @property
    def plain_size(self) -> int: ...
    @property
    def rope_size(self) -> int: ...
    @property
    def value_size(self) -> int: ...
    @property
    def max_positions(self) -> int: ...
    @property
    def step_weights(self) -> int: ...


@dataclass(frozen=True)
class LatentHeads:
    """The geometry of latent attention, and how it is cut: tiles of `tile` heads, or one step of all."""

    heads: int
    plain: int
    rope: int
    value: int
    rank: int
    query_rank: int
    max_positions: int
    score_scale: float
    rotation: RotaryTable
    tile: int | None

    @property
    def count(self) -> int:
        """Tiles of a layer."""
        return 1 if self.tile is None else self.heads // self.tile

    @property
    def at_once(self) -> int:
        """Heads of one step."""
        return self.heads if self.tile is None else self.tile

    @property
    def geometry(self) -> Heads:
        """Of one step: all heads share one group of keys, which are latents."""
        return Heads(1, self.at_once, self.rank, self.max_positions, self.score_scale)

    @property
    def axes(self) -> dict[str, Bits]:
        """Of all steps of attention."""
        sizes = {LOW: self.query_rank, PLAIN: self.plain, ROPE: self.rope, VALUE: self.value}
        return {
            **self.geometry.axes,
            **{name: Bits(index_bits(max(size, 1))) for name, size in sizes.items()},
        }

    @property
    def sizes(self) -> dict[str, int]:
        """Unpadded sizes of those axes."""
        own = {LOW: self.query_rank, PLAIN: self.plain, ROPE: self.rope, VALUE: self.value}
        return {**self.geometry.sizes, **own}


def heads_of_a_tile(config: LatentConfig) -> int | None:
    """The largest power of two that divides the heads and whose matrices have at most `step_weights` entries; None for all."""
    inputs = config.query_rank or config.hidden

    def entries(heads: int) -> int:
        queries = inputs << index_bits(config.plain_size), inputs << index_bits(config.rope_size)
        keys, values = (
            config.plain_size << index_bits(config.latent_rank),
            config.latent_rank << index_bits(config.value_size),
        )
        output = config.value_size << index_bits(config.hidden)
        return heads * (sum(queries) + keys + values + output)

    if entries(1 << index_bits(config.heads)) + config.query_rank * config.hidden <= config.step_weights:
        return None
    fitting = [
        1 << bits for bits in range(index_bits(config.heads), -1, -1) if config.heads % (1 << bits) == 0
    ]
    return next((size for size in fitting if entries(size) <= config.step_weights), 1)


# --- parts ----------------------------------------------------------------------------------------------


def _low_rank_rule(config: ModelConfig, rank: int) -> MatrixRule:
    scales = config.scales
    return MatrixRule(
        outputs=rank,
        inputs=config.hidden,
        input_scale=scales.normalised,
        output_scale=scales.raw,
        input_bits=scales.normalised_bits,
        gain="attention_norm",
    )


def _low_rank(
    config: ModelConfig,
    name: str,
    rank: int,
    output: str,
    domain: tuple[str, ...],
    shape: tuple[int, ...],
    *,
    writes: bool,
) -> Part:
    """<output> = norm(normalised W_<name>), over the last axis of the domain; `writes`: it is the stream of that name."""
    matrix = MatMul(
        Ref("normalised"),
        f"w_{name}",
        f"raw_{output}",
        domain,
        ("channel",),
        Shift(parameter=f"{name}_shift"),
        config.scales.raw_bits,
        shape,
    )
    weight = Tensor(f"w_{name}", ("channel", *domain[1:]), Kind.WEIGHT)
    norm = _low_rank_norm(config, rank, output, domain, writes=writes)
    return _joined(Part((matrix,), (weight,), {f"w_{name}": _low_rank_rule(config, rank)}), norm)


def _low_rank_norm(
    config: ModelConfig, rank: int, output: str, domain: tuple[str, ...], *, writes: bool
) -> Part:
    """<output> = norm(raw_<output>)."""
    scales = config.scales
    epsilon = max(1, round(rank * LATENT_EPSILON * (1 << (2 * scales.raw))))
    scale = parts.root_scale(rank, epsilon, min(parts.ROOT_SCALE, parts.LARGEST_SHIFT + scales.normalised))
    norm = RmsNorm(
        Ref(f"raw_{output}"),
        output,
        domain[:-1],
        rank,
        epsilon,
        scale,
        scale - scales.normalised,
        scales.normalised_bits,
        channel=domain[-1],
        committed=not writes,
    )
    return Part((norm,))


def _shared_key(config: ModelConfig, heads: LatentHeads) -> Part:
    """keys = rotary(normalised W_key)."""
    scales, domain = config.scales, ("row", "kv_group", ROPE)
    rule = MatrixRule(
        outputs=heads.rope,
        inputs=config.hidden,
        input_scale=scales.normalised,
        output_scale=scales.rope_key,
        input_bits=scales.normalised_bits,
        gain="attention_norm",
    )
    matrix = MatMul(
        Ref("normalised"),
        "w_key",
        "key",
        domain,
        ("channel",),
        Shift(parameter="key_shift"),
        scales.rope_key_bits,
        (1, heads.rope),
    )
    turned = Rotary(
        "key",
        "keys",
        domain,
        heads.geometry.row_position,
        (heads.rotation,),
        scales.rope_key_bits,
        committed=False,
        channel=ROPE,
    )
    return Part(
        (matrix, turned), (Tensor("w_key", ("channel", "kv_group", ROPE), Kind.WEIGHT),), {"w_key": rule}
    )


def _queries(config: ModelConfig, heads: LatentHeads) -> tuple[Part, Part]:
    """absorbed = (x W_query) W_key_up^T and rotated_query = rotary(x W_query_rope), x the query's latent or the normalised rows."""
    scales, geometry, cut = config.scales, heads.geometry, heads.tile is not None
    latent = heads.query_rank > 0
    x, axis, gain = (
        ("query_latent", LOW, "query_latent_norm") if latent else ("normalised", "channel", "attention_norm")
    )

    def matrix(name: str, output: str, own: str, size: int, scale: int, bits: int) -> Part:
        rule = MatrixRule(
            outputs=heads.heads * size,
            inputs=heads.query_rank or config.hidden,
            input_scale=scales.normalised,
            output_scale=scale,
            input_bits=scales.normalised_bits,
            gain=gain,
            factor=geometry.query_factor,
        )
        operator = MatMul(
            Ref(x),
            f"w_{name}",
            output,
            (*_GROUP_HEAD_ROW, own),
            (axis,),
            Shift(parameter=f"{name}_shift"),
            bits,
            (1, heads.at_once, size),
        )
        weight = Tensor(f"w_{name}", (axis, "kv_group", "query", own), Kind.WEIGHT)
        sliced = {f"w_{name}": Sliced(1, heads.at_once * size)} if cut else {}
        return Part((operator,), (weight,), {f"w_{name}": rule}, sliced=sliced)

    plain = matrix("query", "query", PLAIN, heads.plain, scales.raw, scales.raw_bits)
    turning = matrix("query_rope", "rope_query", ROPE, heads.rope, scales.rope_query, scales.rope_query_bits)
    rule = MatrixRule(
        outputs=heads.rank,
        inputs=heads.heads * heads.plain,
        input_scale=scales.raw,
        output_scale=scales.absorbed,
        input_bits=scales.raw_bits,
        gain="latent_norm",
        blocks=heads.heads,
        arranged=Arrangement.TRANSPOSED,
    )
    absorbed = HeadMatMul(
        "query",
        "w_key_up",
        "absorbed",
        PLAIN,
        "head_channel",
        Shift(parameter="key_up_shift"),
        scales.absorbed_bits,
    )
    up = Part(
        (absorbed,),
        (Tensor("w_key_up", ("query", PLAIN, "head_channel"), Kind.WEIGHT),),
        {"w_key_up": rule},
        sliced={"w_key_up": Sliced(0, heads.at_once * heads.plain)} if cut else {},
    )
    turned = Rotary(
        "rope_query",
        "rotated_query",
        (*_GROUP_HEAD_ROW, ROPE),
        geometry.row_position,
        (heads.rotation,),
        scales.rope_query_bits,
        channel=ROPE,
    )
    return _joined(plain, up), _joined(turning, Part((turned,)))


def _attend(config: ModelConfig, heads: LatentHeads) -> Part:
    """mixed = softmax(absorbed . latent + rotated_query . keys) . latent, and attended = mixed W_value_up.

    A latent is normalised, so sum_c c^2 <= rank and |q . c| <= rank max|q| (twice that with roundings), whatever its width.
    """
    scales, geometry = config.scales, heads.geometry
    with_latent = geometry.size_bits + (scales.absorbed_bits - 1) + scales.normalised + 1
    with_key = index_bits(heads.rope) + (scales.rope_query_bits - 1) + (scales.rope_key_bits - 1)
    score_bits = max(with_latent, with_key) + 1
    scale = scales.absorbed + scales.normalised
    attend = Attend(
        query="absorbed",
        key="latent",
        value="latent",
        output="mixed",
        shift=scale + geometry.score_shift - EXPONENTIAL_SCALE,
        offset_bits=score_bits + 2,
        bits=scales.normalised_bits,
        group_count=1,
        query_count=geometry.queries,
        second=("rotated_query", "keys", ROPE),
    )
    rule = MatrixRule(
        outputs=heads.value,
        inputs=heads.heads * heads.rank,
        input_scale=scales.normalised,
        output_scale=scales.value,
        input_bits=scales.normalised_bits,
        gain="latent_norm",
        blocks=heads.heads,
        arranged=Arrangement.OF_HEADS,
    )
    up = HeadMatMul(
        "mixed",
        "w_value_up",
        "attended",
        "head_channel",
        VALUE,
        Shift(parameter="value_up_shift"),
        scales.value_bits,
    )
    return Part(
        (attend, up),
        (Tensor("w_value_up", ("query", "head_channel", VALUE), Kind.WEIGHT),),
        {"w_value_up": rule},
        sliced={"w_value_up": Sliced(0, heads.at_once * heads.rank)} if heads.tile is not None else {},
    )


def _output_rule(config: ModelConfig, heads: LatentHeads) -> MatrixRule:
    scales = config.scales
    return MatrixRule(
        outputs=config.hidden,
        inputs=heads.heads * heads.value,
        input_scale=scales.value,
        output_scale=config.residual_scale,
        input_bits=scales.value_bits,
    )


def _joined(*some: Part) -> Part:
    return Part(
        tuple(operator for part in some for operator in part.operators),
        tuple(weight for part in some for weight in part.weights),
        {name: rule for part in some for name, rule in part.matrices.items()},
        sliced={name: rule for part in some for name, rule in part.sliced.items()},
    )


# --- steps ----------------------------------------------------------------------------------------------


def attention_steps(config: ModelConfig, heads: LatentHeads) -> dict[str, Step]:
    """keys_values, attention; or attention_norm, keys_values, query_latent (whole or in tiles), attention_tile of some heads each, attention_close."""
    cut = heads.tile is not None
    norm = parts.rms_norm(config, Ref("before"), ("row",), writes=cut)
    read = () if cut else (norm,)
    window = heads.geometry.window
    latent = _low_rank(config, "latent", heads.rank, "latent", KEYS, (1, heads.rank), writes=True)
    keys_values = step_of(
        "keys_values",
        config,
        (*read, latent, _shared_key(config, heads)),
        heads.axes,
        NORMALISED if cut else BEFORE,
        _NEW,
        heads.sizes,
        window,
    )
    low: tuple[Part, ...] = ()
    if heads.query_rank and not cut:
        low = (_query_latent(config, heads, writes=False),)
    axes = {"context": CONTEXT_BITS, **heads.axes}
    rule = _output_rule(config, heads)
    summed = ("kv_group", "query", VALUE)
    inner = (*_queries(config, heads), _attend(config, heads))
    if not cut:
        output = parts.back_to_channels(config, rule, "output", "attended", summed)
        all_parts = (*read, *low, *inner, output, parts.residual(config))
        attention = step_of("attention", config, all_parts, axes, BEFORE | _ALL, AFTER, heads.sizes, window)
        return {"keys_values": keys_values, "attention": attention}
    partial = cut_parts.partial(rule, "output", "attended", summed, heads.at_once * heads.value)
    reads = (_QUERY_LATENT if heads.query_rank else NORMALISED) | _ALL | SUM_BEFORE
    tile = step_of("attention_tile", config, (*inner, partial), axes, reads, SUM_AFTER, heads.sizes, window)
    close = cut_parts.closed(config, rule, "output"), parts.residual(config)
    return {
        "attention_norm": norm_step(config, "attention_norm", norm),
        "keys_values": keys_values,
        **(_query_latent_steps(config, heads) if heads.query_rank else {}),
        "attention_tile": replace(tile, tiles=heads.count),
        "attention_close": close_step(config, "attention_close", *close),
    }


def _query_latent(config: ModelConfig, heads: LatentHeads, *, writes: bool) -> Part:
    rank = heads.query_rank
    return _low_rank(config, "query_down", rank, "query_latent", _LOW_ROWS, (rank,), writes=writes)


def _query_latent_steps(config: ModelConfig, heads: LatentHeads) -> dict[str, Step]:
    """The step that writes the latents of a window's queries, or its tiles of input channels and their close."""
    axes, sizes, rank = heads.axes, heads.sizes, heads.query_rank
    tiles = input_tiles(config.hidden, 1 << axes[LOW].fixed, config.channel_bits, config.step_weights)
    if tiles is None:
        whole = (_query_latent(config, heads, writes=True),)
        step = step_of("query_latent", config, whole, axes, NORMALISED, _QUERY_LATENT, sizes)
        return {"query_latent": step}
    rule, total = _low_rank_rule(config, rank), "query_sum"
    before, after, read = (
        {total: Tensor(f"{total}{when}", _LOW_ROWS, Kind.BOUNDARY)} for when in ("_before", "_after", "")
    )
    one = input_tile_step(
        config,
        "query_latent_tile",
        tiles,
        cut_parts.input_partial(rule, "w_query_down", total, "normalised", tiles, _LOW_ROWS),
        axes=axes,
        reads=NORMALISED | before,
        writes=after,
        sizes=sizes,
    )
    shift = Shift(parameter="query_down_shift")
    rounded = ClosedSum(Ref(total), "raw_query_latent", _LOW_ROWS, shift, config.scales.raw_bits)
    norm = _low_rank_norm(config, rank, "query_latent", _LOW_ROWS, writes=True)
    close = step_of("query_latent_close", config, (Part((rounded,)), norm), axes, read, _QUERY_LATENT, sizes)
    close = replace(close, program=replace(close.program, resets=(total,)))
    return {"query_latent_tile": one, "query_latent_close": close}
