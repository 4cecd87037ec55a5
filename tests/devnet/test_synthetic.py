"""Synthetic models are what the quantiser would make, and their float block is the same function."""

from __future__ import annotations

import numpy as np
import pytest

from devnet.benchmarks.float_block import block_input, float_output, integer_output
from devnet.benchmarks.synthetic import float_matrix, prompt_ids, synthetic_config, synthetic_model
from prover.errors import UsageError
from prover.model.float_model import FloatLayer, FloatModel
from prover.model.quantise import quantise


@pytest.mark.parametrize("d", [32, 64, 128])
def test_the_quantiser_gives_the_same_integers(d: int) -> None:
    model, gain = synthetic_model(d), np.ones(d, np.float32)
    matrices = model.weights.layers[0]
    floats = {name: float_matrix(matrix) for name, matrix in matrices.items()}
    rows = [np.ldexp(part.astype(np.float32), -12) for part in (model.embedding, model.head)]
    layer = FloatLayer({"attention_norm": gain, "mlp_norm": gain, **floats})
    quantised = quantise(FloatModel("", model.config, model.tokenizer, rows[0], [layer], gain, rows[1]))
    assert np.array_equal(quantised.embedding, model.embedding)
    for name, matrix in matrices.items():
        found = quantised.layers[0][name]
        assert np.array_equal(found.values, matrix.values), name
        assert (found.scale, found.shift) == (matrix.scale, matrix.shift), name


@pytest.mark.parametrize(("d", "tokens"), [(32, 4), (64, 16), (96, 40)])
def test_the_float_block_is_the_integer_block(d: int, tokens: int) -> None:
    model = synthetic_model(d)
    ids = prompt_ids(model, tokens)
    before = block_input(model, ids)
    after, integers = float_output(model, before), integer_output(model, ids)
    assert after.shape == integers.shape == (tokens, d)
    assert np.abs(after - integers).max() < 0.02 < 0.2 < np.abs(after - before).std()


def test_models_follow_their_seed() -> None:
    first, again, other = (synthetic_model(32, seed=seed) for seed in (1, 1, 2))
    assert first.digest == again.digest != other.digest


def test_the_real_shape_is_among_them_and_impossible_ones_are_refused() -> None:
    real = synthetic_config(576)
    assert (real.heads, real.kv_heads, real.head_size, real.feed_forward) == (9, 3, 64, 1536)
    with pytest.raises(UsageError, match="multiple of the head size"):
        synthetic_config(100)
