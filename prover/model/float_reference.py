"""The model as its makers meant it: one causal pass in float32, to measure the integer model against.

Read it from top to bottom; nothing else in the project depends on its numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch.nn import functional

from .gguf_import import FloatModel


def float_logits(
    model: FloatModel, ids: Sequence[int], *, progress: Callable[[str, int, int], None] | None = None
) -> np.ndarray:
    """Logits of every position, (T, vocabulary) float32.

    x  = embedding[ids]
    x += W_o · attention(rotary(W_q n), rotary(W_k n), W_v n)   with n = norm(x) * attention_norm
    x += W_down · (silu(W_gate n) * (W_up n))                   with n = norm(x) * mlp_norm
    logits = head · (norm(x) * final_norm)
    """
    sizes, length = model.config, len(ids)
    cosine, sine = _rotary_angles(length, sizes.head_size, sizes.rope_base)
    x = _tensor(model.embedding[np.asarray(ids)])  # (T, hidden)
    for index, layer in enumerate(model.layers):
        weight = {name: _tensor(matrix) for name, matrix in layer.matrices.items()}

        normalised = _norm(x, layer.attention_norm, sizes.norm_epsilon)
        q = (normalised @ weight["w_query"].T).view(length, sizes.heads, sizes.head_size).transpose(0, 1)
        k = (normalised @ weight["w_key"].T).view(length, sizes.kv_heads, sizes.head_size).transpose(0, 1)
        v = (normalised @ weight["w_value"].T).view(length, sizes.kv_heads, sizes.head_size).transpose(0, 1)
        q, k = _rotate(q, cosine, sine), _rotate(k, cosine, sine)
        group = sizes.heads // sizes.kv_heads
        k, v = k.repeat_interleave(group, 0), v.repeat_interleave(group, 0)  # (heads, T, head_size)
        context = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + context.transpose(0, 1).reshape(length, -1) @ weight["w_output"].T

        normalised = _norm(x, layer.mlp_norm, sizes.norm_epsilon)
        gated = functional.silu(normalised @ weight["w_gate"].T) * (
            normalised @ weight["w_up"].T
        )  # (T, feed_forward)
        x = x + gated @ weight["w_down"].T
        if progress:
            progress("float reference", index + 1, sizes.layers)
    return (_norm(x, model.final_norm, sizes.norm_epsilon) @ _tensor(model.head).T).numpy()


def _norm(x: torch.Tensor, gain: np.ndarray, epsilon: float) -> torch.Tensor:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + epsilon) * _tensor(gain)


def _rotary_angles(length: int, head_size: int, base: float) -> tuple[torch.Tensor, torch.Tensor]:
    frequency = base ** (-torch.arange(0, head_size, 2, dtype=torch.float64) / head_size)
    angle = torch.arange(length, dtype=torch.float64)[:, None] * frequency  # (T, head_size / 2)
    return angle.cos().float(), angle.sin().float()


def _rotate(x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    """Rotate the adjacent pairs (2i, 2i+1) of the last axis."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cosine - odd * sine, even * sine + odd * cosine), -1).flatten(-2)


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))
