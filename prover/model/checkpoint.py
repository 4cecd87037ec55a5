"""From the tensors of a file to a float model, whatever the format: what both importers share.

A `Layout` says under which names one family's tensors lie in one format, and how they are turned: transposed, fused,
rotary pairs split into halves, gains stored less one. Every tensor must find its place: one that would be ignored
changes what the model computes, so it is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, overload

import numpy as np

from ..architectures.config import ModelConfig
from .errors import CheckpointError, Finding, grouped
from .facts import with_residual_scale
from .float_model import FloatLayer, FloatModel, Stack
from .integers import largest_residual_scale
from .tokenizer import Tokenizer

Progress = Callable[[str, int, int], None]
ROUTER = "w_router"


class TensorFile(Protocol):
    """An open file, or set of files, of named tensors."""

    @property
    def names(self) -> frozenset[str]:
        """Every tensor's name."""

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor as stored. Raises MissingTensorError."""

    def read(self, name: str, shape: tuple[int, ...], part: int | None = None) -> np.ndarray:
        """The tensor as float32 of exactly this shape; part: of those along its first axis, one alone.

        Raises MissingTensorError, UnsupportedTensorError, and CheckpointError for another shape or for values that
        are not finite.
        """

    def check(self, name: str, shape: tuple[int, ...]) -> None:
        """Raise what `read` would raise, but for the values themselves."""


@dataclass(frozen=True)
class ExpertPart:
    """One expert's part of a matrix: a stored tensor, `{layer}` left in its name, or number `number` of the `of` that it holds."""

    stored: str
    number: int | None = None
    of: int = 1


@dataclass(frozen=True)
class Layout:
    """How one format stores one family. `{layer}` in a name stands for the layer's index."""

    embedding: str
    final_norm: str
    head: str
    layer: Mapping[str, str]  # tensor of the float model -> stored name
    positions: str | None = None
    final_norm_bias: str | None = None
    fused: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # stored name -> tensors stacked in it
    experts: Mapping[str, str] = field(
        default_factory=dict
    )  # tensor -> stored name of each expert's part, `{expert}`; without it, of all parts, along a first axis
    transposed: bool = False  # matrices as (inputs, outputs)
    shared_experts: Mapping[str, str] = field(
        default_factory=dict
    )  # tensor -> stored name of the part that every row has
    fused_in_heads: frozenset[str] = frozenset()  # of `fused`, those that hold the tensors head by head
    heads_apart: Mapping[str, bool] = field(
        default_factory=dict
    )  # tensors stored as (heads, .., ..), and whether each head's matrix is turned
    turning: tuple[str, ...] = ("w_query", "w_key", "query_bias", "key_bias", "query_norm", "key_norm")
    half_split_rotary: bool = False  # `turning` has pairs are (i, i + head_size / 2) instead of (2i, 2i + 1)
    gains_less_one: bool = False  # w where the factor is 1 + w
    prefix: str = ""  # of every name, where the file has it
    derived: tuple[str, ...] = ()  # patterns of stored names that repeat what the configuration says
    read_elsewhere: frozenset[str] = frozenset()  # stored names that become part of the configuration

    def of(self, config: ModelConfig, layer: int) -> dict[str, str]:
        """Those tensors that a layer of this model has, experts apart: some models of a family have biases, others none."""
        own = config.layer_tensors_of(layer) - self.experts_of(config, layer).keys()
        return {name: stored for name, stored in self.layer.items() if name in own}

    def experts_of(self, config: ModelConfig, layer: int) -> dict[str, list[ExpertPart]]:
        """Where all experts' parts are: experts lie side by side along the hidden axis.

        Experts of every row come last, those of one layer in one part.
        """
        if ROUTER not in config.matrix_rules_of(layer):
            return {}
        count: int = getattr(config, "experts", 0)

        def parts(stored: str) -> list[ExpertPart]:
            if "{expert}" not in stored:
                return [ExpertPart(stored, number, count) for number in range(count)]
            return [ExpertPart(stored.replace("{expert}", str(number))) for number in range(count)]

        return {
            name: [
                *parts(stored),
                *([ExpertPart(self.shared_experts[name])] if name in self.shared_experts else []),
            ]
            for name, stored in self.experts.items()
        }

    def fused_of(self, config: ModelConfig, layer: int) -> dict[str, tuple[str, ...]]:
        """Stored matrices of a layer that hold several of its tensors."""
        own = config.layer_tensors_of(layer)
        return {stored: parts for stored, parts in self.fused.items() if own.issuperset(parts)}


