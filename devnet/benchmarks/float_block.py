"""The float block that a peer proves: one layer of a model as a torch module, exported to ONNX.

Weights are the integers over their scales, exactly. The order of channels inside a head differs from the integer
model: rotary pairs lie half a head apart, which costs two slices in place of a strided one and changes no score.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from prover.model.execute import Executor
from prover.model.weights import IntegerModel

from .synthetic import float_matrix

_HIDDEN_SCORE = -16.0
"""What a later token adds to a score: e^-16 is far below any fixed-point scale, and -inf fits none."""
OPSET = 17


class FloatBlock(torch.nn.Module):
    """x (tokens, d) -> x + attention(norm(x)) + MLP of that, for positions 0 .. tokens-1."""

    _sizes: Any
    w_query: torch.Tensor
    w_key: torch.Tensor
    w_value: torch.Tensor
    w_output: torch.Tensor
    w_gate: torch.Tensor
    w_up: torch.Tensor
    w_down: torch.Tensor
    cosine: torch.Tensor
    sine: torch.Tensor
    mask: torch.Tensor

    def __init__(self, model: IntegerModel, tokens: int) -> None:
        super().__init__()
        sizes: Any = model.config  # of a rotary family
        self._sizes = sizes
        for name, matrix in model.weights.layers[0].items():
            weight = float_matrix(matrix)
            if name in ("w_query", "w_key"):
                weight = _halves(weight, sizes.head_size)
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(weight.T)))
        half = sizes.head_size // 2
        frequency = sizes.rope_base ** (-np.arange(half) / half)
        angle = np.arange(tokens)[:, None] * frequency  # (tokens, head_size / 2)
        self.register_buffer("cosine", torch.from_numpy(np.cos(angle).astype(np.float32)))
        self.register_buffer("sine", torch.from_numpy(np.sin(angle).astype(np.float32)))
        later = np.triu(np.full((tokens, tokens), _HIDDEN_SCORE, np.float32), 1)
        self.register_buffer("mask", torch.from_numpy(later))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        sizes, normalised = self._sizes, self._norm(x)
        queries = normalised @ self.w_query
        keys, values = normalised @ self.w_key, normalised @ self.w_value
        contexts = []
        for group in range(sizes.kv_heads):
            key, value = self._rotated(self._head(keys, group)), self._head(values, group)
            for query in range(sizes.queries_per_group):
                head = self._rotated(self._head(queries, group * sizes.queries_per_group + query))
                scores = head @ key.transpose(0, 1) * sizes.head_size**-0.5 + self.mask
                contexts.append(torch.softmax(scores, -1) @ value)
        x = x + torch.cat(contexts, -1) @ self.w_output
        normalised = self._norm(x)
        gate = normalised @ self.w_gate
        return x + (gate * torch.sigmoid(gate) * (normalised @ self.w_up)) @ self.w_down

    def _norm(self, x: torch.Tensor) -> torch.Tensor:
        return x / torch.sqrt((x * x).mean(-1, keepdim=True) + self._sizes.norm_epsilon)

    def _head(self, x: torch.Tensor, index: int) -> torch.Tensor:
        size = self._sizes.head_size
        return x[:, index * size : (index + 1) * size]

    def _rotated(self, x: torch.Tensor) -> torch.Tensor:
        half = self._sizes.head_size // 2
        first, second = x[:, :half], x[:, half:]
        return torch.cat(
            (first * self.cosine - second * self.sine, first * self.sine + second * self.cosine), -1
        )


def block_input(model: IntegerModel, ids: list[int]) -> np.ndarray:
    """The embedding rows of a prompt, (tokens, d) float32: what both systems start from."""
    rows = Executor(model).embed(ids)
    return np.ldexp(rows.astype(np.float32), -model.config.residual_scale)


def float_output(model: IntegerModel, x: np.ndarray) -> np.ndarray:
    """The block in float32, (tokens, d)."""
    with torch.inference_mode():
        return np.asarray(FloatBlock(model, len(x))(torch.from_numpy(x)).numpy())


def integer_output(model: IntegerModel, ids: list[int]) -> np.ndarray:
    """The block in exact integers, as floats (tokens, d)."""
    executor = Executor(model)
    rows = executor.feed_rows(executor.embed(ids), executor.start())
    return np.ldexp(rows.astype(np.float64), -model.config.residual_scale)


def export_onnx(model: IntegerModel, x: np.ndarray, path: Path) -> None:
    """Write the block for this many tokens as ONNX."""
    torch.onnx.export(
        FloatBlock(model, len(x)),
        (torch.from_numpy(x),),
        str(path),
        input_names=["before"],
        output_names=["after"],
        opset_version=OPSET,
        dynamo=False,
    )


def _halves(weight: np.ndarray, head_size: int) -> np.ndarray:
    """Rows of every head in the order 0, 2, 4, .., 1, 3, 5, ..: rotary pairs (2i, 2i+1) become (i, i + half)."""
    heads = weight.reshape(-1, head_size // 2, 2, weight.shape[1])
    return heads.transpose(0, 2, 1, 3).reshape(weight.shape)
