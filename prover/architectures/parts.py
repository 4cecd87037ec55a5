"""The pieces that architectures are composed of: operators, their weights, and the rules for those weights' integers.

A family's page lists parts in the order in which they run; steps.py puts the axes around them. Names of weights and of
float vectors: w_query, query_bias, query_norm, attention_norm, ...
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil, log2, prod

from ..operators.activation import Activation
from ..operators.attend import HEADS, Attend
from ..operators.inverse_root import ROOT_LIMBS
from ..operators.layer_norm import LayerNorm
from ..operators.learned_positions import LearnedPositions
from ..operators.matmul import MatMul
from ..operators.multiply import Multiply
from ..operators.residual_add import ResidualAdd
from ..operators.rms_norm import RmsNorm
from ..operators.rotary import Rotary, RotaryTable
from ..operators.rounding import Shift
from ..program import Kind, Tensor
from ..relations import Ref, Segment
from ..tables import EXPONENTIAL_SCALE, RANGE_BITS
from .config import MatrixRule, ModelConfig, Sliced, VectorRule
from .steps import CHANNELS, KEYS, LAYER_KIND, Heads, Part

LARGEST_SHIFT = 2 * RANGE_BITS
ROOT_SCALE = 34
HEAD_AXES = ("kv_group", "query", "head_channel")


# --- norms ----------------------------------------------------------------------------------------------


def root_scale(factor: int, epsilon: int, limit: int) -> int:
    """The largest k <= limit at which sqrt(factor * 2^(2k) / epsilon) stays below 2^32."""
    room = (epsilon << (2 * RANGE_BITS * ROOT_LIMBS)) // factor
    return min(limit, ((room - 1).bit_length() - 1) // 2) if room > 1 else 0


def rms_norm(
    config: ModelConfig, x: Ref, rows: tuple[str, ...], gain: str | None = None, *, writes: bool = False
) -> Part:
    """normalised = x / rms(x), times a gain of its own or with the gain folded into the matrices that follow.

    writes: whether the result is the stream of that name.
    """
    scales, d = config.scales, config.hidden
    epsilon = _epsilon(d, config.norm_epsilon, config.residual_scale)
    output, bits = _normalised(config, rows)
    gain_scale = 0 if gain is None else scales.channel_gain
    scale = root_scale(d, epsilon, min(ROOT_SCALE, LARGEST_SHIFT + output - gain_scale))
    gain_bits = None if gain is None else scales.channel_gain_bits
    shift = scale + gain_scale - output
    norm = RmsNorm(
        x,
        "normalised",
        rows,
        d,
        epsilon,
        scale,
        shift,
        bits,
        gain=gain,
        gain_bits=gain_bits,
        committed=not writes,
    )
    if gain is None:
        return Part((norm,))
    rule = VectorRule((d,), scales.channel_gain, scales.channel_gain_bits)
    return Part((norm,), (Tensor(gain, ("channel",), Kind.WEIGHT),), vectors={gain: rule})


def layer_norm(config: ModelConfig, x: Ref, rows: tuple[str, ...], *, writes: bool = False) -> Part:
    """normalised = (x - mean) / deviation; gain and bias are folded into the matrices that follow.

    writes: whether the result is the stream of that name.
    """
    d = config.hidden
    epsilon = _epsilon(d * d, config.norm_epsilon, config.residual_scale)
    output, bits = _normalised(config, rows)
    scale = root_scale(1, epsilon, LARGEST_SHIFT + output)
    norm = LayerNorm(x, "normalised", rows, d, epsilon, scale, scale - output, bits, committed=not writes)
    return Part((norm,))


def _normalised(config: ModelConfig, rows: tuple[str, ...]) -> tuple[int, int]:
    """Scale and width of the normalised rows: the head's has no row axis."""
    scales = config.scales
    if rows:
        return scales.normalised, scales.normalised_bits
    return scales.head_normalised, scales.head_normalised_bits