def tensor_shape(config: ModelConfig, name: str, layer: int) -> tuple[int, ...]:
    """Shape of a layer's tensor, matrices as (outputs, inputs). Norms that are folded away have the width of what is read."""
    rules = config.matrix_rules_of(layer)
    if name in rules:
        return rules[name].float_shape
    biases = {rule.bias: (rule.outputs,) for rule in rules.values()}
    folded = {
        folded: rule.float_shape[1:] for rule in rules.values() for folded in (rule.gain, rule.gain_bias)
    }
    return biases.get(name) or config.vector_shapes_of(layer).get(name) or folded[name]


def read_float_model(
    file: TensorFile,
    layout: Layout,
    config: ModelConfig,
    tokenizer: Tokenizer,
    *,
    name: str,
    tied: bool,
    residual_scale: int | None = None,
    progress: Progress | None = None,
) -> FloatModel:
    """A model whose layers are read when they are asked for, each time anew: `file` must stay open as long.

    The residual scale is the largest that its embedding allows, unless given. Names, shapes and encodings of all tensors
    are checked first. Raises the errors of `TensorFile.read`, and so does every layer.
    """
    reader = _Reader(file, layout, config)
    embedding = reader.read(layout.embedding, (config.vocabulary, config.hidden))
    if residual_scale is None:
        residual_scale = largest_residual_scale(embedding, config.embedding_factor)
    config = with_residual_scale(config, residual_scale)
    head = embedding
    if not tied:
        head = reader.read(layout.head, (config.vocabulary, config.hidden))
    elif reader.has(layout.head) and not np.array_equal(reader.read(layout.head, embedding.shape), embedding):
        raise CheckpointError(
            f"the configuration ties the head to the embedding, but {layout.head!r} differs from it; "
            f"set tie_word_embeddings to what the model was trained with"
        )
    positions = None
    if layout.positions is not None:
        rows = reader.rows(layout.positions)
        if rows < config.max_positions:
            raise CheckpointError(
                f"{layout.positions!r} has {rows} rows for {config.max_positions} positions; the configuration is of "
                f"another model"
            )
        stored = reader.read(layout.positions, (rows, config.hidden))
        positions = stored[: config.max_positions]
    for index in range(config.layers):
        reader.check_layer(index)
    return FloatModel(
        name=name,
        config=config,
        tokenizer=tokenizer,
        embedding=embedding,
        layers=StoredLayers(reader, progress),
        final_norm=reader.gain(layout.final_norm, (config.hidden,)),
        head=head,
        positions=positions,
        final_norm_bias=(
            reader.read(layout.final_norm_bias, (config.hidden,)) if layout.final_norm_bias else None
        ),
    )


class StoredLayers(Sequence[FloatLayer]):
    """The layers of a file, one in memory at a time."""

    def __init__(self, reader: _Reader, progress: Progress | None = None) -> None:
        self._reader, self._progress = reader, progress

    def __len__(self) -> int:
        return self._reader.config.layers

    @overload
    def __getitem__(self, index: int) -> FloatLayer: ...
    @overload
    def __getitem__(self, index: slice) -> list[FloatLayer]: ...
    def __getitem__(self, index: int | slice) -> FloatLayer | list[FloatLayer]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        layer = self._reader.layer(number)
        if self._progress:
            self._progress("read", number + 1, len(self))
        return layer


def in_memory(model: FloatModel) -> FloatModel:
    """The model with all its layers, for as long as anybody likes."""
    return replace(model, layers=[layer.in_memory() for layer in model.layers])


