"""The Llama family: RMSNorm, rotary positions, grouped-query attention, SwiGLU, tied or separate head.

    n = RMSNorm(x);  q, k, v = n W_q, n W_k, n W_v;  q', k' = rotary(q), rotary(k)
    x = x + attend(q', k', v) W_o
    n = RMSNorm(x);  x = x + (silu(n W_gate) * (n W_up)) W_down
    logits = RMSNorm(x) W_head

Norm gains are folded into the matrices that follow. Scales and widths: the design's integer-model page.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from math import isqrt

from ..operators.activation import Activation
from ..operators.attend import HEADS, Attend
from ..operators.head_pair import HeadPair
from ..operators.matmul import MatMul
from ..operators.multiply import Multiply
from ..operators.residual_add import ResidualAdd
from ..operators.rms_norm import LIMB_AXIS_BITS, RmsNorm
from ..operators.rotary import Rotary, RotaryTable
from ..operators.rounding import Shift
from ..program import CONTEXT_BITS, ROW_BITS, WINDOW_ROW, Kind, Program, Tensor
from ..relations import Along, Bits, FixedBits, PublicBits, Ref

RESIDUAL_SCALE, RESIDUAL_BITS = 12, 31
NORMALISED_SCALE, NORMALISED_BITS = 10, 16
QUERY_SCALE, QUERY_BITS = 8, 16  # q, k, q', k'
VALUE_SCALE, VALUE_BITS = 10, 18  # v, context
GATE_SCALE = 9
UP_SCALE, UP_BITS = 9, 21
PRODUCT_SCALE, PRODUCT_BITS = 10, 28
ROOT_SCALE = 34
DISTANCE_SCALE = 12
PROVABLE_POSITIONS = 2048
"""Longest sequence: each rotary table (positions x head size) must fit one chunk of 2^18 entries."""


def _bits(size: int) -> int:
    """Index bits of an axis of `size` entries."""
    return max(0, (size - 1).bit_length())


@dataclass(frozen=True)
class LlamaConfig:
    """The shape of a model. All sizes are unpadded."""

    layers: int
    hidden: int  # d
    heads: int
    kv_heads: int
    head_size: int
    feed_forward: int  # f
    vocabulary: int
    rope_base: int
    norm_epsilon: float
    max_positions: int
    activation_bits: int = 18
    family: str = field(default="llama", init=False)

    @property
    def queries_per_group(self) -> int:
        """Query heads per key/value head."""
        return self.heads // self.kv_heads

    @property
    def channel_bits(self) -> int:
        """Index bits of the residual stream's channels."""
        return _bits(self.hidden)

    @cached_property
    def programs(self) -> dict[str, Program]:
        """The statements that are layer programs: attention, mlp, head."""
        return {
            "attention": attention_program(self),
            "mlp": mlp_program(self),
            "head": head_program(self),
        }


def _epsilon(config: LlamaConfig) -> int:
    """d * eps * 2^(2 * scale(x)), rounded to an integer."""
    return round(config.hidden * config.norm_epsilon * (1 << (2 * RESIDUAL_SCALE)))


def _norm(config: LlamaConfig, x: Ref, rows: tuple[str, ...]) -> RmsNorm:
    return RmsNorm(
        x=x,
        output="normalised",
        rows=rows,
        real_channels=config.hidden,
        epsilon=_epsilon(config),
        root_scale=ROOT_SCALE,
        shift=ROOT_SCALE - NORMALISED_SCALE,
        bits=NORMALISED_BITS,
    )


def _shift(name: str) -> Shift:
    return Shift(parameter=f"{name}_shift")