def head_norm(
    config: ModelConfig, heads: Heads, name: str, *, whole: bool = False, domain: tuple[str, ...] = ()
) -> Part:
    """query or key = raw_<name> / rms over each head's channels, times a gain: <name>_norm.

    whole: over the channels of all heads together. domain: the axes, if they have another order than usual.
    """
    scales, domain = config.scales, domain or usual_domain(name)
    across = tuple(axis for axis in domain if axis in ("kv_group", "query")) if whole else ()
    channels = heads.size * (heads.kv_heads * (heads.queries if name == "query" else 1) if whole else 1)
    epsilon = _epsilon(channels, config.norm_epsilon, scales.raw)
    limit = LARGEST_SHIFT + scales.query - scales.head_gain
    scale = root_scale(channels, epsilon, min(limit, ROOT_SCALE))
    gain = f"{name}_norm"
    norm = RmsNorm(
        Ref(f"raw_{name}"),
        name,
        tuple(axis for axis in domain[:-1] if axis not in across),
        channels,
        epsilon,
        scale,
        scale + scales.head_gain - scales.query,
        scales.query_bits,
        channel="head_channel",
        gain=gain,
        gain_bits=scales.head_gain_bits,
        across=across,
        order=domain if whole else (),
    )
    factor = heads.query_factor if name == "query" else 1.0
    rule = VectorRule((channels,), scales.head_gain, scales.head_gain_bits, factor)
    return Part((norm,), (Tensor(gain, (*across, "head_channel"), Kind.WEIGHT),), vectors={gain: rule})


def post_norm(config: ModelConfig, gain: str) -> Part:
    """summand = projected / rms(projected) * gain, at the residual scale."""
    scales, d = config.scales, config.hidden
    epsilon = _epsilon(d, config.norm_epsilon, scales.projected)
    limit = LARGEST_SHIFT + config.residual_scale - scales.channel_gain
    scale = root_scale(d, epsilon, min(limit, ROOT_SCALE))
    norm = RmsNorm(
        Ref("projected"),
        "summand",
        ("row",),
        d,
        epsilon,
        scale,
        scale + scales.channel_gain - config.residual_scale,
        None,
        gain=gain,
        gain_bits=scales.channel_gain_bits,
        committed=False,
    )
    rule = VectorRule((d,), scales.channel_gain, scales.channel_gain_bits)
    return Part((norm,), (Tensor(gain, ("channel",), Kind.WEIGHT),), vectors={gain: rule})


def _epsilon(factor: int, epsilon: float, scale: int) -> int:
    """factor * eps * 2^(2 * scale), rounded to an integer."""
    return round(factor * epsilon * (1 << (2 * scale)))


# --- attention ------------------------------------------------------------------------------------------


def learned_positions(config: ModelConfig, heads: Heads) -> Part:
    """after = before + positions[position]."""
    operator = LearnedPositions(
        Ref("before"), "positions", "after", CHANNELS, heads.row_position, config.scales.residual_bits
    )
    rule = VectorRule((config.max_positions, config.hidden), config.residual_scale, 16)
    table = Tensor("positions", ("position", "channel"), Kind.WEIGHT)
    return Part((operator,), (table,), vectors={"positions": rule})


def usual_domain(name: str) -> tuple[str, ...]:
    """The axes of query, key or value."""
    return HEADS if name == "query" else KEYS


def projection_rule(
    config: ModelConfig,
    heads: Heads,
    name: str,
    *,
    x: str = "normalised",
    gain: str | None = "attention_norm",
    normed: bool = False,
    bias: bool = False,
    norm_bias: bool = False,
) -> MatrixRule:
    """Of the matrix of query, key or value, which reads the normalised rows, or `before`.

    gain: of the norm in front, if it is folded in. normed: a head norm follows. bias: the matrix has one. norm_bias: the norm in
    front has one, which is folded into the matrix' bias.
    """
    scales, own = config.scales, name == "query"
    input_scale, input_bits = _read(config, x)
    scale = scales.value if name == "value" else scales.raw if normed else scales.query
    return MatrixRule(
        outputs=heads.kv_heads * (heads.queries if own else 1) * heads.size,
        inputs=config.hidden,
        input_scale=input_scale,
        output_scale=scale,
        input_bits=input_bits,
        gain=gain,
        gain_bias="attention_norm_bias" if norm_bias else None,
        bias=f"{name}_bias" if bias else None,
        factor=heads.query_factor if own and not normed else 1.0,
    )


