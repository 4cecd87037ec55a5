"""Parts into steps: what a part is, the geometry of attention, and the axes and streams around the parts of each kind of step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import ceil, log2
from typing import Any

from ..operators.attend import MOST_POSITIONS
from ..operators.head_pair import FACTOR_BITS, OFFSET_BITS, HeadPair
from ..operators.inverse_root import LIMB_AXIS_BITS
from ..operators.rotary import TURN, TURN_BITS
from ..program import CONTEXT_BITS, ROW_BITS, WINDOW_ROWS, Kind, Program, Tensor
from ..relations import Along, Bits, PublicBits, Ref, Segment
from ..streams import STREAM_ORDER
from .config import MatrixRule, ModelConfig, Sliced, Step, VectorRule, index_bits

LAYER_KIND = "layer_kind"
"""Step-key integer of models whose layers differ: 1 local (limited reach, first rotary table), 2 global."""
LOCAL, GLOBAL = 1, 2

CHANNELS = ("row", "channel")
KEYS = ("row", "kv_group", "head_channel")
QUERIES = ("row", "kv_group", "query", "head_channel")
BEFORE = {"residual": Tensor("before", CHANNELS, Kind.BOUNDARY)}
AFTER = {"residual": Tensor("after", CHANNELS, Kind.BOUNDARY)}
NEW_KEYS = {name: Tensor(name, KEYS, Kind.BOUNDARY, placed=True) for name in ("keys", "values")}
ALL_KEYS = {
    name: Tensor(name, ("context", "kv_group", "head_channel"), Kind.BOUNDARY, placed=True)
    for name in ("keys", "values")
}
NORMALISED = {"normalised": Tensor("normalised", CHANNELS, Kind.BOUNDARY)}
GATES = {"gates": Tensor("gates", ("row", "expert"), Kind.BOUNDARY)}
SUM = {"sum": Tensor("sum", CHANNELS, Kind.BOUNDARY)}
SUM_BEFORE = {"sum": Tensor("sum_before", CHANNELS, Kind.BOUNDARY)}
SUM_AFTER = {"sum": Tensor("sum_after", CHANNELS, Kind.BOUNDARY)}
KEYS_OF_ALL_GROUPS = {
    name: Tensor(name, ("context", "any_group", "head_channel"), Kind.BOUNDARY, placed=True)
    for name in ("keys", "values")
}
NEW_QUERIES = {"query": Tensor("rotated_query", QUERIES, Kind.BOUNDARY)}
QUERIES_OF_ALL_HEADS = {
    "query": Tensor("rotated_query", ("row", "any_group", "any_query", "head_channel"), Kind.BOUNDARY)
}
"""Streams that steps read or write, each with the tensor that holds its rows."""
HEAD_ROW = Ref("window", (("row", (PublicBits("row", ROW_BITS),)),))
"""The row of the head's window that the statement is about."""


@dataclass(frozen=True)
class Part:
    """Operators in a row, with the weights that they bring and how those become integers."""

    operators: tuple[Any, ...]
    weights: tuple[Tensor, ...] = ()
    matrices: Mapping[str, MatrixRule] = field(default_factory=dict)
    vectors: Mapping[str, VectorRule] = field(default_factory=dict)
    sliced: Mapping[str, Sliced] = field(default_factory=dict)