def unplaced_tensors(file: TensorFile, layout: Layout, config: ModelConfig) -> list[Finding]:
    """Every stored tensor that the family's layer programs have no place for: ignoring it would change the model."""
    known = {layout.embedding, layout.final_norm, layout.head, layout.positions, layout.final_norm_bias}
    for layer in range(config.layers):
        of_experts = (part.stored for parts in layout.experts_of(config, layer).values() for part in parts)
        stored = {*layout.of(config, layer).values(), *layout.fused_of(config, layer), *of_experts}
        known |= {pattern.format(layer=layer) for pattern in stored}
    derived = re.compile("|".join(layout.derived) or r"(?!)")
    names = {name.removeprefix(layout.prefix) for name in file.names} - layout.read_elsewhere
    twice = sorted(name for name in names if layout.prefix and {name, layout.prefix + name} <= file.names)
    if twice:
        raise CheckpointError(
            f"the files hold both {twice[0]!r} and {layout.prefix + twice[0]!r}; keep the one that belongs to the model"
        )
    unplaced = sorted(name for name in names - known if not derived.fullmatch(name))
    needed = f"a model without it, or an operator of the {config.family} layer programs that reads it"
    return grouped(Finding("tensor", name, needed) for name in unplaced)


def pair_neighbours(rows: np.ndarray, head_size: int, rotated: int | None = None) -> np.ndarray:
    """Reorder the first axis, heads of `head_size` channels each, from pairs (i, i + rotated/2) to (2i, 2i + 1).

    rotated: channels of a head that turn, the first ones; the others stay where they are.
    """
    rotated = head_size if rotated is None else rotated
    order = np.arange(head_size)
    order[:rotated] = order[:rotated].reshape(2, -1).T.reshape(-1)
    return np.ascontiguousarray(rows.reshape(-1, head_size, *rows.shape[1:])[:, order]).reshape(rows.shape)


def _hidden_axis(name: str) -> int:
    """Which axis of a matrix (outputs, inputs) of the feed-forward unit is the hidden one."""
    return 1 if name == "w_down" else 0