def projected(
    config: ModelConfig, name: str, *, normed: bool = False, writes: str | None = None
) -> tuple[str, int]:
    """What a projection gives, and its width: raw_<name> when a head norm follows, or the stream that it goes to."""
    scales = config.scales
    if name == "value":
        bits = scales.value_bits
    else:
        bits = scales.raw_bits if normed else scales.query_bits
    return writes or (f"raw_{name}" if normed else name), bits


def projection(
    config: ModelConfig,
    heads: Heads,
    name: str,
    rule: MatrixRule,
    *,
    x: str = "normalised",
    normed: bool = False,
    writes: str | None = None,
    tile: Heads | None = None,
    domain: tuple[str, ...] = (),
) -> Part:
    """query, key or value by the matrix of `projection_rule`.

    writes: the stream that the result goes to. tile: the heads of a tile, if not all. domain: the axes, if they have another
    order than usual.
    """
    own, some = name == "query", tile or heads
    shape = (some.kv_heads, some.queries, some.size) if own else (some.kv_heads, some.size)
    output, bits = projected(config, name, normed=normed, writes=writes)
    domain = domain or usual_domain(name)
    axes = HEAD_AXES if own else KEYS[1:]
    part = matrix_part(
        rule, name, Ref(x), output, domain, ("channel",), axes, shape, bits, committed=writes is None
    )
    return part if tile is None else _outputs_sliced(part, rule, name, prod(shape))


def _read(config: ModelConfig, x: str) -> tuple[int, int]:
    """Scale and width of what a matrix in front of a sub-layer reads: normalised rows, some of them, or the residual stream."""
    if x in ("normalised", "routed"):
        return config.scales.normalised, config.scales.normalised_bits
    return config.residual_scale, config.scales.residual_bits


def rotary(
    config: ModelConfig,
    heads: Heads,
    name: str,
    choices: tuple[RotaryTable, ...],
    selector: str | None = None,
    *,
    writes: str | None = None,
    domain: tuple[str, ...] = (),
) -> Part:
    """rotated_query, or the stream of keys, or of queries (`writes`: its tensor, `domain`: its axes)."""
    if name == "key":
        writes = "keys"
    domain, output = domain or usual_domain(name), writes or "rotated_query"
    bits = config.scales.query_bits
    operator = Rotary(
        name, output, domain, heads.row_position, choices, bits, selector, committed=writes is None
    )
    return Part((operator,))


def rotary_table(
    heads: Heads,
    base: int,
    divisors: tuple[float, ...] = (),
    prefix: str = "",
    rotated: int | None = None,
    factor: float = 1.0,
) -> RotaryTable:
    """The table of one base for the heads' positions."""
    return RotaryTable(
        base, heads.size, heads.position_bits, heads.size_bits, divisors, prefix, rotated, factor
    )