@dataclass(frozen=True)
class Heads:
    """The geometry of attention. score_scale: what q . k is multiplied with, usually 1 / sqrt(size)."""

    kv_heads: int
    queries: int  # query heads per key/value head
    size: int
    max_positions: int
    score_scale: float

    def __post_init__(self) -> None:
        if min(self.kv_heads, self.queries, self.size) < 1 or self.max_positions < WINDOW_ROWS:
            raise ValueError(
                f"attention needs positive sizes and at least one window of positions, got {self}"
            )
        if self.max_positions % WINDOW_ROWS:
            raise ValueError(
                f"{self.max_positions} positions are no whole windows of {WINDOW_ROWS} rows: the last ones could be "
                f"served but not proven; take {self.max_positions // WINDOW_ROWS * WINDOW_ROWS}"
            )
        if self.max_positions > MOST_POSITIONS:
            raise ValueError(
                f"{self.max_positions} positions are more than attention can prove; use at most {MOST_POSITIONS}"
            )
        if not 0 < self.score_scale <= 1:
            raise ValueError(f"a score scale of {self.score_scale} is not in (0, 1]")

    @classmethod
    def of(
        cls, heads: int, kv_heads: int, size: int, max_positions: int, scale: float | None = None
    ) -> Heads:
        """From counts of heads. Raises ValueError when they do not divide."""
        if kv_heads < 1 or heads % kv_heads:
            raise ValueError(f"{heads} query heads do not divide among {kv_heads} key/value heads")
        return cls(kv_heads, heads // kv_heads, size, max_positions, size**-0.5 if scale is None else scale)

    @property
    def score_shift(self) -> int:
        """h with 2^-h <= score_scale: an exact shift of the score."""
        return ceil(-log2(self.score_scale))

    @property
    def query_factor(self) -> float:
        """What is left of the score scale, in [1, 2): folded into the query's weights."""
        return self.score_scale * 2.0**self.score_shift

    @property
    def position_bits(self) -> int:
        """Index bits of a position."""
        return index_bits(self.max_positions)

    @property
    def size_bits(self) -> int:
        """Index bits of a head's channels."""
        return index_bits(self.size)

    @property
    def row_position(self) -> tuple[Segment, ...]:
        """How an axis of positions is indexed by the rows of the statement's window."""
        return PublicBits("window", Bits(self.position_bits) - ROW_BITS), Along("row")

    @property
    def window(self) -> dict[str, int]:
        """The public integer that numbers the windows, with its bound."""
        return {"window": 1 << (self.position_bits - ROW_BITS.fixed)}

    @property
    def axes(self) -> dict[str, Bits]:
        """The axes of heads and positions."""
        return {
            "kv_group": Bits(index_bits(self.kv_heads)),
            "query": Bits(index_bits(self.queries)),
            "head_channel": Bits(self.size_bits),
            "position": Bits(self.position_bits),
            TURN: TURN_BITS,
        }

    @property
    def sizes(self) -> dict[str, int]:
        """Unpadded sizes of those axes."""
        return {
            "kv_group": self.kv_heads,
            "query": self.queries,
            "head_channel": self.size,
            "position": self.max_positions,
        }


def positions_step(config: ModelConfig, heads: Heads, *parts: Part) -> Step:
    """Window after = window before, learned positions added; once, before the layers."""
    return step_of(
        "positions", config, parts, heads.axes, BEFORE, AFTER, heads.sizes, heads.window, once=True
    )


def keys_values_step(
    config: ModelConfig, heads: Heads, *parts: Part, rows: Mapping[str, Tensor] = BEFORE
) -> Step:
    """Keys and values of a window from its rows of the residual stream, or from normalised ones."""
    return step_of("keys_values", config, parts, heads.axes, rows, NEW_KEYS, heads.sizes, heads.window)


def attention_step(config: ModelConfig, heads: Heads, *parts: Part) -> Step:
    """Window w after = attention sub-layer of window w before, over keys and values of windows 0..w."""
    axes = {"context": CONTEXT_BITS, **heads.axes}
    return step_of("attention", config, parts, axes, BEFORE | ALL_KEYS, AFTER, heads.sizes, heads.window)


def mlp_step(config: ModelConfig, feed_forward: int, *parts: Part) -> Step:
    """Window after = feed-forward sub-layer of the window before."""
    axes = {"hidden": Bits(index_bits(feed_forward))}
    return step_of("mlp", config, parts, axes, BEFORE, AFTER, {"hidden": feed_forward})


def norm_step(config: ModelConfig, name: str, norm: Part) -> Step:
    """Normalised rows of a window: what the tiles of a sub-layer read."""
    return step_of(name, config, (norm,), {}, BEFORE, NORMALISED, {})


def mlp_tile_step(
    config: ModelConfig, size: int, count: int, *parts: Part, rows: Mapping[str, Tensor] = NORMALISED
) -> Step:
    """Sum after = sum before + what some hidden channels give, before it is rounded."""
    axes = {"hidden": Bits(index_bits(size))}
    reads = {**rows, **SUM_BEFORE}
    step = step_of("mlp_tile", config, parts, axes, reads, SUM_AFTER, {"hidden": size})
    return replace(step, tiles=count)


def router_step(config: ModelConfig, experts: int, *parts: Part) -> Step:
    """Normalised rows of a window, and how much each expert counts for each of them."""
    axes, sizes = {"expert": Bits(index_bits(experts))}, {"expert": experts}
    return step_of("router", config, parts, axes, BEFORE, NORMALISED | GATES, sizes)


def expert_tile_step(
    config: ModelConfig,
    experts: int,
    size: int,
    count: int,
    numbers: Mapping[str, tuple[int, int]],
    *parts: Part,
) -> Step:
    """Sum after = sum before + what some hidden channels of one expert give, by the rows' gates, before it is rounded.

    numbers: step-key integer that says which expert (`Step.numbers`).
    """
    axes = {"hidden": Bits(index_bits(size)), "expert": Bits(index_bits(experts))}
    reads = NORMALISED | GATES | SUM_BEFORE
    step = step_of("expert_tile", config, parts, axes, reads, SUM_AFTER, {"hidden": size})
    limits = dict.fromkeys(numbers, 1 << index_bits(experts))
    program = replace(step.program, parameter_limits={**step.program.parameter_limits, **limits})
    return replace(step, program=program, tiles=count, numbers=numbers)


def close_step(config: ModelConfig, name: str, *parts: Part) -> Step:
    """Window after = window before + the sum of a sub-layer's tiles, rounded once."""
    step = step_of(name, config, parts, {}, BEFORE | SUM, AFTER, {})
    return replace(step, program=replace(step.program, resets=("sum",)))


def head_step(config: ModelConfig, norm: Part) -> Step:
    """At row `row` of a window of the last boundary, the chosen token beats the rival by what the statement asks for."""
    rows = tuple(Tensor(name, ("channel",), Kind.ROW) for name in ("chosen", "rival"))
    bias_channel = None if config.head_rule.gain_bias is None else config.hidden
    pair = Part((HeadPair("normalised", "chosen", "rival", bias_channel),))
    window = {"residual": Tensor("window", CHANNELS, Kind.BOUNDARY)}
    publics = {"row": WINDOW_ROWS, "factor": 1 << FACTOR_BITS, "offset": 1 << OFFSET_BITS}
    return step_of("head", config, (norm, pair), {"margin_limb": Bits(2)}, window, {}, {}, publics, rows)


def step_of(
    name: str,
    config: ModelConfig,
    parts: tuple[Part, ...],
    axes: Mapping[str, Bits],
    reads: Mapping[str, Tensor],
    writes: Mapping[str, Tensor],
    real_sizes: Mapping[str, int],
    public_scalars: Mapping[str, int] | None = None,
    rows: tuple[Tensor, ...] = (),
    *,
    once: bool = False,
) -> Step:
    """A step with the axes and sizes that its tensors have, of those given and those that every step may have."""
    operators = tuple(operator for part in parts for operator in part.operators)
    weights = tuple(weight for part in parts for weight in part.weights)
    inputs = (*rows, *_in_order(reads), *_in_order(writes))
    created = (tensor for operator in operators for tensor in operator.tensors())
    used = {axis for tensor in (*inputs, *weights, *created) for axis in tensor.axes}
    weighted = {axis for weight in weights for axis in weight.axes}
    known = {
        "row": ROW_BITS,
        "channel": Bits(config.channel_bits),
        "limb": Bits(LIMB_AXIS_BITS),
        **axes,
    }
    sizes = {"channel": config.hidden, **real_sizes}
    program = Program(
        name=name,
        own_axes={axis: width for axis, width in known.items() if axis in used},
        inputs=inputs,
        operators=operators,
        public_scalars=public_scalars or {},
        weights=weights,
        real_sizes={axis: size for axis, size in sizes.items() if axis in weighted},
        reads={stream: reads[stream].name for stream in STREAM_ORDER if stream in reads},
        writes={stream: writes[stream].name for stream in STREAM_ORDER if stream in writes},
    )
    if LAYER_KIND in program.parameters:
        program = replace(program, parameter_limits={LAYER_KIND: GLOBAL})
    matrices = {name: rule for part in parts for name, rule in part.matrices.items()}
    vectors = {name: rule for part in parts for name, rule in part.vectors.items()}
    sliced = {name: rule for part in parts for name, rule in part.sliced.items()}
    return Step(program, matrices, vectors, once=once, sliced=sliced)


def _in_order(streams: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
    return tuple(streams[stream] for stream in STREAM_ORDER if stream in streams)
