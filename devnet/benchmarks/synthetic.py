"""Models of any width made from a seed, as integers at the scales that the quantiser would choose.

Their layers have the proportions of SmolLM2-135M: f = 8d/3, head size 64 (16 below d = 256), grouped keys. A matrix
with K inputs is uniform in +-1.9/sqrt(K), so activations keep their size at every width. The integers are made
directly and not by quantising floats, because the quantiser refuses f above 2047: its worst case of a 28-bit
product times a 16-bit weight does not sum exactly in float64 any more. These weights are far from that case.
"""

from __future__ import annotations

from math import floor, log2

import numpy as np

from prover.architectures.config import MatrixRule, ModelConfig
from prover.architectures.shapes import mixture_of, shape_of_width
from prover.model.bounds import MAX_SHIFT
from prover.model.integers import WEIGHT_LIMIT
from prover.model.quantise import IntegerMatrix, QuantisedWeights
from prover.model.tiny import tiny_tokenizer
from prover.model.weights import IntegerModel

SEED = 20_250_207
EXPERTS_PER_TOKEN = 2
_AMPLITUDE = 1.9
_ROUND_TO = 32


def synthetic_config(d: int, layers: int = 1, experts: int = 0) -> ModelConfig:
    """The configuration of a width. experts: how many there are, of 8d/9 hidden channels and two for each row; 0 for none.

    Raises UsageError when d is no multiple of the head size.
    """
    dense = shape_of_width(d, layers, vocabulary=len(tiny_tokenizer()))
    if not experts:
        return dense
    hidden = max(1, 8 * d // (9 * _ROUND_TO)) * _ROUND_TO
    return mixture_of(dense, feed_forward=hidden, experts=experts, experts_per_token=EXPERTS_PER_TOKEN)


def synthetic_model(d: int, layers: int = 1, experts: int = 0, seed: int = SEED) -> IntegerModel:
    """The integer model of a width and a seed; norm gains are 1, embedding and head are uniform in +-1."""
    config, draw = synthetic_config(d, layers, experts), np.random.default_rng(seed)
    one = 1 << config.residual_scale

    def rows() -> np.ndarray:
        return draw.integers(-one, one, (config.vocabulary, d), dtype=np.int16, endpoint=True)

    return IntegerModel(
        name=f"synthetic-{d}",
        config=config,
        tokenizer=tiny_tokenizer(),
        weights=QuantisedWeights(
            embedding=rows(),
            head=rows(),
            head_scale=config.residual_scale,
            layers=[
                {name: _matrix(draw, rule) for name, rule in config.matrix_rules.items()}
                for _ in range(layers)
            ],
            vectors=[{} for _ in range(layers)],
        ),
    )


def prompt_ids(model: IntegerModel, tokens: int, seed: int = SEED) -> list[int]:
    """A prompt of random tokens."""
    return [int(i) for i in np.random.default_rng(seed).integers(0, model.config.vocabulary, tokens)]


def float_matrix(matrix: IntegerMatrix) -> np.ndarray:
    """(outputs, inputs) float32; exact, since an int16 over a power of two is."""
    return np.ldexp(matrix.values.astype(np.float32), -matrix.scale)


def _matrix(draw: np.random.Generator, rule: MatrixRule) -> IntegerMatrix:
    """The largest scale at which the amplitude fits 16 bits and the shift a range table, as the quantiser takes it."""
    amplitude = _AMPLITUDE / float(np.sqrt(rule.inputs // rule.blocks))  # of one expert, where there are
    offset = rule.input_scale - rule.output_scale
    scale = min(MAX_SHIFT - offset, floor(log2(WEIGHT_LIMIT / amplitude)))
    largest = floor(amplitude * 2**scale)
    values = draw.integers(-largest, largest, (rule.outputs, rule.inputs), dtype=np.int16, endpoint=True)
    return IntegerMatrix(values, scale, scale + offset)