def attend(
    config: ModelConfig,
    heads: Heads,
    query: str,
    *,
    normed: bool = False,
    reach: int | None = None,
    factor: float = 1.0,
    groups: tuple[Segment, ...] | None = None,
    queries: tuple[Segment, ...] | None = None,
) -> Part:
    """attended = softmax(query . keys) . values, of the last `reach` positions in layers of kind 1.

    normed: queries and keys have norms of their own, which bound a score whatever their widths: a norm leaves
    sum_c n_c^2 <= size, and gains are bounded by their width, so |q . k| <= size * gain^2 (twice that with roundings),
    times factor^2 where a rotation multiplies by `factor`. groups: how the groups of the streams are indexed, if not all are read.
    queries: how the queries of the stream are, where they are one.
    """
    scales = config.scales
    if normed:
        largest_gain = scales.head_gain_bits - 1 - scales.head_gain
        stretched = max(0, ceil(2 * log2(factor)))
        score_bits = heads.size_bits + 2 * (largest_gain + scales.query) + 1 + stretched
    else:
        score_bits = heads.size_bits + 2 * (scales.query_bits - 1)
    operator = Attend(
        query=query,
        key="keys",
        value="values",
        output="attended",
        shift=2 * scales.query + heads.score_shift - EXPONENTIAL_SCALE,
        offset_bits=score_bits + 2,
        bits=scales.value_bits,
        reach=reach,
        selector=None if reach is None else LAYER_KIND,
        groups=groups,
        group_count=heads.kv_heads,
        queries=queries,
        query_count=heads.queries,
    )
    return Part((operator,))


def attention_output(
    config: ModelConfig, heads: Heads, *, bias: bool = False, normed: bool = False, factor: float = 1.0
) -> Part:
    """The matrix behind attention, times a factor: the residual summand, or `projected` when a norm follows."""
    rule = output_rule(config, heads, bias=bias, normed=normed, factor=factor)
    return _back_to_channels(config, rule, "output", "attended", HEAD_AXES, normed)


def output_rule(
    config: ModelConfig, heads: Heads, *, bias: bool = False, normed: bool = False, factor: float = 1.0
) -> MatrixRule:
    """Of the matrix behind attention."""
    scales = config.scales
    return MatrixRule(
        outputs=config.hidden,
        inputs=heads.kv_heads * heads.queries * heads.size,
        input_scale=scales.value,
        output_scale=scales.projected if normed else config.residual_scale,
        input_bits=scales.value_bits,
        bias="output_bias" if bias else None,
        factor=factor,
    )


# --- MLP ------------------------------------------------------------------------------------------------


def widening(
    config: ModelConfig,
    feed_forward: int,
    name: str,
    *,
    x: str = "normalised",
    gain: str | None = "mlp_norm",
    bias: bool = False,
    biased: bool = False,
    size: int | None = None,
    block: int | None = None,
) -> Part:
    """gate or up from the normalised rows, or from `before`. bias: the matrix has one. biased: so has the norm in front (then no gate).

    size: hidden channels of a tile, if not all. block: those of an expert, where there are experts.
    """
    scales = config.scales
    activated = biased or name == "gate"  # bounded by the activation's table
    input_scale, input_bits = _read(config, x)
    rule = MatrixRule(
        outputs=feed_forward,
        inputs=config.hidden,
        input_scale=input_scale,
        output_scale=scales.gate if activated else scales.up,
        input_bits=input_bits,
        gain=gain,
        gain_bias="mlp_norm_bias" if biased else None,
        bias=f"{name}_bias" if bias or biased else None,
    )
    bits = None if activated else scales.up_bits
    domain, shape = ("row", "hidden"), (size or feed_forward,)
    part = matrix_part(rule, name, Ref(x), name, domain, ("channel",), ("hidden",), shape, bits)
    return part if size is None else _outputs_sliced(part, rule, name, size, block)


def gated_unit(
    config: ModelConfig,
    feed_forward: int,
    function: str,
    *,
    x: str = "normalised",
    gain: str | None = "mlp_norm",
    bias: bool = False,
    size: int | None = None,
    block: int | None = None,
) -> tuple[Part, ...]:
    """product = function(gate) * up, of all hidden channels or of a tile's."""
    scales, hidden = config.scales, ("row", "hidden")
    shift = scales.activated + scales.up - scales.product
    return (
        widening(config, feed_forward, "gate", x=x, gain=gain, bias=bias, size=size, block=block),
        widening(config, feed_forward, "up", x=x, gain=gain, bias=bias, size=size, block=block),
        activation(config, "gate", function),
        Part((Multiply("activated", "up", "product", hidden, shift, scales.product_bits),)),
    )


