"""Float weights to integer weights at power-of-two scales, by the rules that the architecture states.

A tensor of scale s holds integers v meaning v·2^-s. Each matrix has a scale s_w of its own, so that
requantising its product takes the shift

    shift = scale(input) + s_w - scale(output)

Gain and bias of a norm are folded into the matrices that read the normalised tensor. Rounding is half up in float64;
products of two float32 numbers are exact there, and sums are taken over integers, so every machine derives the same
integers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from ..architectures.config import Arrangement, MatrixRule, ModelConfig, VectorRule
from ..operators.head_pair import BIAS_INPUT
from .bounds import MAX_SHIFT, MIN_SHIFT, blocks, check_bounds, sums_exactly
from .errors import QuantiseError
from .float_model import Block, FloatLayer, FloatModel
from .integers import WEIGHT_LIMIT, largest_residual_scale, largest_scale, round_half_up

Keep = Callable[[np.ndarray], np.ndarray]

_GUARD_BITS = 8  # of a folded bias: each product is rounded this much finer than the sum
_HEAD_BIAS_SCALE = 40
_LARGEST_HEAD_SCALE = 30


@dataclass(frozen=True)
class IntegerMatrix:
    """y = requantise(values · x + bias, shift); values are (outputs, inputs) int16 at scale `scale`."""

    values: np.ndarray
    scale: int
    shift: int


@dataclass(frozen=True)
class QuantisedWeights:
    """All integers of a model. Per layer: the matrices, and every other weight (biases, gains, positions)."""

    embedding: np.ndarray  # (vocabulary, hidden) int16 at the residual scale
    head: np.ndarray  # (vocabulary, head_inputs) of head_type, final gain and bias folded in, at head_scale
    head_scale: int
    layers: list[dict[str, IntegerMatrix]]
    vectors: list[dict[str, np.ndarray]]  # int64, by name of the program's weight


def quantise(
    model: FloatModel,
    *,
    keep: Keep = lambda values: values,
    let_go: Callable[[], None] = lambda: None,
    progress: Callable[[str, int, int], None] | None = None,
) -> QuantisedWeights:
    """Integer weights of a model; one layer's floats are in memory at a time.

    keep: takes every tensor, and gives what is held instead of it: the same integers on disk. let_go: called when a
    layer's have been looked at, to release their pages. Raises QuantiseError naming the weight that does not fit.
    """
    config = model.config
    head, head_scale = _quantise_head(model)
    head, embedding = keep(head), keep(_quantise_embedding(model))
    layers, vectors = [], []
    for index, layer in enumerate(model.layers):
        matrices, others = {}, {}
        for name, rule in config.matrix_rules_of(index).items():
            made = _quantise_matrix(layer, name, index, rule)
            if rule.bias is not None:
                others[rule.bias] = _quantise_bias(layer, name, made, rule)
            matrices[name] = replace(made, values=keep(made.values))
        for name, vector_rule in config.vector_rules_of(index).items():
            others[name] = _quantise_vector(
                None if index > 0 and name in config.first_layer_weights else _vector(model, layer, name),
                vector_rule,
            )
        layers.append(matrices)
        vectors.append({name: keep(values) for name, values in others.items()})
        if progress:
            progress("quantise", index + 1, config.layers)
    weights = QuantisedWeights(embedding, head, head_scale, layers, vectors)
    check_bounds(config, weights, after_layer=let_go)
    return weights


def head_type(config: ModelConfig) -> type[np.signedinteger]:
    """How head rows are stored."""
    return np.int16 if config.head_rule.bits <= 16 else np.int32


def _quantise_matrix(layer: FloatLayer, name: str, index: int, rule: MatrixRule) -> IntegerMatrix:
    """The largest scale that fits is found from the extremes of all blocks, then integers are made block by block."""
    extremes = np.array([(block.min(), block.max()) for _, block in _folded(layer, name, rule)])
    offset = rule.input_scale - rule.output_scale
    scale = largest_scale(extremes, limit=MAX_SHIFT - offset)
    while True:
        shift = scale + offset
        if shift < MIN_SHIFT:
            raise QuantiseError(
                f"matrix {name} of layer {index} holds {np.abs(extremes).max():.1f}, and rows of absolute sum "
                f"{_largest_row(layer, name, rule):.1f}, too large for exact products of 16-bit weights; this model needs "
                f"another scale for {name}"
            )
        values = np.empty((rule.outputs, rule.inputs), dtype=np.int16)
        for place, block in _folded(layer, name, rule):
            values[place] = round_half_up(block, scale)
        if sums_exactly(values, rule.input_bits, rule.blocks, rule.used):
            return IntegerMatrix(values, scale, shift)
        scale -= 1


def _folded(layer: FloatLayer, name: str, rule: MatrixRule) -> Iterator[Block]:
    """The float matrix in the order of the integer one, with all that is folded into it, as float64 and some of it at a time."""
    gain = None if rule.gain is None else layer[rule.gain].astype(np.float64)
    plain = rule.arranged is Arrangement.PLAIN
    everything = (slice(None), slice(None))
    for (rows, columns), block in layer.blocks(name) if plain else [(everything, layer[name])]:
        weight = block.astype(np.float64)
        if gain is not None:
            weight *= gain[columns]
        weight *= rule.factor
        yield (rows, columns), rule.arrange(weight)


def _largest_row(layer: FloatLayer, name: str, rule: MatrixRule) -> float:
    sums = np.zeros(rule.outputs)
    for (rows, _), block in _folded(layer, name, rule):
        sums[rows] += np.abs(block).sum(axis=1)
    return float(sums.max())


def _quantise_bias(layer: FloatLayer, name: str, matrix: IntegerMatrix, rule: MatrixRule) -> np.ndarray:
    """b_int = round((b + W @ gain_bias) * factor) at the scale of the accumulator, (outputs,) int64."""
    scale = rule.input_scale + matrix.scale + _GUARD_BITS
    terms = np.zeros((rule.outputs, 1))
    if rule.bias is not None and (bias := layer.get(rule.bias)) is not None:
        terms = bias.astype(np.float64)[:, None]
    if rule.gain_bias is not None and (shift := layer.get(rule.gain_bias)) is not None:
        terms = np.concatenate([terms, layer[name].astype(np.float64) * shift.astype(np.float64)], axis=1)
    summed = round_half_up(terms * rule.factor, scale).astype(np.int64).sum(axis=1)
    return np.asarray((summed + (1 << (_GUARD_BITS - 1))) >> _GUARD_BITS)


def _quantise_vector(values: np.ndarray | None, rule: VectorRule) -> np.ndarray:
    if values is None:
        return np.zeros(rule.shape, dtype=np.int64)
    exact = values.astype(np.float64)
    if rule.centred:
        exact -= (exact.max() + exact.min()) / 2
    integers = round_half_up(exact * rule.factor, rule.scale).astype(np.int64)
    return integers.reshape(rule.shape)


def _vector(model: FloatModel, layer: FloatLayer, name: str) -> np.ndarray | None:
    return model.positions if name == "positions" else layer.get(name)


def _quantise_embedding(model: FloatModel) -> np.ndarray:
    scale, factor = model.config.residual_scale, model.config.embedding_factor
    if largest_residual_scale(model.embedding, factor, scale) < scale:
        largest = np.abs(model.embedding).max() * factor * 2.0**scale
        raise QuantiseError(
            f"the embedding holds {largest:.0f} at scale {scale}, above {WEIGHT_LIMIT}; "
            f"this model needs a smaller residual scale"
        )
    result = np.empty(model.embedding.shape, dtype=np.int16)
    for rows in blocks(len(result)):
        result[rows] = round_half_up(model.embedding[rows].astype(np.float64) * factor, scale)
    return result


def _quantise_head(model: FloatModel) -> tuple[np.ndarray, int]:
    """(vocabulary, head_inputs): head * final gain, and H @ final bias over the constant channel's value."""
    config = model.config

    def block(rows: slice) -> np.ndarray:
        matrix = model.head[rows].astype(np.float64)
        matrix /= config.head_rule.divisor
        folded = matrix * model.final_norm.astype(np.float64)
        if config.head_rule.gain_bias is None:
            return folded
        if model.final_norm_bias is None:
            return np.concatenate([folded, np.zeros((len(folded), 1))], axis=1)
        products = round_half_up(matrix * model.final_norm_bias.astype(np.float64), _HEAD_BIAS_SCALE)
        bias = products.astype(np.int64).sum(axis=1).astype(np.float64)
        unit = BIAS_INPUT >> config.normalised_scale  # what the constant channel stands for
        return np.concatenate([folded, np.ldexp(bias, -_HEAD_BIAS_SCALE)[:, None] / unit], axis=1)

    extremes = [(part.min(), part.max()) for part in map(block, blocks(config.vocabulary))]
    largest = (1 << (config.head_rule.bits - 1)) - 1
    scale = largest_scale(np.array(extremes), _LARGEST_HEAD_SCALE, largest)
    result = np.empty((config.vocabulary, config.head_inputs), dtype=head_type(config))
    for rows in blocks(config.vocabulary):
        result[rows] = round_half_up(block(rows), scale)
    return result, scale
