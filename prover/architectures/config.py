"""What every architecture says about itself: sizes, programs, and how float weights become the programs' integers.

A family is one frozen dataclass in one file. Everything else (importer, executor, prover, verifier generator) reads
this interface, so a new family needs no line elsewhere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import Enum
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from ..program import Program, Tensor
from ..streams import STREAM_ORDER, Stream, Use, access_word

StepKind = str
"""Name of a kind of step: a key of `ModelConfig.steps` but "head"."""
HEAD = "head"
LARGEST_TUPLE = 1 << 12
MOST_STEPS = 1 << 20
"""What contracts take (`ModelRegistry`)."""
STEP_WEIGHTS = 24 << 18
"""24 chunks of 2^18, as many as the MLP of GPT-2 has: more cost time and gas for each, fewer mean more steps."""


def index_bits(size: int) -> int:
    """Index bits of an axis of `size` entries."""
    return max(0, (size - 1).bit_length())


def number(limit: float, *, optional: bool = False, **options: Any) -> Any:
    """A field whose value lies in (0, limit], or whose entries do when it is a tuple.

    optional: files have it only where it differs from its default, so that a family that learns something new keeps the
    digests of the models that it had.
    """
    return field(metadata={"limit": limit, "optional": optional}, **options)


def flag() -> Any:
    """An optional field that is true or false, by default false."""
    return number(1, optional=True, default=False)


class Arrangement(Enum):
    """How an integer matrix lies beside the float matrix of files.

    TRANSPOSED: it is read backwards, from outputs to inputs. OF_HEADS: float outputs are those of heads one behind the other;
    the integer matrix has the outputs of one head, and the inputs of every head one behind the other.
    """

    PLAIN = "plain"
    TRANSPOSED = "transposed"
    OF_HEADS = "of heads"


@dataclass(frozen=True)
class MatrixRule:
    """How a weight matrix and its bias become integers.

        W_int = round_half_up(W * gain * factor * 2^s_w),  s_w the largest that fits 16 bits and sums exactly (model/bounds.py)
        shift = input_scale + s_w - output_scale, a step-key parameter
        b_int = round_half_up((b + W @ gain_bias) * factor * 2^(input_scale + s_w))   the accumulator's scale

    outputs, inputs: shape of W as in y = W x. input_bits: signed width of x. gain, gain_bias: float vectors of the norm
    in front that are folded in. bias: float vector b, also the name of the program's tensor when there is one.
    bias_bits: signed width of b_int. blocks, used: x is made of this many equal blocks, of which at most `used` are not zero.
    arranged: how the integer matrix is made from the float one, whose inputs the gain belongs to.
    """

    outputs: int
    inputs: int
    input_scale: int
    output_scale: int
    input_bits: int
    gain: str | None = None
    gain_bias: str | None = None
    bias: str | None = None
    factor: float = 1.0
    bias_bits: int = 48
    blocks: int = 1
    used: int = 1
    arranged: Arrangement = Arrangement.PLAIN

    @property
    def float_shape(self) -> tuple[int, int]:
        """(outputs, inputs) of the float matrix."""
        match self.arranged:
            case Arrangement.TRANSPOSED:
                return self.inputs, self.outputs
            case Arrangement.OF_HEADS:
                return self.outputs * self.blocks, self.inputs // self.blocks
        return self.outputs, self.inputs

    def arrange(self, weight: np.ndarray) -> np.ndarray:
        """The float matrix, gains folded in, in the order of the integer one, (outputs, inputs)."""
        match self.arranged:
            case Arrangement.TRANSPOSED:
                return weight.T
            case Arrangement.OF_HEADS:
                heads = weight.reshape(self.blocks, self.outputs, -1)
                return heads.transpose(1, 0, 2).reshape(self.outputs, self.inputs)
        return weight


@dataclass(frozen=True)
class VectorRule:
    """A weight that is no matrix: v_int = round_half_up(v * factor * 2^scale), |v_int| < 2^(bits-1).

    centred: the middle between its largest and its smallest entry is subtracted first, where differences alone matter.
    """

    shape: tuple[int, ...]
    scale: int
    bits: int
    factor: float = 1.0
    centred: bool = False


@dataclass(frozen=True)
class HeadRule:
    """H_int = round_half_up(H * gain / divisor * 2^s); with gain_bias one more column, H @ gain_bias * 2^(s - 5).

    That column meets the constant 2^15, 32.0 at the scale of the normalised row (operators/head_pair.py). bits: signed
    width of H_int; more than 16 where the last norm's gains differ widely.
    """

    gain: str = "final_norm"
    gain_bias: str | None = None
    bits: int = 16
    divisor: float = 1.0


@dataclass(frozen=True)
class Scales:
    """Scales (fraction bits) and signed widths of a family's tensors; the residual scale is a field of the model.

    normalised: of a layer's norms; head_normalised: of the last one. raw: queries and keys in front of their own norm. projected: what a norm behind a sub-layer reads. head_gain: gains
    of queries and keys, whose width bounds every score.
    """

    residual_bits: int = 31
    normalised: int = 10
    normalised_bits: int = 16
    head_normalised: int = 10
    head_normalised_bits: int = 16
    raw: int = 10
    raw_bits: int = 22
    query: int = 8  # q, k, q', k'
    query_bits: int = 16
    value: int = 10  # v, context
    value_bits: int = 18
    gate: int = 9
    activated: int = 9
    up: int = 9
    up_bits: int = 21
    product: int = 10
    product_bits: int = 28
    router_bits: int = 22  # at the scale of the exponential table
    gated: int = 12
    gated_bits: int = 28
    projected: int = 10
    projected_bits: int = 26
    absorbed: int = (
        8  # queries as latent attention compares them with latents, which are at the scale of normalised rows
    )
    absorbed_bits: int = 18
    rope_query: int = 9  # both parts of a score have one scale: these two add up to those two
    rope_query_bits: int = 17
    rope_key: int = 9
    rope_key_bits: int = 16
    head_gain: int = 12
    head_gain_bits: int = 19
    channel_gain: int = 11
    channel_gain_bits: int = 24


@dataclass(frozen=True)
class Sliced:
    """Tile t of a weight: entries size * t .. size * (t + 1) of an axis; beyond the weight's end they are zero.

    axis: 0 for the inputs of a matrix, 1 for its outputs; 0 for any other weight. block: where the axis is made of blocks of that
    many entries, each is cut by itself, and its last tile ends with zeros.
    """

    axis: int
    size: int
    block: int | None = None

    def entries(self, tile: int) -> slice:
        """Those of a tile that are not padding; they may reach beyond the weight's end."""
        if self.block is None:
            return slice(self.size * tile, self.size * (tile + 1))
        block, part = divmod(tile, -(-self.block // self.size))
        first, end = self.block * block + self.size * part, self.block * (block + 1)
        return slice(first, min(first + self.size, end))


@dataclass(frozen=True)
class Step:
    """One kind of step: what is run and proven, and how its weights become integers.

    tiles: how often a layer has it, each time with another slice of the weights named in `sliced`. numbers: step-key integers that
    tell tiles apart, as (each, of): 1 + (tile // each) mod of. once: scheduled once in
    front of the first layer, whose weights it takes, instead of in every layer. layers: those that have it, if not all.
    """

    program: Program
    matrices: Mapping[str, MatrixRule] = field(default_factory=dict)
    vectors: Mapping[str, VectorRule] = field(default_factory=dict)
    tiles: int = 1
    once: bool = False
    sliced: Mapping[str, Sliced] = field(default_factory=dict)
    numbers: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    layers: range | None = None

    def is_in(self, layer: int) -> bool:
        """Whether a layer has it, or the weights of a step in front of the first."""
        return self.layers is None or layer in self.layers


@dataclass(frozen=True)
class ScheduledStep:
    """What one step number stands for. layer: whose weights it has; a step that is not in a layer has those of layer 0."""

    kind: StepKind
    layer: int
    tile: int = 0
    tiles: int = 1
    once: bool = False

    def __str__(self) -> str:
        kind = self.kind.replace("_", " ").replace("mlp", "MLP")
        tile = f" {self.tile + 1} of {self.tiles}" if self.tiles > 1 else ""
        return f"{kind}{tile}" if self.once else f"{kind}{tile} of layer {self.layer}"


@dataclass(frozen=True, kw_only=True)
class ModelConfig(ABC):
    """The shape of a model. All sizes are unpadded."""

    family: ClassVar[str]
    scales: ClassVar[Scales] = Scales()
    layers: int = number(1 << 12)
    hidden: int = number(1 << 13)  # d
    vocabulary: int = number(1 << 24)
    norm_epsilon: float = number(1.0)
    max_positions: int = number(1 << 16)
    residual_scale: int = number(20, default=12)
    activation_bits: int = number(20, default=18)
    step_weights: int = number(
        1 << 30, optional=True, default=STEP_WEIGHTS
    )  # largest number of weights of a step

    # --- what is run and proven -----------------------------------------------------------------------------

    @cached_property
    @abstractmethod
    def steps(self) -> dict[str, Step]:
        """The kinds of statement that are layer programs: those once before the layers, a layer's in order, and the head.

        Raises ValueError for a bad shape.
        """

    @cached_property
    def programs(self) -> dict[str, Program]:
        """Their layer programs. Raises ValueError for a bad shape, or one with more steps than can be registered."""
        _ = self.step_count
        return {kind: step.program for kind, step in self.steps.items()}

    @cached_property
    def kinds(self) -> tuple[StepKind, ...]:
        """The kinds of step that a schedule has, in the order in which contracts number them."""
        return tuple(kind for kind in self.steps if kind != HEAD)

    @property
    def step_count(self) -> int:
        """Length of the schedule. Raises ValueError when it is longer than contracts take: the shape may come from a hostile file."""
        of_layers = [
            step.tiles * (self.layers if step.layers is None else len(step.layers))
            for kind, step in self.steps.items()
            if kind != HEAD and not step.once
        ]
        count = sum(of_layers) + sum(step.once for step in self.steps.values())
        if count > MOST_STEPS:
            raise ValueError(
                f"a model of {count} steps cannot be registered, at most {MOST_STEPS} can: take fewer layers, or larger steps"
            )
        return count

    @cached_property
    def schedule(self) -> tuple[ScheduledStep, ...]:
        """What every step number stands for: this and nothing else says it. Raises ValueError when it is too long."""
        _ = self.step_count
        layered = [(kind, step) for kind, step in self.steps.items() if kind != HEAD and not step.once]
        first = [ScheduledStep(k, 0, once=True) for k, s in self.steps.items() if k != HEAD and s.once]
        rest = [
            ScheduledStep(kind, layer, tile, step.tiles)
            for layer in range(self.layers)
            for kind, step in layered
            if step.is_in(layer)
            for tile in range(step.tiles)
        ]
        return (*first, *rest)

    def step_with(self, weight: str, layer: int) -> int:
        """The first step of a layer that has this weight: of the MLP `w_down`, of attention `w_output`, whole or in tiles."""
        for number, step in enumerate(self.schedule):
            names = {tensor.name for tensor in self.programs[step.kind].weights}
            if step.layer == layer and weight in names:
                return number
        raise ValueError(f"layer {layer} has no weight {weight}")

    def number_of(self, kind: StepKind, layer: int | None = None, tile: int = 0) -> int:
        """The number of a step, in the first layer that has it unless one is named. Raises ValueError for one that the
        schedule does not have.
        """
        for number, step in enumerate(self.schedule):
            if (step.kind, step.tile) == (kind, tile) and layer in (None, step.layer):
                return number
        raise ValueError(f"there is no step {kind} {tile}" + ("" if layer is None else f" of layer {layer}"))

    def kinds_of(self, layer: int) -> tuple[StepKind, ...]:
        """The kinds of step that have weights of a layer: its own, and for the first those in front of the layers."""
        return tuple(
            kind
            for kind in self.kinds
            if self.steps[kind].is_in(layer) and (layer == 0 or not self.steps[kind].once)
        )

    @cached_property
    def streams(self) -> tuple[Stream, ...]:
        """The streams that boundaries consist of, in the order in which their roots are hashed."""
        found: dict[str, Stream] = {}
        for program in (self.programs[kind] for kind in self.kinds):
            for name, tensor in (*program.reads.items(), *program.writes.items()):
                stream = _stream(name, program, program.tensors[tensor])
                if found.setdefault(name, stream) != stream:
                    raise ValueError(f"stream {name} has another shape in {program.name}")
        return tuple(found[name] for name in STREAM_ORDER if name in found)

    @cached_property
    def accesses(self) -> tuple[int, ...]:
        """What every kind of step does to the streams (`access_word`), in the order of `kinds`."""
        programs = [self.programs[kind] for kind in self.kinds]
        return tuple(access_word(self._uses(p), names_window="window" in p.public_scalars) for p in programs)

    def _uses(self, program: Program) -> dict[int, Use]:
        uses: dict[int, Use] = {}
        for number, stream in enumerate(self.streams):
            use = Use(0)
            if stream.name in program.reads:
                reads_all = "context" in program.tensors[program.reads[stream.name]].axes
                use |= Use.READS_ALL if reads_all else Use.READS_OWN
            if stream.name in program.writes:
                use |= Use.WRITES
            if stream.name in program.resets:
                use |= Use.RESETS
            uses[number] = use
        return uses

    def layer_parameters(self, layer: int, kind: StepKind) -> dict[str, int]:
        """Step-key integers (1..16) of a layer that are not requantisation shifts."""
        return {}

    def tile_parameters(self, kind: StepKind, tile: int) -> dict[str, int]:
        """Step-key integers that tell the tiles of a kind apart."""
        return {name: 1 + tile // each % of for name, (each, of) in self.steps[kind].numbers.items()}

    @property
    def channel_bits(self) -> int:
        """Index bits of the residual stream's channels."""
        return index_bits(self.head_inputs)

    # --- how floats become integers -------------------------------------------------------------------------

    def matrix_rules_of(self, layer: int) -> dict[str, MatrixRule]:
        """Every matrix of a layer by the name of its program tensor, in program order: attention, then MLP."""
        steps = (step for step in self.steps.values() if step.is_in(layer))
        return {name: rule for step in steps for name, rule in step.matrices.items()}

    def vector_rules_of(self, layer: int) -> dict[str, VectorRule]:
        """Every other weight of a layer, biases of matrices apart, by the name of its program tensor."""
        steps = (step for step in self.steps.values() if step.is_in(layer))
        return {name: rule for step in steps for name, rule in step.vectors.items()}

    @property
    def matrix_rules(self) -> dict[str, MatrixRule]:
        """Those of the last layer: of every layer, unless some have steps that others have not."""
        return self.matrix_rules_of(self.layers - 1)

    @property
    def vector_rules(self) -> dict[str, VectorRule]:
        """Those of the last layer."""
        return self.vector_rules_of(self.layers - 1)

    @property
    def first_layer_weights(self) -> frozenset[str]:
        """Weights of steps in front of the layers: kept with the first layer's, and zero in every other."""
        return frozenset(name for step in self.steps.values() if step.once for name in step.vectors)

    def layer_tensors_of(self, layer: int) -> frozenset[str]:
        """Names of all float tensors that a layer's weights are made from."""
        matrices = self.matrix_rules_of(layer)
        folded = {
            name
            for rule in matrices.values()
            for name in (rule.gain, rule.gain_bias, rule.bias)
            if name is not None
        }
        return frozenset({*matrices, *self.vector_rules_of(layer), *folded})

    @property
    def head_rule(self) -> HeadRule:
        """How head rows are made."""
        return HeadRule()

    @property
    def head_inputs(self) -> int:
        """Entries of a head row: the channels, and one more when the last norm has a bias."""
        return self.hidden + (self.head_rule.gain_bias is not None)

    @property
    def embedding_factor(self) -> float:
        """What embedding rows are multiplied with before the first layer."""
        return 1.0

    @property
    def normalised_scale(self) -> int:
        """Scale of the head's normalised row; that of logits is this plus the head's own."""
        return self.scales.head_normalised

    @property
    def matrix_shapes(self) -> dict[str, tuple[int, int]]:
        """(outputs, inputs) of every matrix of the last layer."""
        return {name: (rule.outputs, rule.inputs) for name, rule in self.matrix_rules.items()}

    def vector_shapes_of(self, layer: int) -> dict[str, tuple[int, ...]]:
        """Unpadded shape of every other weight of a layer, biases of matrices included."""
        rules = self.matrix_rules_of(layer).values()
        biases = {rule.bias: (rule.outputs,) for rule in rules if rule.bias is not None}
        return {**biases, **{name: rule.shape for name, rule in self.vector_rules_of(layer).items()}}

    @property
    def vector_shapes(self) -> dict[str, tuple[int, ...]]:
        """Those of the last layer."""
        return self.vector_shapes_of(self.layers - 1)

    # --- files ----------------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """The family and every field, optional ones where they differ from their defaults, as JSON values;
        `architectures.config_from_json` reads it back.
        """
        values = {
            entry.name: getattr(self, entry.name) for entry in fields(self) if not self._left_out(entry)
        }
        return {
            "family": self.family,
            **{name: list(value) if isinstance(value, tuple) else value for name, value in values.items()},
        }

    def _left_out(self, entry: Any) -> bool:
        return bool(entry.metadata["optional"]) and getattr(self, entry.name) == entry.default

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> ModelConfig:
        """Strict inverse of to_json without the family; fields with a default may be left out.

        Raises ValueError naming the field: files may be hostile, so types and sizes are checked before use.
        """
        known = {entry.name: entry for entry in fields(cls)}
        missing = [name for name, entry in known.items() if entry.default is MISSING and name not in facts]
        if unknown := sorted(set(facts) - set(known)):
            raise ValueError(f"a {cls.family} architecture has no field {unknown[0]!r}")
        if missing:
            raise ValueError(f"a {cls.family} architecture needs the field {missing[0]!r}")
        return cls(**{name: _checked(known[name], value) for name, value in facts.items()})


def _stream(name: str, program: Program, tensor: Tensor) -> Stream:
    rows = ("row", "context")
    bits = sum(program.axes[axis].fixed for axis in tensor.axes if axis not in rows)
    return Stream(name, bits, tensor.placed)


def _checked(entry: Any, value: Any) -> Any:
    """The value of a field, tuples from lists."""
    limit, annotation = entry.metadata["limit"], str(entry.type)
    if annotation == "bool":
        if not isinstance(value, bool):
            raise ValueError(f"architecture.{entry.name} is {value!r}; it must be true or false")
        return value
    if annotation.startswith("tuple"):
        if not isinstance(value, (list, tuple)) or len(value) > LARGEST_TUPLE:
            raise ValueError(f"architecture.{entry.name} must be a list of at most {LARGEST_TUPLE} numbers")
        return tuple(_scalar(entry.name, item, "float" in annotation, limit) for item in value)
    return _scalar(entry.name, value, annotation == "float", limit)


def _scalar(name: str, value: Any, fractional: bool, limit: float) -> int | float:
    allowed = (int, float) if fractional else int
    if isinstance(value, bool) or not isinstance(value, allowed) or not 0 < value <= limit:
        raise ValueError(f"architecture.{name} is {value!r}; it must be a number in (0, {limit}]")
    return float(value) if fractional else value