def activation(config: ModelConfig, x: str, function: str) -> Part:
    """activated = function(x) by table, which bounds x too."""
    scales = config.scales
    operator = Activation(
        x, "activated", ("row", "hidden"), config.activation_bits, scales.gate, scales.activated, function
    )
    return Part((operator,))


def mlp_output(
    config: ModelConfig,
    feed_forward: int,
    x: str,
    *,
    bias: bool = False,
    normed: bool = False,
    factor: float = 1.0,
) -> Part:
    """The matrix behind the unit (`product` or `activated`), times a factor: the residual summand, or `projected`."""
    rule = down_rule(config, feed_forward, x, bias=bias, normed=normed, factor=factor)
    return _back_to_channels(config, rule, "down", x, ("hidden",), normed)


def down_rule(
    config: ModelConfig,
    feed_forward: int,
    x: str,
    *,
    bias: bool = False,
    normed: bool = False,
    factor: float = 1.0,
    blocks: int = 1,
    used: int = 1,
) -> MatrixRule:
    """Of the matrix behind the unit (`product`, `gated` or `activated`). blocks, used: experts, and those of one row."""
    scales = config.scales
    if x == "product":
        scale, bits = scales.product, scales.product_bits
    elif x == "gated":
        scale, bits = scales.gated, scales.gated_bits
    else:
        scale, bits = scales.activated, config.activation_bits + max(0, scales.activated - scales.gate)
    return MatrixRule(
        outputs=config.hidden,
        inputs=feed_forward,
        input_scale=scale,
        output_scale=scales.projected if normed else config.residual_scale,
        input_bits=bits,
        bias="down_bias" if bias else None,
        factor=factor,
        blocks=blocks,
        used=used,
    )


# --- shared ---------------------------------------------------------------------------------------------


def residual(config: ModelConfig) -> Part:
    """after = before + summand."""
    return Part((ResidualAdd(Ref("before"), "summand", "after", CHANNELS, config.scales.residual_bits),))


def _outputs_sliced(part: Part, rule: MatrixRule, name: str, size: int, block: int | None = None) -> Part:
    """A matrix of which a step has `size` outputs at a time, and their biases."""
    biases = {} if rule.bias is None else {rule.bias: Sliced(0, size, block)}
    return replace(part, sliced={f"w_{name}": Sliced(1, size, block), **biases})


def _back_to_channels(
    config: ModelConfig, rule: MatrixRule, name: str, x: str, summed: tuple[str, ...], normed: bool
) -> Part:
    output, bits = ("projected", config.scales.projected_bits) if normed else ("summand", None)
    return matrix_part(
        rule, name, Ref(x), output, CHANNELS, summed, ("channel",), (config.hidden,), bits, committed=normed
    )


def matrix_part(
    rule: MatrixRule,
    name: str,
    x: Ref,
    output: str,
    domain: tuple[str, ...],
    summed: tuple[str, ...],
    axes: tuple[str, ...],
    shape: tuple[int, ...],
    bits: int | None,
    *,
    committed: bool = True,
) -> Part:
    weight = f"w_{name}"
    operator = MatMul(
        x,
        weight,
        output,
        domain,
        summed,
        Shift(parameter=f"{name}_shift"),
        bits,
        shape,
        committed=committed,
        bias=rule.bias,
    )
    weights: tuple[Tensor, ...] = (Tensor(weight, (*summed, *axes), Kind.WEIGHT),)
    if rule.bias is not None:
        weights = (*weights, Tensor(rule.bias, axes, Kind.WEIGHT))
    return Part((operator,), weights, {weight: rule})


def back_to_channels(
    config: ModelConfig, rule: MatrixRule, name: str, x: str, summed: tuple[str, ...]
) -> Part:
    """The residual summand: x times the matrix w_<name> behind a sub-layer."""
    return _back_to_channels(config, rule, name, x, summed, False)
