"""The bounds of a model's integers: one check for whoever makes them, loads them from disk or commits to them.

The layer programs are sound and exact for weights within these widths only, and nothing at run time looks again:

    matrix      |w| < 2^15, shift in 1..16 and as the scales say, sum_k |w_k| * 2^(input_bits-1) < 2^53 for every row;
                where only `used` blocks of an input are not zero, over those with the largest sums
    bias        |b| < 2^(bias_bits-1)
    gain, ...   |v| < 2^(bits-1); learned positions are zero in every layer but the first
    embedding   |w| < 2^15
    head        |w| < 2^(head bits-1), and the same sum
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..architectures.config import MatrixRule, ModelConfig
from ..operators.head_pair import BIAS_INPUT
from .errors import QuantiseError

if TYPE_CHECKING:
    from .quantise import IntegerMatrix, QuantisedWeights

MIN_SHIFT, MAX_SHIFT = 1, 16
"""A remainder lies in [0, 2^shift) and is checked against a range table of 2^16 entries."""
EXACT_LIMIT = 2**53
"""Every partial sum of an accumulator is exact in float64 below this."""
MATRIX_BITS = 16

_ROWS_AT_ONCE = 8192
_ENTRIES_AT_ONCE = 1 << 25


def check_bounds(
    config: ModelConfig, weights: QuantisedWeights, *, after_layer: Callable[[], None] = lambda: None
) -> None:
    """Raise QuantiseError, naming tensor and layer, for the first weight that leaves what the programs are made for.

    after_layer: called when a layer's weights have been looked at, to let go of the pages of a mapping.
    """
    _check_width(weights.embedding, "the embedding", MATRIX_BITS)
    _check_width(weights.head, "the head", config.head_rule.bits)
    _check_exact(weights.head, "the head", head_input_bits(config))
    _check_whole(weights.head_scale, "the scale of the head")
    for layer, (matrices, vectors) in enumerate(zip(weights.layers, weights.vectors, strict=True)):
        for name, rule in config.matrix_rules_of(layer).items():
            _check_matrix(matrices[name], f"{name} of layer {layer}", rule)
            if rule.bias is not None:
                _check_width(vectors[rule.bias], f"{rule.bias} of layer {layer}", rule.bias_bits)
        for name, vector_rule in config.vector_rules_of(layer).items():
            if layer > 0 and name in config.first_layer_weights and vectors[name].any():
                raise QuantiseError(
                    f"{name} of layer {layer} is not zero, but only the first layer has it; import the model again"
                )
            _check_width(vectors[name], f"{name} of layer {layer}", vector_rule.bits)
        after_layer()


def head_input_bits(config: ModelConfig) -> int:
    """Signed width of what the head multiplies."""
    widest = max(config.programs["head"].limits.values(), default=BIAS_INPUT)
    return max(widest, BIAS_INPUT).bit_length()


def blocks(rows: int) -> Iterator[slice]:
    """Vocabularies are large: wide copies are made of some rows at a time."""
    return (slice(start, start + _ROWS_AT_ONCE) for start in range(0, rows, _ROWS_AT_ONCE))


def _check_matrix(matrix: IntegerMatrix, what: str, rule: MatrixRule) -> None:
    _check_whole(matrix.scale, f"the scale of {what}")
    _check_whole(matrix.shift, f"the shift of {what}")
    if matrix.shift != rule.input_scale + matrix.scale - rule.output_scale:
        raise QuantiseError(
            f"{what} was quantised for other scales than this version's; import the model again"
        )
    if not MIN_SHIFT <= matrix.shift <= MAX_SHIFT:
        raise QuantiseError(
            f"{what} has shift {matrix.shift}, outside {MIN_SHIFT} to {MAX_SHIFT}: its weights are too large for "
            f"{MATRIX_BITS} bits; import a model with smaller ones"
        )
    _check_width(matrix.values, what, MATRIX_BITS)
    _check_exact(matrix.values, what, rule.input_bits, rule.blocks, rule.used)


def _check_whole(value: object, what: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise QuantiseError(f"{what} is {value!r}, no whole number; import the model again")


def _check_width(values: np.ndarray, what: str, bits: int) -> None:
    largest = _largest(values)
    if largest >= 1 << (bits - 1):
        raise QuantiseError(
            f"{what} holds {largest}, outside its {bits} bits; import a model with smaller weights, or one whose "
            f"scale for it is smaller"
        )


def _check_exact(values: np.ndarray, what: str, input_bits: int, parts: int = 1, used: int = 1) -> None:
    if not sums_exactly(values, input_bits, parts, used):
        bound, largest = 1 << (input_bits - 1), _largest_row(values, parts, used)
        raise QuantiseError(
            f"{what} has a row of absolute sum {largest}; times inputs of up to {bound} float64 cannot hold it "
            f"exactly; this model is too wide for these scales"
        )


def sums_exactly(values: np.ndarray, input_bits: int, parts: int = 1, used: int = 1) -> bool:
    """Whether no partial sum of a row's products can reach 2^53, whatever the input and the order of summation.

    parts, used: the input is made of so many equal blocks, of which at most `used` are not zero.
    """
    bound, summed = 1 << (input_bits - 1), values.shape[1] // parts * used
    return (
        _largest(values) * summed * bound < EXACT_LIMIT
        or _largest_row(values, parts, used) * bound < EXACT_LIMIT
    )


def _largest_row(values: np.ndarray, parts: int, used: int) -> int:
    """The largest absolute sum of a row, over those `used` of its parts that have the largest."""

    def largest(rows: np.ndarray) -> int:
        sums = np.abs(rows.astype(np.int64)).reshape(len(rows), parts, -1).sum(axis=2)
        return int(np.sort(sums, axis=1)[:, -used:].sum(axis=1).max())

    at_once = max(1, _ENTRIES_AT_ONCE // values.shape[1])
    return max(largest(values[start : start + at_once]) for start in range(0, len(values), at_once))


def _largest(values: np.ndarray) -> int:
    """The largest absolute value, without a copy."""
    return max(int(values.max()), -int(values.min())) if values.size else 0
