"""Float weights to integer weights at power-of-two scales.

A tensor of scale s holds integers v meaning v·2^-s. Each matrix has a scale s_w of its own, so that
requantising its product takes the shift

    shift = scale(input) + s_w - scale(output)

The gain of a norm is folded into the matrices that read the normalised tensor. Rounding is half up in float64,
whose products of two float32 numbers are exact, so every machine derives the same integers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..architectures.llama import (
    GATE_SCALE,
    NORMALISED_BITS,
    NORMALISED_SCALE,
    PRODUCT_BITS,
    PRODUCT_SCALE,
    QUERY_SCALE,
    RESIDUAL_SCALE,
    UP_SCALE,
    VALUE_BITS,
    VALUE_SCALE,
)
from .errors import QuantiseError
from .gguf_import import FloatLayer, FloatModel

WEIGHT_LIMIT = 2**15 - 1
# A remainder lies in [0, 2^shift) and is checked against a range table of 2^16 entries.
MAX_SHIFT = 16
MIN_SHIFT = 1
# Every partial sum of an accumulator is exact in float64 below this.
EXACT_LIMIT = 2**53


@dataclass(frozen=True)
class MatrixRule:
    """Scales at the two ends of a matrix, the width of its input, and which norm gain it absorbs."""

    input_scale: int
    output_scale: int
    input_bits: int
    gain: str | None = None


_ATTENTION = MatrixRule(NORMALISED_SCALE, QUERY_SCALE, NORMALISED_BITS, "attention_norm")
MATRIX_RULES = {
    "w_query": _ATTENTION,
    "w_key": _ATTENTION,
    "w_value": MatrixRule(NORMALISED_SCALE, VALUE_SCALE, NORMALISED_BITS, "attention_norm"),
    "w_output": MatrixRule(VALUE_SCALE, RESIDUAL_SCALE, VALUE_BITS),
    "w_gate": MatrixRule(NORMALISED_SCALE, GATE_SCALE, NORMALISED_BITS, "mlp_norm"),
    "w_up": MatrixRule(NORMALISED_SCALE, UP_SCALE, NORMALISED_BITS, "mlp_norm"),
    "w_down": MatrixRule(PRODUCT_SCALE, RESIDUAL_SCALE, PRODUCT_BITS),
}


@dataclass(frozen=True)
class IntegerMatrix:
    """y = requantise(values · x, shift); values are (outputs, inputs) int16 at scale `scale`."""

    values: np.ndarray
    scale: int
    shift: int


@dataclass(frozen=True)
class QuantisedWeights:
    """All integers of a model."""

    embedding: np.ndarray  # (vocabulary, hidden) int16 at RESIDUAL_SCALE
    head: np.ndarray  # (vocabulary, hidden) int16, final gain folded in, at head_scale
    head_scale: int
    layers: list[dict[str, IntegerMatrix]]


def quantise(
    model: FloatModel, *, progress: Callable[[str, int, int], None] | None = None
) -> QuantisedWeights:
    """Integer weights of a model. Raises QuantiseError naming the weight that does not fit."""
    sizes = model.config
    layers = []
    for index, layer in enumerate(model.layers):
        layers.append(_quantise_layer(layer, index))
        if progress:
            progress("quantise", index + 1, sizes.layers)
    embedding = round_half_up(model.embedding.astype(np.float64), RESIDUAL_SCALE)
    largest = int(np.abs(embedding).max())
    if largest > WEIGHT_LIMIT:
        raise QuantiseError(
            f"the embedding holds {largest} at scale {RESIDUAL_SCALE}, above {WEIGHT_LIMIT}; "
            f"this model needs a smaller residual scale"
        )
    head = model.head.astype(np.float64) * model.final_norm.astype(np.float64)
    head_scale = largest_scale(head, limit=30)
    _check_exact("head", 0, sizes.hidden, NORMALISED_BITS)
    return QuantisedWeights(
        embedding=embedding.astype(np.int16),
        head=round_half_up(head, head_scale).astype(np.int16),
        head_scale=head_scale,
        layers=layers,
    )


def round_half_up(values: np.ndarray, scale: int) -> np.ndarray:
    """floor(values·2^scale + 1/2) as float64 integers."""
    return np.floor(np.ldexp(values, scale) + 0.5)


def largest_scale(values: np.ndarray, limit: int) -> int:
    """The largest scale, at most `limit`, at which all values fit WEIGHT_LIMIT after rounding."""
    extremes = np.array([values.min(), values.max()], dtype=np.float64)
    scale = limit
    while np.abs(round_half_up(extremes, scale)).max() > WEIGHT_LIMIT:
        scale -= 1
    return scale


def _quantise_layer(layer: FloatLayer, index: int) -> dict[str, IntegerMatrix]:
    result = {}
    for name, rule in MATRIX_RULES.items():
        weight = layer.matrices[name].astype(np.float64)
        if rule.gain is not None:
            weight = weight * getattr(layer, rule.gain).astype(np.float64)
        result[name] = _quantise_matrix(weight, name, index, rule)
    return result


def _quantise_matrix(weight: np.ndarray, name: str, layer: int, rule: MatrixRule) -> IntegerMatrix:
    offset = rule.input_scale - rule.output_scale
    scale = largest_scale(weight, limit=MAX_SHIFT - offset)
    shift = scale + offset
    if shift < MIN_SHIFT:
        raise QuantiseError(
            f"matrix {name} of layer {layer} holds {np.abs(weight).max():.1f}, too large for 16-bit weights; "
            f"this model needs another scale for {name}"
        )
    _check_exact(name, layer, weight.shape[1], rule.input_bits)
    return IntegerMatrix(round_half_up(weight, scale).astype(np.int16), scale, shift)


def _check_exact(name: str, layer: int, inputs: int, input_bits: int) -> None:
    """Sum of `inputs` products must stay exact in float64 in any order of summation."""
    bound = 1 << (input_bits - 1)
    if inputs * bound * (WEIGHT_LIMIT + 1) >= EXACT_LIMIT:
        raise QuantiseError(
            f"matrix {name} of layer {layer} sums {inputs} products of up to {bound} and {WEIGHT_LIMIT + 1}, "
            f"which float64 cannot hold exactly; this model is too wide for these scales"
        )
