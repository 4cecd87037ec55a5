"""What people run instead of float32, to measure beside the integers: bfloat16, and llama.cpp's Q8_0.

    bfloat16   weights, rows, keys and values have 8 bits of mantissa; norms and angles are computed in float32 and rounded, as
               `transformers` does with `torch_dtype=bfloat16`
    q8_0       every 32 inputs of a matrix's row become 32 integers of 8 bits and a scale of 16 bits, and so do the rows that meet it
               (`quantize_row_q8_0` of ggml); the router, norms and biases stay float32

A block of Q8_0 is d · round(w / d) with d = max |w| / 127, of which float16(d) is stored. Keys and values stay float32 here, which
llama.cpp rounds to float16: what is measured is a little nearer to float32 than the engine is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from gguf import GGMLQuantizationType
from gguf.quants import dequantize, quantize

from .errors import UnknownArithmeticError
from .float_model import FloatLayer, FloatModel

_BLOCK = 32
_KEPT = frozenset({"w_router"})
"""Matrices that llama.cpp never quantises."""


def in_arithmetic(model: FloatModel, name: str) -> FloatModel:
    """The model as `name` of ARITHMETICS computes it, all its tensors in memory. Raises UnknownArithmeticError."""
    if name not in ARITHMETICS:
        raise UnknownArithmeticError(name, tuple(ARITHMETICS))
    return ARITHMETICS[name](model)


def _in_bfloat16(model: FloatModel) -> FloatModel:
    def short(array: np.ndarray) -> np.ndarray:
        return _as_array(torch.from_numpy(np.array(array, dtype=np.float32)).bfloat16())

    head = short(model.head)
    return replace(
        model,
        embedding=head if model.embedding is model.head else short(model.embedding),
        head=head,
        layers=[FloatLayer({name: short(layer[name]) for name in layer.tensors}) for layer in model.layers],
        final_norm=short(model.final_norm),
        positions=None if model.positions is None else short(model.positions),
        final_norm_bias=None if model.final_norm_bias is None else short(model.final_norm_bias),
    )


def _in_q8_0(model: FloatModel) -> FloatModel:
    head = _blocks_of_weights(model.head)
    return replace(
        model,
        embedding=head if model.embedding is model.head else _blocks_of_weights(model.embedding),
        head=head,
        layers=[
            FloatLayer(
                {
                    name: _blocks_of_weights(layer[name])
                    if name.startswith("w_") and name not in _KEPT
                    else layer[name]
                    for name in layer.tensors
                },
                rounding=round_rows_q8_0,
            )
            for layer in model.layers
        ],
        rounding=round_rows_q8_0,
    )


def _blocks_of_weights(matrix: np.ndarray) -> np.ndarray:
    """What a file of Q8_0 would give back; float16 where rows are no whole blocks, as llama.cpp falls back to."""
    if matrix.shape[1] % _BLOCK:
        return matrix.astype(np.float16).astype(np.float32)
    kind = GGMLQuantizationType.Q8_0
    return np.ascontiguousarray(dequantize(quantize(matrix, kind), kind), dtype=np.float32)


def round_rows_q8_0(rows: torch.Tensor) -> torch.Tensor:
    """float16(d) · round(x / d) with d = max |x| / 127 in every block of 32; rows that are no whole blocks meet float16 weights."""
    if rows.shape[-1] % _BLOCK:
        return rows.half().float()
    blocks = rows.reshape(-1, _BLOCK)
    step = blocks.abs().amax(1, keepdim=True) / 127
    levels = torch.round(blocks / torch.where(step == 0, 1.0, step))
    return (levels * step.half().float()).reshape(rows.shape)


def _as_array(tensor: torch.Tensor) -> np.ndarray:
    """A tensor where the float reference takes arrays: NumPy has no bfloat16."""
    return cast(np.ndarray, tensor)


ARITHMETICS: Mapping[str, Callable[[FloatModel], FloatModel]] = {"bfloat16": _in_bfloat16, "q8_0": _in_q8_0}
