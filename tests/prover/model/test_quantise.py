"""Integer weights: rounding, scales, folded gains, and refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prover.model.bounds import MAX_SHIFT, sums_exactly
from prover.model.errors import QuantiseError
from prover.model.float_model import FloatLayer, FloatModel
from prover.model.integers import WEIGHT_LIMIT, largest_scale, round_half_up
from prover.model.quantise import quantise
from prover.model.weights import IntegerModel


def test_rounding_is_half_up_also_for_negatives() -> None:
    values = np.array([0.5, -0.5, 1.5, -1.5, 0.25, -0.75])
    np.testing.assert_array_equal(round_half_up(values, 0), [1, 0, 2, -1, 0, -1])
    np.testing.assert_array_equal(round_half_up(values, 1), [1, -1, 3, -3, 1, -1])


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=20))
def test_the_largest_scale_fits_and_one_more_does_not(numbers: list[float]) -> None:
    values = np.array(numbers, dtype=np.float64)
    scale = largest_scale(values, limit=16)
    assert np.abs(round_half_up(values, scale)).max() <= WEIGHT_LIMIT
    assert scale == 16 or np.abs(round_half_up(values, scale + 1)).max() > WEIGHT_LIMIT


def test_every_matrix_is_close_to_its_folded_float_and_within_its_widths(
    float_model: FloatModel, model: IntegerModel
) -> None:
    for layer, matrices in zip(float_model.layers, model.weights.layers, strict=True):
        for name, rule in model.config.matrix_rules.items():
            gain = layer[rule.gain] if rule.gain else np.float32(1)
            folded = layer[name].astype(np.float64) * gain
            matrix = matrices[name]
            assert np.abs(matrix.values * 2.0**-matrix.scale - folded).max() <= 2.0 ** -(matrix.scale + 1)
            assert 1 <= matrix.shift <= MAX_SHIFT
            assert matrix.shift == rule.input_scale + matrix.scale - rule.output_scale
            assert matrix.values.dtype == np.int16


def test_the_head_carries_the_final_gain_and_the_embedding_does_not(
    float_model: FloatModel, model: IntegerModel
) -> None:
    head = float_model.head.astype(np.float64) * float_model.final_norm
    assert np.abs(model.head * 2.0**-model.weights.head_scale - head).max() <= 2.0 ** -(
        model.weights.head_scale + 1
    )
    assert np.abs(model.embedding * 2.0**-12 - float_model.embedding).max() <= 2.0**-13


def test_a_weight_too_large_for_sixteen_bits_is_refused(float_model: FloatModel) -> None:
    layer = float_model.layers[1]
    huge = FloatLayer(layer.tensors | {"w_up": layer["w_up"] * 1e6})
    with pytest.raises(QuantiseError, match="w_up of layer 1"):
        quantise(replace(float_model, layers=[float_model.layers[0], huge]))


def test_an_embedding_too_large_for_sixteen_bits_is_refused(float_model: FloatModel) -> None:
    with pytest.raises(QuantiseError, match="embedding"):
        quantise(replace(float_model, embedding=float_model.embedding * 100))


def test_a_matrix_whose_products_float64_could_not_sum_exactly_takes_a_smaller_scale(
    float_model: FloatModel,
) -> None:
    """28-bit inputs times a row of absolute sum 2^27 reach 2^54: two bits are given up."""
    layer = float_model.layers[0]
    config = replace(float_model.config, layers=1, feed_forward=8192)
    shapes = {"w_gate": (8192, 64), "w_up": (8192, 64), "w_down": (64, 8192)}
    ones = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    wide = replace(float_model, config=config, layers=[FloatLayer(layer.tensors | ones)])
    matrix = quantise(wide).layers[0]["w_down"]
    largest = np.abs(matrix.values.astype(np.int64)).sum(axis=1).max()
    assert 1 << 25 <= largest < 1 << 26
    assert not sums_exactly(2 * matrix.values, 28) and sums_exactly(matrix.values, 28)


def test_rows_too_long_for_any_scale_are_refused(float_model: FloatModel) -> None:
    layer = float_model.layers[0]
    config = replace(float_model.config, layers=1, feed_forward=8192)
    shapes = {"w_gate": (8192, 64), "w_up": (8192, 64), "w_down": (64, 8192)}
    large = {name: np.full(shape, 2000, np.float32) for name, shape in shapes.items()}
    wide = replace(float_model, config=config, layers=[FloatLayer(layer.tensors | large)])
    with pytest.raises(QuantiseError, match="too large for exact products"):
        quantise(wide)