def attention_program(config: LlamaConfig) -> Program:
    """Window w after = attention sub-layer of windows 0..w before."""
    log_head = _bits(config.head_size)
    if 1 << log_head != config.head_size or log_head % 2:
        raise ValueError(
            f"head size {config.head_size} is not an even power of two; the score scale needs one"
        )
    position_bits = _bits(config.max_positions)
    table = RotaryTable(config.rope_base, config.head_size, position_bits, log_head)
    own_rows = (("context", WINDOW_ROW),)
    x_row, n_row = Ref("before", own_rows), Ref("normalised", own_rows)
    group, queries, size = config.kv_heads, config.queries_per_group, config.head_size
    context_position = (FixedBits(0, Bits(position_bits) - CONTEXT_BITS), Along("context"))
    row_position = (PublicBits("window", Bits(position_bits) - ROW_BITS), Along("row"))
    keys = ("context", "kv_group", "head_channel")

    def project(name: str, x: Ref, domain: tuple[str, ...], run_shape: tuple[int, ...], bits: int) -> MatMul:
        return MatMul(x, f"w_{name}", name, domain, ("channel",), _shift(name), bits, run_shape)

    key_axes = ("channel", "kv_group", "head_channel")
    query_axes = ("channel", "kv_group", "query", "head_channel")
    return Program(
        name="attention",
        own_axes={
            "context": CONTEXT_BITS,
            "row": ROW_BITS,
            "channel": Bits(config.channel_bits),
            "kv_group": Bits(_bits(group)),
            "query": Bits(_bits(queries)),
            "head_channel": Bits(log_head),
            "limb": Bits(LIMB_AXIS_BITS),
            "position": Bits(position_bits),
        },
        inputs=(
            Tensor("before", ("context", "channel"), Kind.BOUNDARY),
            Tensor("after", ("row", "channel"), Kind.BOUNDARY),
        ),
        public_scalars=("window",),
        weights=(
            Tensor("w_query", query_axes, Kind.WEIGHT),
            Tensor("w_key", key_axes, Kind.WEIGHT),
            Tensor("w_value", key_axes, Kind.WEIGHT),
            Tensor("w_output", ("kv_group", "query", "head_channel", "channel"), Kind.WEIGHT),
        ),
        real_sizes={"channel": config.hidden, "kv_group": group, "query": queries, "head_channel": size},
        operators=(
            _norm(config, Ref("before"), ("context",)),
            project("query", n_row, HEADS, (group, queries, size), QUERY_BITS),
            project("key", Ref("normalised"), keys, (group, size), QUERY_BITS),
            project("value", Ref("normalised"), keys, (group, size), VALUE_BITS),
            Rotary("query", "rotated_query", HEADS, row_position, table, QUERY_BITS),
            Rotary("key", "rotated_key", keys, context_position, table, QUERY_BITS),
            Attend(
                query="rotated_query",
                key="rotated_key",
                value="value",
                output="attended",
                shift=2 * QUERY_SCALE + log_head // 2 - DISTANCE_SCALE,
                offset_bits=2 * (QUERY_BITS - 1) + log_head + 2,
                bits=VALUE_BITS,
            ),
            MatMul(
                Ref("attended"),
                "w_output",
                "summand",
                ("row", "channel"),
                ("kv_group", "query", "head_channel"),
                _shift("output"),
                None,
                (config.hidden,),
                committed=False,
            ),
            ResidualAdd(x_row, "summand", "after", ("row", "channel"), RESIDUAL_BITS),
        ),
    )


def mlp_program(config: LlamaConfig) -> Program:
    """Window after = gated feed-forward sub-layer of the window before."""
    hidden = ("row", "hidden")

    def project(name: str, bits: int | None) -> MatMul:
        return MatMul(
            Ref("normalised"),
            f"w_{name}",
            name,
            hidden,
            ("channel",),
            _shift(name),
            bits,
            (config.feed_forward,),
        )

    return Program(
        name="mlp",
        own_axes={
            "row": ROW_BITS,
            "channel": Bits(config.channel_bits),
            "hidden": Bits(_bits(config.feed_forward)),
            "limb": Bits(LIMB_AXIS_BITS),
        },
        inputs=(
            Tensor("before", ("row", "channel"), Kind.BOUNDARY),
            Tensor("after", ("row", "channel"), Kind.BOUNDARY),
        ),
        weights=(
            Tensor("w_gate", ("channel", "hidden"), Kind.WEIGHT),
            Tensor("w_up", ("channel", "hidden"), Kind.WEIGHT),
            Tensor("w_down", ("hidden", "channel"), Kind.WEIGHT),
        ),
        real_sizes={"channel": config.hidden, "hidden": config.feed_forward},
        operators=(
            _norm(config, Ref("before"), ("row",)),
            project("gate", None),  # bounded by the activation table
            project("up", UP_BITS),
            Activation("gate", "activated", hidden, config.activation_bits, GATE_SCALE),
            Multiply(
                "activated", "up", "product", hidden, GATE_SCALE + UP_SCALE - PRODUCT_SCALE, PRODUCT_BITS
            ),
            MatMul(
                Ref("product"),
                "w_down",
                "summand",
                ("row", "channel"),
                ("hidden",),
                _shift("down"),
                None,
                (config.hidden,),
                committed=False,
            ),
            ResidualAdd(Ref("before"), "summand", "after", ("row", "channel"), RESIDUAL_BITS),
        ),
    )


def head_program(config: LlamaConfig) -> Program:
    """At row `row` of a window of the last boundary, the chosen token's logit beats the rival's."""
    return Program(
        name="head",
        own_axes={
            "row": ROW_BITS,
            "channel": Bits(config.channel_bits),
            "limb": Bits(LIMB_AXIS_BITS),
            "margin_limb": Bits(2),
        },
        inputs=(
            Tensor("chosen", ("channel",), Kind.ROW),
            Tensor("rival", ("channel",), Kind.ROW),
            Tensor("window", ("row", "channel"), Kind.BOUNDARY),
        ),
        public_scalars=("row", "strict"),
        operators=(_norm(config, _public_row("window"), ()), HeadPair("normalised", "chosen", "rival")),
    )


def _public_row(window: str) -> Ref:
    return Ref(window, (("row", (PublicBits("row", ROW_BITS),)),))


def largest_normalised(config: LlamaConfig) -> int:
    """Upper bound of |normalised|: sqrt(d) at its scale, plus rounding."""
    return (isqrt(config.hidden - 1) + 1) * (1 << NORMALISED_SCALE) + 1