def _stored_shape(part: ExpertPart, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Of the tensor that holds an expert's part of this shape."""
    return shape if part.number is None else (part.of, *shape)


class _Reader:
    def __init__(self, file: TensorFile, layout: Layout, config: ModelConfig) -> None:
        self.file, self.layout, self.config = file, layout, config

    def stored(self, name: str) -> str:
        """The name in the file: some writers prefix every name."""
        prefixed = self.layout.prefix + name
        return prefixed if prefixed in self.file.names else name

    def has(self, name: str) -> bool:
        return self.stored(name) in self.file.names

    def rows(self, name: str) -> int:
        return self.file.shape(self.stored(name))[0]

    def read(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        return self.file.read(self.stored(name), shape)

    def gain(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        values = self.read(name, shape)
        return values + np.float32(1) if self.layout.gains_less_one else values

    def matrix(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        if self.layout.transposed and len(shape) == 2:
            return np.ascontiguousarray(self.read(name, shape[::-1]).T)
        return self.read(name, shape)

    def check_layer(self, index: int) -> None:
        """Raise for any tensor of a layer that is not there as the configuration has it."""

        def check(pattern: str, shape: tuple[int, ...]) -> None:
            stored = shape[::-1] if self.layout.transposed and len(shape) == 2 else shape
            self.file.check(self.stored(pattern.format(layer=index)), stored)

        for name, pattern in self.layout.of(self.config, index).items():
            shape = self._shape(name, index)
            check(pattern, self._apart(name, shape) if name in self.layout.heads_apart else shape)
        for pattern, parts in self.layout.fused_of(self.config, index).items():
            shapes = [self._shape(part, index) for part in parts]
            check(pattern, (sum(shape[0] for shape in shapes), *shapes[0][1:]))
        for name, parts_of_experts in self.layout.experts_of(self.config, index).items():
            stack = self._stack(name, index, parts_of_experts)
            for part, place in zip(parts_of_experts, stack.places, strict=True):
                if not part.number:  # all parts of one stored tensor have its shape
                    check(part.stored, _stored_shape(part, stack.shape_of(place)))

    def _shape(self, name: str, layer: int) -> tuple[int, ...]:
        return tensor_shape(self.config, name, layer)

    def _stack(self, name: str, layer: int, parts: Sequence[ExpertPart]) -> Stack:
        """All experts' parts of a matrix along the hidden axis: an expert each, and the last one has what is left."""
        axis, shape = _hidden_axis(name), self._shape(name, layer)
        size = shape[axis] // self.config.matrix_rules_of(layer)["w_down"].blocks
        starts = [size * number for number in range(len(parts))]
        places = [slice(first, end) for first, end in zip(starts, [*starts[1:], shape[axis]], strict=True)]

        def read(number: int) -> np.ndarray:
            part = parts[number]
            own = stack.shape_of(places[number])
            return self._part(part, part.stored.format(layer=layer), own)

        stack = Stack(shape, axis, tuple(places), read)
        return stack

    def _part(self, part: ExpertPart, name: str, shape: tuple[int, ...]) -> np.ndarray:
        if part.number is None:
            return self.matrix(name, shape)
        return self.file.read(self.stored(name), _stored_shape(part, shape), part.number)

    def _of_heads(self, name: str, stored: str, shape: tuple[int, ...]) -> np.ndarray:
        """A matrix (heads * outputs, inputs) that is stored by head."""
        turned, values = self.layout.heads_apart[name], self.read(stored, self._apart(name, shape))
        return np.ascontiguousarray(values.swapaxes(1, 2) if turned else values).reshape(shape)

    def _apart(self, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The stored shape of such a matrix."""
        heads: int = self.config.heads  # type: ignore[attr-defined]
        outputs, inputs = shape[0] // heads, shape[1]
        return (heads, inputs, outputs) if self.layout.heads_apart[name] else (heads, outputs, inputs)

    def layer(self, index: int) -> FloatLayer:
        tensors: dict[str, np.ndarray] = {}
        for name, pattern in self.layout.of(self.config, index).items():
            stored, shape = pattern.format(layer=index), self._shape(name, index)
            if name in self.layout.heads_apart:
                tensors[name] = self._of_heads(name, stored, shape)
            elif name.endswith("_norm"):
                tensors[name] = self.gain(stored, shape)
            else:
                tensors[name] = self.matrix(stored, shape)
        for pattern, parts in self.layout.fused_of(self.config, index).items():
            shapes = [self._shape(part, index) for part in parts]
            whole = self.matrix(
                pattern.format(layer=index), (sum(shape[0] for shape in shapes), *shapes[0][1:])
            )
            tensors |= zip(parts, self._split(whole, pattern, [shape[0] for shape in shapes]), strict=True)
        if self.layout.half_split_rotary:
            for name in self.layout.turning:
                if name in tensors:
                    head_size: int = self.config.head_size  # type: ignore[attr-defined]  # of a rotary family
                    rotated = getattr(self.config, "rotated_channels", None)
                    tensors[name] = pair_neighbours(tensors[name], head_size, rotated)
        experts = self.layout.experts_of(self.config, index).items()
        return FloatLayer({**tensors, **{name: self._stack(name, index, parts) for name, parts in experts}})

    def _split(self, whole: np.ndarray, pattern: str, sizes: list[int]) -> list[np.ndarray]:
        """The parts of a fused tensor: one behind the other, or in every head one behind the other."""
        if pattern not in self.layout.fused_in_heads:
            return np.split(whole, np.cumsum(sizes)[:-1])
        heads: int = self.config.heads  # type: ignore[attr-defined]
        stacked = whole.reshape(heads, sum(sizes) // heads, -1)
        parts = np.split(stacked, np.cumsum(sizes)[:-1] // heads, axis=1)
        return [np.ascontiguousarray(part).reshape(-1, whole.shape[1]) for part in parts]
