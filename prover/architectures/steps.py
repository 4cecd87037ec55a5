"""Parts into steps: what a part is, the geometry of attention, and the axes around the parts of each kind of step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil, log2
from typing import Any

from ..operators.attend import MOST_POSITIONS
from ..operators.head_pair import HeadPair
from ..operators.inverse_root import LIMB_AXIS_BITS
from ..program import CONTEXT_BITS, ROW_BITS, WINDOW_ROW, WINDOW_ROWS, Kind, Program, Tensor
from ..relations import Along, Bits, FixedBits, PublicBits, Ref, Segment
from .config import MatrixRule, ModelConfig, Step, VectorRule, index_bits

CHANNELS = ("row", "channel")
OWN_ROWS = (("context", WINDOW_ROW),)
HEAD_ROW = Ref("window", (("row", (PublicBits("row", ROW_BITS),)),))
"""The row of the head's window that the statement is about."""


@dataclass(frozen=True)
class Part:
    """Operators in a row, with the weights that they bring and how those become integers."""

    operators: tuple[Any, ...]
    weights: tuple[Tensor, ...] = ()
    matrices: Mapping[str, MatrixRule] = field(default_factory=dict)
    vectors: Mapping[str, VectorRule] = field(default_factory=dict)


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
    def context_position(self) -> tuple[Segment, ...]:
        """How an axis of positions is indexed by the context."""
        return FixedBits(0, Bits(self.position_bits) - CONTEXT_BITS), Along("context")

    @property
    def row_position(self) -> tuple[Segment, ...]:
        """How an axis of positions is indexed by the rows of the statement's window."""
        return PublicBits("window", Bits(self.position_bits) - ROW_BITS), Along("row")

    @property
    def sizes(self) -> dict[str, int]:
        """Unpadded sizes of the heads' axes."""
        return {"kv_group": self.kv_heads, "query": self.queries, "head_channel": self.size}


def attention_step(config: ModelConfig, heads: Heads, *parts: Part) -> Step:
    """Window w after = attention sub-layer of windows 0..w before."""
    axes = {
        "context": CONTEXT_BITS,
        "row": ROW_BITS,
        "channel": Bits(config.channel_bits),
        "kv_group": Bits(index_bits(heads.kv_heads)),
        "query": Bits(index_bits(heads.queries)),
        "head_channel": Bits(heads.size_bits),
        "limb": Bits(LIMB_AXIS_BITS),
        "position": Bits(heads.position_bits),
    }
    inputs = (
        Tensor("before", ("context", "channel"), Kind.BOUNDARY),
        Tensor("after", CHANNELS, Kind.BOUNDARY),
    )
    sizes = {"channel": config.hidden, **heads.sizes, "position": config.max_positions}
    return _step("attention", parts, axes, inputs, sizes, ("window",))


def mlp_step(config: ModelConfig, feed_forward: int, *parts: Part) -> Step:
    """Window after = feed-forward sub-layer of the window before."""
    axes = {
        "row": ROW_BITS,
        "channel": Bits(config.channel_bits),
        "hidden": Bits(index_bits(feed_forward)),
        "limb": Bits(LIMB_AXIS_BITS),
    }
    inputs = (Tensor("before", CHANNELS, Kind.BOUNDARY), Tensor("after", CHANNELS, Kind.BOUNDARY))
    return _step("mlp", parts, axes, inputs, {"channel": config.hidden, "hidden": feed_forward})


def head_step(config: ModelConfig, norm: Part) -> Step:
    """At row `row` of a window of the last boundary, the chosen token's logit beats the rival's."""
    axes = {
        "row": ROW_BITS,
        "channel": Bits(config.channel_bits),
        "limb": Bits(LIMB_AXIS_BITS),
        "margin_limb": Bits(2),
    }
    inputs = (
        Tensor("chosen", ("channel",), Kind.ROW),
        Tensor("rival", ("channel",), Kind.ROW),
        Tensor("window", CHANNELS, Kind.BOUNDARY),
    )
    bias_channel = None if config.head_rule.gain_bias is None else config.hidden
    pair = Part((HeadPair("normalised", "chosen", "rival", bias_channel),))
    return _step("head", (norm, pair), axes, inputs, {}, ("row", "strict"))


def _step(
    name: str,
    parts: tuple[Part, ...],
    axes: Mapping[str, Bits],
    inputs: tuple[Tensor, ...],
    real_sizes: Mapping[str, int],
    public_scalars: tuple[str, ...] = (),
) -> Step:
    weights = tuple(weight for part in parts for weight in part.weights)
    weighted = {axis for weight in weights for axis in weight.axes}
    program = Program(
        name=name,
        own_axes=axes,
        inputs=inputs,
        operators=tuple(operator for part in parts for operator in part.operators),
        public_scalars=public_scalars,
        weights=weights,
        real_sizes={axis: size for axis, size in real_sizes.items() if axis in weighted},
        reads={"residual": "before"} if any(t.name == "before" for t in inputs) else {},
        writes={"residual": "after"} if any(t.name == "after" for t in inputs) else {},
    )
    matrices = {name: rule for part in parts for name, rule in part.matrices.items()}
    vectors = {name: rule for part in parts for name, rule in part.vectors.items()}
    return Step(program, matrices, vectors)
